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
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_QUANTIZATION = 0, 1, 3, 4
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
    is_variable: bool


@dataclasses.dataclass(frozen=True)
class Subgraph:
    """One of the graphs of a model; inputs and outputs are indices."""

    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    # The codes of its builtin operators.
    operators: Collection[int]
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
            _ASSIGN_VARIABLE in subgraph.operators
            for index, subgraph in enumerate(self.subgraphs)
            if index not in initializers
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

    def model(self) -> Model:
        root = self._file.root(_IDENTIFIER)
        version = root.number(_MODEL_VERSION, "I")
        if version != _SCHEMA_VERSION:
            raise flatbuffer.TruncatedError(
                f"schema version must be {_SCHEMA_VERSION}; got {version}"
            )
        buffers = [
            self._content(buffer) for buffer in root.tables(_MODEL_BUFFERS)
        ]
        codes = [_code(each) for each in root.tables(_MODEL_CODES)]
        model = Model(
            tuple(
                self._subgraph(each, [code for code, _ in codes])
                for each in root.tables(_MODEL_SUBGRAPHS)
            ),
            tuple(_signature(each) for each in root.tables(_MODEL_SIGNATURES)),
            tuple(name for code, name in codes if code == _CUSTOM),
            {
                each.text(_METADATA_NAME): self._metadata(each, buffers)
                for each in root.tables(_MODEL_METADATA)
            },
        )
        _require_indices(model)
        return model

    def _subgraph(self, table: flatbuffer.Table, codes: list[int]) -> Subgraph:
        operators = set()
        initializers = set()
        for each in table.tables(_SUBGRAPH_OPERATORS):
            index = each.number(_OPERATOR_CODE, "I")
            if index >= len(codes):
                raise flatbuffer.TruncatedError("an operator must be known")
            operators.add(codes[index])
            self._require_operands(each)
            options = each.table(_OPERATOR_OPTIONS)
            if codes[index] == _CALL_ONCE and options is not None:
                initializers.add(options.number(_CALL_ONCE_SUBGRAPH, "i"))
        return Subgraph(
            tuple(_tensor(each) for each in table.tables(_SUBGRAPH_TENSORS)),
            table.numbers(_SUBGRAPH_INPUTS, "i") or (),
            table.numbers(_SUBGRAPH_OUTPUTS, "i") or (),
            frozenset(operators),
            frozenset(initializers),
        )

    def _require_operands(self, operator: flatbuffer.Table) -> None:
        operator.numbers(_OPERATOR_INPUTS, "i")
        operator.numbers(_OPERATOR_OUTPUTS, "i")
        operator.table(_OPERATOR_OPTIONS_2)
        operator.span(_OPERATOR_CUSTOM_OPTIONS, 1)
        self._file.require(
            operator.number(_OPERATOR_LARGE_OFFSET, "Q"),
            operator.number(_OPERATOR_LARGE_SIZE, "Q"),
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

    def _metadata(self, table: flatbuffer.Table, buffers: list[range]) -> bytes:
        index = table.number(_METADATA_BUFFER, "I")
        if index >= len(buffers):
            raise flatbuffer.TruncatedError("metadata must be in a buffer")
        return self._file.read(buffers[index].start, len(buffers[index]))


def _code(table: flatbuffer.Table) -> tuple[int, str]:
    """Returns the code of an operator, and the name if it is a custom one."""
    code = max(table.number(_CODE_OLD, "b"), table.number(_CODE_BUILTIN, "i"))
    return code, table.text(_CODE_CUSTOM)


def _tensor(table: flatbuffer.Table) -> Tensor:
    quantization = table.table(_TENSOR_QUANTIZATION)
    if quantization is not None:
        quantization.span(_QUANTIZATION_SCALE, 4)
        quantization.span(_QUANTIZATION_ZERO_POINT, 8)
    shape = table.numbers(_TENSOR_SHAPE, "i")
    if not shape:
        shape = () if table.number(_TENSOR_HAS_RANK, "b") else None
    return Tensor(
        table.text(_TENSOR_NAME),
        table.number(_TENSOR_TYPE, "b"),
        shape,
        table.numbers(_TENSOR_SHAPE_SIGNATURE, "i"),
        bool(table.number(_TENSOR_IS_VARIABLE, "b")),
    )


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
