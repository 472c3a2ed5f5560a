"""Small TFLite models, put together without TensorFlow and its converter.

They are as old converters or other tools leave them, or broken on purpose; for
what today's converter makes see zoo_tflite_models.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2

TensorType: Final = schema.TensorType
BuiltinOperator: Final = schema.BuiltinOperator

_IDENTIFIER: Final = b"TFL3"
_SCHEMA_VERSION: Final = 3
_SIGNATURES: Final = "signature_defs_metadata"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a model."""

    name: str
    shape: Sequence[int] = ()
    type: int = TensorType.FLOAT32
    # If it is a constant.
    value: npt.NDArray[Any] | None = None
    shape_signature: Sequence[int] | None = None
    is_variable: bool = False
    # Whether it is a scalar if it has no shape; else its rank is not known.
    has_rank: bool = True
    # If it is quantized: the scale, and the number that stands for 0.
    quantization: tuple[float, int] | None = None


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator; its operands are the indices of tensors."""

    inputs: Sequence[int]
    outputs: Sequence[int]
    # A builtin one, or the name of a custom one.
    code: int | str
    # A pair of a member of schema.BuiltinOptions and an object of its class.
    options: tuple[int, Any] | None = None


def write(
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Sequence[int],
    outputs: Sequence[int],
    *,
    signatures: Mapping[str, meta_graph_pb2.SignatureDef] | None = None,
    metadata: Mapping[str, bytes] | None = None,
) -> bytes:
    """Returns the content of a model.tflite with one graph.

    Args:
      tensors: The tensors of the graph.
      operators: In the order in which they run.
      inputs: Indices of tensors.
      outputs: Indices of tensors.
      signatures: Kept as metadata, as tools of TensorFlow 2.3 did.
      metadata: More of it, by name.
    """
    entries = dict(metadata or {})
    if signatures is not None:
        entries[_SIGNATURES] = _packed(signatures)
    model = schema.ModelT()
    model.version = _SCHEMA_VERSION
    # The first buffer is the one of all tensors without a value.
    model.buffers = [schema.BufferT()]
    model.operatorCodes = [_code(each.code) for each in operators]
    model.subgraphs = [schema.SubGraphT()]
    (graph,) = model.subgraphs
    graph.tensors = [_tensor(each, model) for each in tensors]
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    graph.operators = [
        _operator(each, index) for index, each in enumerate(operators)
    ]
    model.metadata = [
        _metadata(name, value, model) for name, value in entries.items()
    ]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def half_plus(
    bias: float,
    *,
    suffix: str = "",
    signatures: Mapping[str, meta_graph_pb2.SignatureDef] | None = None,
) -> bytes:
    """Returns a model of y = x / 2 + bias as TensorFlow 1 converted it.

    Tensors x and y have shape [1, 1] and no signature.

    Args:
      bias: A number.
      suffix: The end of the names of the tensors.
      signatures: See write().
    """
    return write(
        [
            Tensor(f"x{suffix}", [1, 1]),
            Tensor("a", value=np.array(0.5, np.float32)),
            Tensor("b", value=np.array(bias, np.float32)),
            Tensor("ax", [1, 1]),
            Tensor(f"y{suffix}", [1, 1]),
        ],
        [
            Operator([0, 1], [3], BuiltinOperator.MUL),
            Operator([3, 2], [4], BuiltinOperator.ADD),
        ],
        [0],
        [4],
        signatures=signatures,
    )


def reshape(
    tensor_type: int = TensorType.STRING,
    *,
    signatures: Mapping[str, meta_graph_pb2.SignatureDef] | None = None,
) -> bytes:
    """Returns a model that gives a list another shape.

    Tensors list: [1], shape: int32 [1], output: [1], all of them open.
    """
    return write(
        [
            Tensor("list", [1], tensor_type),
            Tensor("shape", [1], TensorType.INT32),
            Tensor("output", [1], tensor_type),
        ],
        [Operator([0, 1], [2], BuiltinOperator.RESHAPE)],
        [0, 1],
        [2],
        signatures=signatures,
    )


def copy(tensor: Tensor, **kwargs: Any) -> bytes:
    """Returns a model whose output y, of any type, is its input.

    Args:
      tensor: The input.
      **kwargs: See write().
    """
    rows = Tensor("rows", [2], TensorType.INT32, np.array([-1, 1], np.int32))
    output = dataclasses.replace(tensor, name="y")
    return write(
        [tensor, rows, output],
        [Operator([0, 1], [2], BuiltinOperator.RESHAPE)],
        [0],
        [2],
        **kwargs,
    )


def custom(name: str) -> bytes:
    """Returns a model of a custom operator; x and y have shape [1]."""
    return write(
        [Tensor("x", [1]), Tensor("y", [1])],
        [Operator([0], [1], name)],
        [0],
        [1],
    )


def recurrent() -> bytes:
    """Returns a model that adds its input to what it keeps between runs.

    Tensors x and y have shape [1, 1], and so has the state.
    """
    one = np.ones([1, 1], np.float32)
    options = schema.RNNOptionsT()
    return write(
        [
            Tensor("x", [1, 1]),
            Tensor("weights", [1, 1], value=one),
            Tensor("recurrent_weights", [1, 1], value=one),
            Tensor("bias", [1], value=np.zeros([1], np.float32)),
            Tensor("state", [1, 1], is_variable=True),
            Tensor("y", [1, 1]),
        ],
        [
            Operator(
                [0, 1, 2, 3, 4],
                [5],
                BuiltinOperator.RNN,
                (schema.BuiltinOptions.RNNOptions, options),
            )
        ],
        [0],
        [5],
    )


def _packed(
    signatures: Mapping[str, meta_graph_pb2.SignatureDef],
) -> bytes:
    """Returns signatures in the form of the metadata."""
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, definition in signatures.items():
            builder.Key(name)
            content = definition.SerializeToString()
            try:
                builder.String(content.decode())
            except UnicodeDecodeError:
                builder.Blob(content)
    return bytes(builder.Finish())


def _code(code: int | str) -> Any:
    made = schema.OperatorCodeT()
    made.version = 1
    if isinstance(code, str):
        made.customCode = code
        code = BuiltinOperator.CUSTOM
    made.builtinCode = code
    # A byte, from when there were few of them.
    made.deprecatedBuiltinCode = min(
        code, BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
    )
    return made


def _tensor(tensor: Tensor, model: Any) -> Any:
    made = schema.TensorT()
    made.name = tensor.name
    made.shape = list(tensor.shape)
    made.type = tensor.type
    made.isVariable = tensor.is_variable
    made.hasRank = tensor.has_rank
    if tensor.quantization is not None:
        made.quantization = schema.QuantizationParametersT()
        scale, zero_point = tensor.quantization
        made.quantization.scale = [scale]
        made.quantization.zeroPoint = [zero_point]
    if tensor.shape_signature is not None:
        made.shapeSignature = list(tensor.shape_signature)
    if tensor.value is not None:
        made.buffer = _buffer(tensor.value.tobytes(), model)
    return made


def _operator(operator: Operator, code_index: int) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = code_index
    made.inputs = list(operator.inputs)
    made.outputs = list(operator.outputs)
    if operator.options is not None:
        made.builtinOptionsType, made.builtinOptions = operator.options
    return made


def _metadata(name: str, value: bytes, model: Any) -> Any:
    made = schema.MetadataT()
    made.name = name
    made.buffer = _buffer(value, model)
    return made


def _buffer(content: bytes, model: Any) -> int:
    """Adds a buffer to a model; returns its index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1
