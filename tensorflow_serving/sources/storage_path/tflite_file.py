"""The content of a TFLite model, as far as serving it depends on that.

Weights are not read. What is read is all there: reading fails for a file that
was cut off, wherever that was.

The format: https://ai.google.dev/edge/litert/conversion/tensorflow/overview
and the schema there.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import BinaryIO, Final

from tensorflow_serving.sources.storage_path import flatbuffer

# The name of the file in the folder of a version.
NAME: Final = "model.tflite"

_IDENTIFIER: Final = b"TFL3"
_SCHEMA_VERSION: Final = 3

# Numbers of fields.
_MODEL_VERSION, _MODEL_CODES, _MODEL_SUBGRAPHS = 0, 1, 2
_MODEL_BUFFERS, _MODEL_METADATA, _MODEL_SIGNATURES = 4, 6, 7
_CODE_OLD, _CODE_CUSTOM, _CODE_BUILTIN = 0, 1, 3
_SUBGRAPH_TENSORS, _SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS = 0, 1, 2
_SUBGRAPH_OPERATORS = 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER, _TENSOR_NAME = 0, 1, 2, 3
_TENSOR_QUANTIZATION, _TENSOR_EXTERNAL = 4, 10
_TENSOR_IS_VARIABLE, _TENSOR_SHAPE_SIGNATURE, _TENSOR_HAS_RANK = 5, 7, 8
_QUANTIZATION_SCALE, _QUANTIZATION_ZERO_POINT = 2, 3
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_OPERATOR_OPTIONS, _OPERATOR_CUSTOM_OPTIONS, _OPERATOR_OPTIONS_2 = 4, 5, 12
_OPERATOR_LARGE_OFFSET, _OPERATOR_LARGE_SIZE = 9, 10
_CALL_ONCE_SUBGRAPH = 0
_BUFFER_DATA, _BUFFER_OFFSET, _BUFFER_SIZE = 0, 1, 2
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS, _SIGNATURE_KEY = 0, 1, 2
_SIGNATURE_SUBGRAPH = 4
_TENSOR_MAP_NAME, _TENSOR_MAP_INDEX = 0, 1

_STRING: Final = 5
# Codes of operators.
_CUSTOM, _CALL_ONCE, _ASSIGN_VARIABLE = 32, 129, 144


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor as a model declares it."""

    name: str
    # A TensorType of the schema.
    type: int
    # None if not even the rank is known.
    shape: tuple[int, ...] | None
    # The shape with -1 for sizes that are open; None if the model does not say
    # which are, as models of old converters and those without such a size.
    shape_signature: tuple[int, ...] | None
    # Whether it keeps its value from one run to the next.
    is_variable: bool = False
    # Whether its value is in the file.
    is_constant: bool = False
    # The value of a constant of texts, in the form of TFLite.
    texts: bytes = b""
    # A quantized number stands for scale * (number - zero point); there are
    # several of each if they differ between the parts of the tensor.
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator; its operands are indices of tensors, -1 for one left out."""

    # The code of a builtin one, or that of all custom ones.
    code: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Subgraph:
    """One of the graphs of a model; inputs and outputs are indices."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    # In the order in which they run.
    operators: tuple[Operator, ...]
    # The subgraphs that it runs once, at its first run.
    initializers: Collection[int]

    @property
    def is_open(self) -> bool:
        """Whether an input has a size that calls choose."""
        inputs = [self.tensors[index] for index in self.inputs]
        return any(
            each.shape is None or -1 in (each.shape_signature or ())
            for each in inputs
        )


@dataclasses.dataclass(frozen=True)
class Signature:
    """Names for inputs and outputs of a subgraph; the values are indices."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Model:
    """A model."""

    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[Signature, ...]
    # The operators that are not builtin ones.
    custom_operators: tuple[str, ...]
    # By name.
    metadata: Mapping[str, bytes]

    @property
    def has_variable_tensors(self) -> bool:
        """Whether a run may depend on the one before it."""
        return any(
            tensor.is_variable
            for subgraph in self.subgraphs
            for tensor in subgraph.tensors
        )

    @property
    def assigns_variables(self) -> bool:
        """Whether a run may change the model, other than to initialize it."""
        initializers = {
            index for each in self.subgraphs for index in each.initializers
        }
        return any(
            operator.code == _ASSIGN_VARIABLE
            for index, subgraph in enumerate(self.subgraphs)
            if index not in initializers
            for operator in subgraph.operators
        )


def read(file: BinaryIO) -> Model:
    """Returns what is in a file.

    Raises:
      flatbuffer.TruncatedError: It is not a TFLite model, or not all of one.
      OSError: The storage failed.
    """
    return _Reader(flatbuffer.File(file)).model()


class _Reader:
    """Reads one file."""

    def __init__(self, file: flatbuffer.File) -> None:
        self._file = file
        # Where the contents of buffers are.
        self._buffers: list[range] = []
        # Codes of operators, and the names of custom ones.
        self._codes: list[tuple[int, str]] = []

    def model(self) -> Model:
        root = self._file.root(_IDENTIFIER)
        version = root.number(_MODEL_VERSION, "I")
        if version != _SCHEMA_VERSION:
            raise flatbuffer.TruncatedError(
                f"schema version must be {_SCHEMA_VERSION}; got {version}"
            )
        self._buffers = [
            self._content(each) for each in root.tables(_MODEL_BUFFERS)
        ]
        self._codes = [_code(each) for each in root.tables(_MODEL_CODES)]
        model = Model(
            tuple(map(self._subgraph, root.tables(_MODEL_SUBGRAPHS))),
            tuple(map(_signature, root.tables(_MODEL_SIGNATURES))),
            tuple(name for code, name in self._codes if code == _CUSTOM),
            {
                each.text(_METADATA_NAME): self._read(
                    self._buffer(each.number(_METADATA_BUFFER, "I"))
                )
                for each in root.tables(_MODEL_METADATA)
            },
        )
        _require_indices(model)
        return model

    def _subgraph(self, table: flatbuffer.Table) -> Subgraph:
        operators = []
        initializers = set()
        for each in table.tables(_SUBGRAPH_OPERATORS):
            operator = self._operator(each)
            operators.append(operator)
            options = each.table(_OPERATOR_OPTIONS)
            if operator.code == _CALL_ONCE and options is not None:
                initializers.add(options.number(_CALL_ONCE_SUBGRAPH, "i"))
        return Subgraph(
            tuple(map(self._tensor, table.tables(_SUBGRAPH_TENSORS))),
            table.numbers(_SUBGRAPH_INPUTS, "i") or (),
            table.numbers(_SUBGRAPH_OUTPUTS, "i") or (),
            tuple(operators),
            frozenset(initializers),
        )

    def _operator(self, table: flatbuffer.Table) -> Operator:
        index = table.number(_OPERATOR_CODE, "I")
        if index >= len(self._codes):
            raise flatbuffer.TruncatedError("an operator must have a code")
        table.table(_OPERATOR_OPTIONS_2)
        table.span(_OPERATOR_CUSTOM_OPTIONS, 1)
        self._file.require(
            table.number(_OPERATOR_LARGE_OFFSET, "Q"),
            table.number(_OPERATOR_LARGE_SIZE, "Q"),
        )
        return Operator(
            self._codes[index][0],
            table.numbers(_OPERATOR_INPUTS, "i") or (),
            table.numbers(_OPERATOR_OUTPUTS, "i") or (),
        )

    def _tensor(self, table: flatbuffer.Table) -> Tensor:
        shape = table.numbers(_TENSOR_SHAPE, "i")
        if not shape:
            shape = () if table.number(_TENSOR_HAS_RANK, "b") else None
        tensor_type = table.number(_TENSOR_TYPE, "b")
        value = self._buffer(table.number(_TENSOR_BUFFER, "I"))
        quantization = table.table(_TENSOR_QUANTIZATION)
        return Tensor(
            table.text(_TENSOR_NAME),
            tensor_type,
            shape,
            table.numbers(_TENSOR_SHAPE_SIGNATURE, "i"),
            bool(table.number(_TENSOR_IS_VARIABLE, "b")),
            is_constant=bool(value or table.number(_TENSOR_EXTERNAL, "I")),
            texts=self._read(value) if tensor_type == _STRING else b"",
            scales=()
            if quantization is None
            else quantization.floats(_QUANTIZATION_SCALE),
            zero_points=()
            if quantization is None
            else quantization.numbers(_QUANTIZATION_ZERO_POINT, "q") or (),
        )

    def _content(self, buffer: flatbuffer.Table) -> range:
        """Returns where the content of a buffer is; checks that it is there.

        A model of 2 GB and more has it behind everything else.
        """
        start = buffer.number(_BUFFER_OFFSET, "Q")
        size = buffer.number(_BUFFER_SIZE, "Q")
        self._file.require(start, size)
        span = buffer.span(_BUFFER_DATA, 1)
        return range(start, start + size) if span is None else span

    def _buffer(self, index: int) -> range:
        """Returns where the content of a buffer is; 0 is that of no tensor."""
        if index >= max(1, len(self._buffers)):
            raise flatbuffer.TruncatedError("a buffer must be in the model")
        return self._buffers[index] if index else range(0)

    def _read(self, place: range) -> bytes:
        return self._file.read(place.start, len(place))


def _code(table: flatbuffer.Table) -> tuple[int, str]:
    """Returns the code of an operator, and the name if it is a custom one."""
    code = max(table.number(_CODE_OLD, "b"), table.number(_CODE_BUILTIN, "i"))
    return code, table.text(_CODE_CUSTOM)


def _signature(table: flatbuffer.Table) -> Signature:
    inputs, outputs = (
        {
            each.text(_TENSOR_MAP_NAME): each.number(_TENSOR_MAP_INDEX, "I")
            for each in table.tables(field)
        }
        for field in (_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS)
    )
    return Signature(
        table.text(_SIGNATURE_KEY),
        table.number(_SIGNATURE_SUBGRAPH, "I"),
        inputs,
        outputs,
    )


def _require_indices(model: Model) -> None:
    """Wants a subgraph, and that what is named by its index is there."""
    if not model.subgraphs:
        raise flatbuffer.TruncatedError("a model must have a subgraph")
    named = [
        (index, (*subgraph.inputs, *subgraph.outputs))
        for index, subgraph in enumerate(model.subgraphs)
    ] + [
        (each.subgraph, (*each.inputs.values(), *each.outputs.values()))
        for each in model.signatures
    ]
    for subgraph, tensors in named:
        if subgraph >= len(model.subgraphs):
            raise flatbuffer.TruncatedError("a subgraph must be in the model")
        count = len(model.subgraphs[subgraph].tensors)
        if not all(0 <= index < count for index in tensors):
            raise flatbuffer.TruncatedError("a tensor must be in its subgraph")
