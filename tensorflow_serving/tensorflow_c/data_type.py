"""The types of the elements of tensors, in TensorFlow and in numpy.

Numbers and names: tensorflow/core/framework/types.proto.
"""

import functools
from typing import Any, Final

import numpy as np

from tensorflow_serving.util import errors

STRING: Final = 7

# The types of references to variables have these numbers, plus 100.
_FIRST_REFERENCE = 100

_NAMES: Final = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    STRING: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    20: "resource",
    21: "variant",
    22: "uint32",
    23: "uint64",
    24: "float8_e5m2",
    25: "float8_e4m3fn",
    26: "float8_e4m3fnuz",
    27: "float8_e4m3b11fnuz",
    28: "float8_e5m2fnuz",
    29: "int4",
    30: "uint4",
    31: "int2",
    32: "uint2",
    33: "float4_e2m1fn",
}
_NUMBERS: Final = {name: number for number, name in _NAMES.items()}
# They refer to something in the process.
_WITHOUT_ARRAYS = {"resource", "variant"}
# An element of what is fed is a structure with one field, as in Python's
# TensorFlow.
_QUANTIZED = {
    "qint8": "i1",
    "quint8": "u1",
    "qint16": "i2",
    "quint16": "u2",
    "qint32": "i4",
}


def name(number: int) -> str:
    """Returns the name of a type; for a reference, the type of its value."""
    value = number % _FIRST_REFERENCE
    return _NAMES.get(value, f"type {value}")


def is_quantized(number: int) -> bool:
    """Returns whether a type is a quantized one."""
    return name(number) in _QUANTIZED


@functools.cache
def of_values(number: int) -> np.dtype[Any]:
    """Returns the dtype of arrays that come out of tensors of a type.

    That of to_numpy(), but plain numbers for the quantized types, as in
    Python's TensorFlow.

    Raises:
      InvalidArgumentError: See to_numpy().
    """
    dtype = to_numpy(number)
    return np.dtype(_QUANTIZED.get(name(number), dtype))


@functools.cache
def to_numpy(number: int) -> np.dtype[Any]:
    """Returns the dtype of arrays for tensors of a type; object for texts.

    Args:
      number: The number of a type; a reference stands for its value.

    Raises:
      InvalidArgumentError: No array can be the value of such a tensor.
        Permanent.
    """
    found = name(number)
    if number % _FIRST_REFERENCE == STRING:
        return np.dtype(object)
    if found in _QUANTIZED:
        return np.dtype([(found, _QUANTIZED[found])])
    if found not in _WITHOUT_ARRAYS:
        try:
            return np.dtype(found)
        except TypeError:
            pass
        # Takes a moment to import, and few models need it.
        import ml_dtypes

        if hasattr(ml_dtypes, found):
            dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, found))
            return dtype
    raise errors.InvalidArgumentError(
        f"tensors must have a dtype of arrays; got {found}"
    )


@functools.cache
def from_numpy(dtype: np.dtype[Any]) -> int:
    """Returns the number of the type whose values an array of a dtype holds.

    Raises:
      InvalidArgumentError: TensorFlow does not have such a type. Permanent.
    """
    if dtype.kind in "OSU":
        return STRING
    found = dtype.names[0] if dtype.names else dtype.name
    number = _NUMBERS.get(found, 0)
    if not number or to_numpy(number) != dtype.newbyteorder("="):
        raise errors.InvalidArgumentError(
            f"dtype of an array must be one that TensorFlow has; got {dtype}"
        )
    return number
