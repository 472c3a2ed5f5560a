"""The functions of TensorFlow's C API, found in the wheel without importing it.

They are declared in tensorflow/c/*.h, in the folder "include" of the wheel.

The wheel has them in two libraries: the one of all operations needs the one of
the framework, which is loaded first. Symbols stay local to the two, so that
they are not mixed up with those of other libraries. If Python's TensorFlow is
in the process too, before or after, both share the libraries.
"""

import ctypes
import dataclasses
import functools
import importlib.util
import os
import re
import sys
import threading
from collections.abc import Sequence
from typing import Any, Final

from tensorflow_serving.util import errors

_FRAMEWORK: Final = "libtensorflow_framework.so.2"
_OPERATIONS: Final = "libtensorflow_cc.so.2"
_OLDEST_VERSION: Final = (2, 16)


class Output(ctypes.Structure):
    """A TF_Output: an output of an operation, which is a tensor of a graph."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Input(ctypes.Structure):
    """A TF_Input: an input of an operation."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    """A TF_Buffer: bytes, which belong to the code that made it."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


# Called with the address and the length of the memory of a tensor, and with the
# argument that was given to TF_NewTensor.
Deallocator = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
)

_POINTER = ctypes.c_void_p
_TEXT = ctypes.c_char_p
_INT = ctypes.c_int
_SIZE = ctypes.c_size_t
_INT64 = ctypes.c_int64
_BUFFER = ctypes.POINTER(Buffer)

_Signature = tuple[Any, tuple[Any, ...]]

_NEW_TENSOR: _Signature = (
    _POINTER,
    (_INT, _POINTER, _INT, _POINTER, _SIZE, Deallocator, _POINTER),
)

# These may take long, or wait for other threads: they run without the GIL.
_SLOW: dict[str, _Signature] = {
    "TF_CloseSession": (None, (_POINTER, _POINTER)),
    "TF_DeleteGraph": (None, (_POINTER,)),
    "TF_DeleteSession": (None, (_POINTER, _POINTER)),
    "TF_GraphImportGraphDef": (None, (_POINTER, _BUFFER, _POINTER, _POINTER)),
    "TF_LoadLibrary": (_POINTER, (_TEXT, _POINTER)),
    "TF_NewSession": (_POINTER, (_POINTER, _POINTER, _POINTER)),
    "TF_SessionListDevices": (_POINTER, (_POINTER, _POINTER)),
    "TF_SessionRun": (
        None,
        (
            *(_POINTER, _POINTER),
            *(_POINTER, _POINTER, _INT),
            *(_POINTER, _POINTER, _INT),
            *(_POINTER, _INT),
            *(_POINTER, _POINTER),
        ),
    ),
    "TF_TensorFromProto": (None, (_BUFFER, _POINTER, _POINTER)),
}

# These return at once. To let the GIL go and take it back would cost more than
# they do, and with other threads about it would cost a switch interval.
_QUICK: dict[str, _Signature] = {
    "TF_AddControlInput": (None, (_POINTER, _POINTER)),
    "TF_AddInput": (None, (_POINTER, Output)),
    "TF_AllocateTensor": (_POINTER, (_INT, _POINTER, _INT, _SIZE)),
    "TF_DeleteBuffer": (None, (_BUFFER,)),
    "TF_DeleteDeviceList": (None, (_POINTER,)),
    "TF_DeleteImportGraphDefOptions": (None, (_POINTER,)),
    "TF_DeleteSessionOptions": (None, (_POINTER,)),
    "TF_DeleteStatus": (None, (_POINTER,)),
    "TF_DeleteTensor": (None, (_POINTER,)),
    "TF_DeviceListCount": (_INT, (_POINTER,)),
    "TF_DeviceListMemoryBytes": (_INT64, (_POINTER, _INT, _POINTER)),
    "TF_DeviceListName": (_TEXT, (_POINTER, _INT, _POINTER)),
    "TF_DeviceListType": (_TEXT, (_POINTER, _INT, _POINTER)),
    "TF_Dim": (_INT64, (_POINTER, _INT)),
    "TF_FinishOperation": (_POINTER, (_POINTER, _POINTER)),
    "TF_GetCode": (_INT, (_POINTER,)),
    "TF_GraphGetOpDef": (None, (_POINTER, _TEXT, _BUFFER, _POINTER)),
    "TF_GraphGetTensorNumDims": (_INT, (_POINTER, Output, _POINTER)),
    "TF_GraphGetTensorShape": (
        None,
        (_POINTER, Output, _POINTER, _INT, _POINTER),
    ),
    "TF_GraphOperationByName": (_POINTER, (_POINTER, _TEXT)),
    "TF_Message": (_TEXT, (_POINTER,)),
    "TF_NewBuffer": (_BUFFER, ()),
    "TF_NewGraph": (_POINTER, ()),
    "TF_NewImportGraphDefOptions": (_POINTER, ()),
    "TF_NewOperation": (_POINTER, (_POINTER, _TEXT, _TEXT)),
    "TF_NewSessionOptions": (_POINTER, ()),
    "TF_NewStatus": (_POINTER, ()),
    "TF_NewTensor": _NEW_TENSOR,
    "TF_NumDims": (_INT, (_POINTER,)),
    "TF_OperationDevice": (_TEXT, (_POINTER,)),
    "TF_OperationGetAttrValueProto": (
        None,
        (_POINTER, _TEXT, _BUFFER, _POINTER),
    ),
    "TF_OperationGetControlInputs": (_INT, (_POINTER, _POINTER, _INT)),
    "TF_OperationInput": (Output, (Input,)),
    "TF_OperationName": (_TEXT, (_POINTER,)),
    "TF_OperationNumControlInputs": (_INT, (_POINTER,)),
    "TF_OperationNumInputs": (_INT, (_POINTER,)),
    "TF_OperationNumOutputs": (_INT, (_POINTER,)),
    "TF_OperationOpType": (_TEXT, (_POINTER,)),
    "TF_OperationOutputType": (_INT, (Output,)),
    "TF_SetAttrType": (None, (_POINTER, _TEXT, _INT)),
    "TF_SetConfig": (None, (_POINTER, _TEXT, _SIZE, _POINTER)),
    "TF_SetTarget": (None, (_POINTER, _TEXT)),
    "TF_StringGetDataPointer": (_POINTER, (_POINTER,)),
    "TF_StringGetSize": (_SIZE, (_POINTER,)),
    "TF_TensorByteSize": (_SIZE, (_POINTER,)),
    "TF_TensorData": (_POINTER, (_POINTER,)),
    "TF_TensorMaybeMove": (_POINTER, (_POINTER,)),
    "TF_TensorType": (_INT, (_POINTER,)),
    "TF_Version": (_TEXT, ()),
}


@dataclasses.dataclass(frozen=True)
class Library:
    """TensorFlow, as a C program sees it."""

    # Such as "2.21.0".
    version: str
    # The folder of the libraries.
    folder: str
    # Has each function of the C API that is used here as an attribute,
    # TF_NewStatus and so on, with the types of its arguments.
    functions: Any


class _Functions:
    """The functions; each is set once by load()."""

    TF_NewLargeTensor: Any


# Held while TensorFlow is loaded.
_load_lock: Final = threading.Lock()


@functools.cache
def load() -> Library:
    """Returns TensorFlow, which is loaded at the first call.

    Thread-safe: other callers wait until it is loaded.

    Raises:
      FailedPreconditionError: TensorFlow is not installed, or is one that lacks
        a function. Permanent.
    """
    with _load_lock:
        return _load()


@functools.cache
def _load() -> Library:
    folder = _find_folder(sys.path)
    paths = [os.path.join(folder, name) for name in (_FRAMEWORK, _OPERATIONS)]
    for path in paths:
        _open(path)
    try:
        ctypes.CDLL(paths[0])
        slow, quick = ctypes.CDLL(paths[1]), ctypes.PyDLL(paths[1])
    except OSError as error:
        raise errors.FailedPreconditionError(
            f"Libraries of TensorFlow must be loadable; got {error}"
        ) from None
    functions = _Functions()
    for library, signatures in ((slow, _SLOW), (quick, _QUICK)):
        for name, signature in signatures.items():
            setattr(functions, name, declared(library, name, signature))
    # May copy what it gets: for much of it, without the GIL.
    functions.TF_NewLargeTensor = declared(slow, "TF_NewTensor", _NEW_TENSOR)
    version = getattr(functions, "TF_Version")().decode()  # noqa: B009
    require_version(version)
    return Library(version, folder, functions)


def _open(path: str) -> None:
    """Opens a library for good, in a call that lets the GIL go.

    ctypes.CDLL keeps it for as long as that takes, a third of a second, and
    binds all functions of the library, where this binds those that are called.
    Afterwards it finds the library open at once; else it says why.
    """
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = _POINTER, (_TEXT, _INT)
    dlopen(os.fsencode(path), os.RTLD_LAZY)


def declared(library: ctypes.CDLL, name: str, signature: _Signature) -> Any:
    """Returns a function of a library with its types.

    Raises:
      FailedPreconditionError: The library has no such function. Permanent.
    """
    try:
        function = getattr(library, name)
    except AttributeError:
        raise errors.FailedPreconditionError(
            f"Libraries of TensorFlow must have {name}; got none in "
            f"{library._name}"
        ) from None
    function.restype, function.argtypes = signature
    return function


def require_version(version: str) -> None:
    """Checks that a version of TensorFlow is one that this can be used with.

    Raises:
      FailedPreconditionError: It is too old, or of another major version.
        Permanent.
    """
    match = re.match(r"(\d+)\.(\d+)", version)
    found = (int(match[1]), int(match[2])) if match else (0, 0)
    if found < _OLDEST_VERSION or found[0] != _OLDEST_VERSION[0]:
        oldest = ".".join(map(str, _OLDEST_VERSION))
        raise errors.FailedPreconditionError(
            f"TensorFlow must be of version {oldest} or a later one of major "
            f"version {_OLDEST_VERSION[0]}; got {version}"
        )


def _find_folder(search_path: Sequence[str]) -> str:
    """Returns the folder of the wheel that an import would find."""
    module = sys.modules.get("tensorflow")
    if module is not None:
        folders = list(module.__path__)
    else:
        spec = importlib.util.find_spec("tensorflow")
        folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if os.path.exists(os.path.join(folder, _OPERATIONS)):
            return folder
    raise errors.FailedPreconditionError(
        f"TensorFlow must be installed, with {_OPERATIONS}; got "
        f"{folders or 'no package tensorflow'} on {':'.join(search_path)}"
    )
