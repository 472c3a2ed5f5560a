"""Bytes that go to the C API and come from it."""

import contextlib
import ctypes
import mmap
import sys
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tensorflow_serving.tensorflow_c import library

# From here on it takes longer to free memory than other threads should wait.
_LARGE_BYTES: Final = 1 << 20


class View:
    """Bytes of this process as a TF_Buffer, without a copy.

    The bytes stay in memory as long as this does.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        """Takes the bytes, which must not change."""
        self._array: npt.NDArray[Any] = np.frombuffer(data, np.uint8)
        # The structure that functions of the C API take.
        self.struct = library.Buffer(
            self._array.ctypes.data, self._array.nbytes, None
        )


@contextlib.contextmanager
def output() -> Iterator[Any]:
    """Gives a TF_Buffer for a function of the C API to fill.

    with buffer.output() as found:
        functions.TF_GraphGetOpDef(graph, name, found, status.pointer)
        status.check()
        op_def.ParseFromString(buffer.to_bytes(found))
    """
    functions = library.load().functions
    pointer = functions.TF_NewBuffer()
    try:
        yield pointer
    finally:
        functions.TF_DeleteBuffer(pointer)


def to_bytes(pointer: Any) -> bytes:
    """Returns a copy of what output() holds."""
    struct = pointer.contents
    return ctypes.string_at(struct.data, struct.length)


def give_back(data: bytes) -> None:
    """Gives the memory of large bytes back to the system; they are lost.

    Whoever frees 150 MB holds the GIL for 12 ms, most of which the system takes
    for the pages. Here it takes them while other threads run, and nothing is
    left to do when the bytes are freed.

    Args:
      data: Bytes that nobody reads from now on. They are zeros, or as before.
    """
    if len(data) < _LARGE_BYTES or sys.platform != "linux":
        return
    start = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
    # Only whole pages: the first and the last one have others' bytes as well.
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (start + len(data)) // mmap.PAGESIZE * mmap.PAGESIZE
    # The functions of a CDLL are called without the GIL.
    ctypes.CDLL(None).madvise(
        ctypes.c_void_p(first),
        ctypes.c_size_t(last - first),
        ctypes.c_int(mmap.MADV_DONTNEED),
    )
