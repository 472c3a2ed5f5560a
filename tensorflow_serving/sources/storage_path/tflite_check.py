"""Whether a TFLite model can be run without harm to the process.

LiteRT checks the shapes and types of tensors, and takes the rest on trust: with
a wrong number it reads memory that is not its own. Each check here is for a
crash that load_fuzzer found.
"""

import math
import struct
from typing import Final

from tensorflow_serving.sources.storage_path import flatbuffer, tflite_file

# By TensorType: the numbers that may stand for 0.
_ZERO_POINTS: Final = {
    3: range(1 << 8),
    7: range(-(1 << 15), 1 << 15),
    9: range(-(1 << 7), 1 << 7),
    17: range(-(1 << 3), 1 << 3),
}
_INT32: Final = 4


def require_sound(model: tflite_file.Model) -> None:
    """Checks a model.

    Raises:
      flatbuffer.TruncatedError: It is not what a converter writes; the text
        says what must be.
    """
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            _require_quantization(tensor)
            if tensor.texts:
                _require_texts(tensor.texts)
        _require_values(graph)


def _require_quantization(tensor: tflite_file.Tensor) -> None:
    """Wants numbers that a tensor can hold; tables are made from them."""
    allowed = _ZERO_POINTS.get(tensor.type)
    if allowed is None:
        return
    if not all(each in allowed for each in tensor.zero_points):
        raise flatbuffer.TruncatedError(
            "a zero point must be a number that its tensor can hold"
        )
    if not all(math.isfinite(each) and each >= 0 for each in tensor.scales):
        raise flatbuffer.TruncatedError(
            "a scale must be a positive number that is finite"
        )


def _require_texts(content: bytes) -> None:
    """Wants texts one after the other.

    There is a count of texts, then the place of each of them and of the end.
    """
    num_texts = 0
    if len(content) >= _INT32:
        (num_texts,) = struct.unpack_from("<i", content)
    start = (num_texts + 2) * _INT32
    if num_texts < 0 or start > len(content):
        raise flatbuffer.TruncatedError("a list of texts must be whole")
    places = struct.unpack_from(f"<{num_texts + 1}i", content, _INT32)
    if [start, *places] != sorted([start, *places]) or places[-1] > len(
        content
    ):
        raise flatbuffer.TruncatedError("texts must be in their list, in order")


def _require_values(graph: tflite_file.Subgraph) -> None:
    """Wants that a tensor has a value before it is read."""
    ready = {*graph.inputs}
    for index, tensor in enumerate(graph.tensors):
        if (
            tensor.is_constant
            or tensor.is_variable
            or 0 in (tensor.shape or ())
        ):
            ready.add(index)
    for operator in graph.operators:
        _require_ready(operator.inputs, ready)
        ready.update(operator.outputs)
    _require_ready(graph.outputs, ready)


def _require_ready(indices: tuple[int, ...], ready: set[int]) -> None:
    if not ready.issuperset(index for index in indices if index >= 0):
        raise flatbuffer.TruncatedError(
            "a tensor must have a value before it is used"
        )
