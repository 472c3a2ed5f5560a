"""Libraries of operations that are not TensorFlow's own."""

import os
import threading
from typing import Final

from tensorflow_serving.tensorflow_c import library, status
from tensorflow_serving.util import errors

_lock: Final = threading.Lock()
# The real paths of those that are loaded. Guarded by _lock.
_loaded: set[str] = set()


def load(path: str | os.PathLike[str]) -> None:
    """Makes the operations of a library known, for the rest of the process.

    Does nothing if it was loaded before. Thread-safe.

    Args:
      path: A shared library, as TensorFlow's tf.load_op_library() takes it.

    Raises:
      NotFoundError: There is no such file, or it does not fit this TensorFlow.
        Permanent.
      ServingError: What TensorFlow says of it.
    """
    path = os.path.realpath(path)
    with _lock:
        if path in _loaded:
            return
        with status.Status() as loaded:
            library.load().functions.TF_LoadLibrary(
                os.fsencode(path), loaded.pointer
            )
            try:
                loaded.check()
            except errors.ServingError as error:
                raise type(error)(
                    f"op library must be loadable; got {error}: {path}"
                ) from None
        _loaded.add(path)
