"""Bytes that go to the C API and come from it."""

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.tensorflow_c import library


class View:
    """Bytes of this process as a TF_Buffer, without a copy.

    The bytes stay in memory as long as this does.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        """Takes the bytes, which must not change."""
        self._array: npt.NDArray[Any] = np.frombuffer(data, np.uint8)
        # For the C API.
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
