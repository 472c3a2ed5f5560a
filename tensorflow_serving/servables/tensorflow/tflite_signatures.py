"""The signatures of a TFLite model in the form of SavedModels.

They are looked for in this order:

    metadata          the buffer signature_defs_metadata: a FlexBuffer, a map
                      from keys to serialized SignatureDefs
    signature_defs    of the model itself, as today's converter writes them
    neither           inputs and outputs of the first graph, by their names

Quantized tensors are what they are in the file: integers.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tensorflow_serving.servables.tensorflow import signature_defs
from tensorflow_serving.sources.storage_path import tflite_file
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2, types_pb2
from tensorflow_serving.util import errors, tensor_spec

_METADATA: Final = "signature_defs_metadata"
# By the TensorType of TFLite. An element of the types that are not here is less
# than a byte, or refers to something in the interpreter.
_DATA_TYPES: Final = {
    0: types_pb2.DT_FLOAT,
    1: types_pb2.DT_HALF,
    2: types_pb2.DT_INT32,
    3: types_pb2.DT_UINT8,
    4: types_pb2.DT_INT64,
    5: types_pb2.DT_STRING,
    6: types_pb2.DT_BOOL,
    7: types_pb2.DT_INT16,
    8: types_pb2.DT_COMPLEX64,
    9: types_pb2.DT_INT8,
    10: types_pb2.DT_DOUBLE,
    11: types_pb2.DT_COMPLEX128,
    12: types_pb2.DT_UINT64,
    15: types_pb2.DT_UINT32,
    16: types_pb2.DT_UINT16,
    18: types_pb2.DT_BFLOAT16,
}


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor of a signature."""

    # With the name that it has in the signature.
    spec: tensor_spec.TensorSpec
    # Its place in the model.
    subgraph: int
    index: int
    # The sizes that calls may give it; None for a size that is open, and None
    # instead of a tuple for any shape.
    sizes: tuple[int | None, ...] | None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Returns whether the tensor can be given a shape.

        As clients of TensorFlow Serving do, one may leave out dimensions of
        size 1 behind the rows. Any other shape is refused here: some operators
        of TFLite would take it, and compute something else.
        """
        if self.sizes is None:
            return True
        if len(shape) == 1 and {*self.sizes[1:]} == {1}:
            shape += (1,) * (len(self.sizes) - 1)
        return tensor_spec.fits(self.sizes, shape)


@dataclasses.dataclass(frozen=True)
class Signatures:
    """The signatures of a model, and the tensors that they name."""

    definitions: Mapping[str, meta_graph_pb2.SignatureDef]
    # By the names in the signatures, which differ for different tensors.
    tensors: Mapping[str, Tensor]


def signatures(model: tflite_file.Model) -> Signatures:
    """Returns the signatures of a model.

    Raises:
      FailedPreconditionError: A signature does not fit the model, or names a
        tensor that cannot be sent. Permanent.
    """
    converter = _Converter(model)
    for each in _found(model):
        converter.add(each)
    return Signatures(converter.definitions, converter.tensors)


@dataclasses.dataclass(frozen=True)
class _Signature:
    """A signature of any source; the values are indices of tensors."""

    key: str
    method_name: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


class _Converter:
    """Collects signatures."""

    def __init__(self, model: tflite_file.Model) -> None:
        self._model = model
        self.definitions: dict[str, meta_graph_pb2.SignatureDef] = {}
        self.tensors: dict[str, Tensor] = {}
        # By subgraph and index.
        self._names: dict[tuple[int, int], str] = {}

    def add(self, signature: _Signature) -> None:
        subgraph = self._model.subgraphs[signature.subgraph]
        if {*signature.inputs.values()} != {*subgraph.inputs}:
            raise errors.FailedPreconditionError(
                f"signature {signature.key} must have all "
                f"{len({*subgraph.inputs})} inputs of the graph; got "
                f"{sorted(signature.inputs)}"
            )
        self.definitions[signature.key] = meta_graph_pb2.SignatureDef(
            method_name=signature.method_name,
            inputs={
                key: self._info(signature, index)
                for key, index in signature.inputs.items()
            },
            outputs={
                key: self._info(signature, index)
                for key, index in signature.outputs.items()
            },
        )

    def _info(
        self, signature: _Signature, index: int
    ) -> meta_graph_pb2.TensorInfo:
        tensor = self._model.subgraphs[signature.subgraph].tensors[index]
        if tensor.type not in _DATA_TYPES:
            raise errors.FailedPreconditionError(
                f"tensors of signature {signature.key} must have a type of "
                f"arrays; got TensorType {tensor.type} for {tensor.name}"
            )
        return signature_defs.tensor_info(
            self._name(signature.subgraph, index, tensor),
            _DATA_TYPES[tensor.type],
            _declared_sizes(tensor),
        )

    def _name(
        self, subgraph: int, index: int, tensor: tflite_file.Tensor
    ) -> str:
        """Returns a name for a tensor, in the form of those of TensorFlow.

        The graphs of a model may have tensors of the same name.
        """
        place = (subgraph, index)
        if place not in self._names:
            name = tensor.name if ":" in tensor.name else f"{tensor.name}:0"
            if name in self.tensors:
                name = f"{subgraph}/{index}/{name}"
            self._names[place] = name
            self.tensors[name] = Tensor(
                tensor_spec.TensorSpec(
                    name,
                    data_type.to_numpy(_DATA_TYPES[tensor.type]),
                    _declared_sizes(tensor),
                ),
                subgraph,
                index,
                _sizes(tensor),
            )
        return self._names[place]


def _declared_sizes(
    tensor: tflite_file.Tensor,
) -> tuple[int | None, ...] | None:
    if tensor.shape is None:
        return None
    sizes = tensor.shape_signature or tensor.shape
    return tuple(None if size < 0 else size for size in sizes)


def _sizes(tensor: tflite_file.Tensor) -> tuple[int | None, ...] | None:
    """Returns the sizes that calls may give a tensor.

    Old converters made 1 of an open number of rows and did not say so.
    """
    sizes = _declared_sizes(tensor)
    if sizes and tensor.shape_signature is None and sizes[0] == 1:
        return (None, *sizes[1:])
    return sizes


def _found(model: tflite_file.Model) -> Iterator[_Signature]:
    """Yields the signatures of the first source that has some."""
    if content := model.metadata.get(_METADATA):
        for key, definition in _parsed(content).items():
            yield _of_definition(key, definition, model.subgraphs[0])
    elif model.signatures:
        for each in model.signatures:
            yield _Signature(
                each.key,
                signature_defs.PREDICT_METHOD,
                each.subgraph,
                each.inputs,
                each.outputs,
            )
    else:
        graph = model.subgraphs[0]
        yield _Signature(
            signature_defs.DEFAULT_NAME,
            signature_defs.PREDICT_METHOD,
            0,
            _by_name(graph, graph.inputs),
            _by_name(graph, graph.outputs),
        )


def _parsed(content: bytes) -> Mapping[str, meta_graph_pb2.SignatureDef]:
    """Returns the signatures of the metadata."""
    # Few models need it.
    from flatbuffers import flexbuffers

    parsed = {}
    try:
        packed = flexbuffers.GetRoot(content).AsMap
        if len(packed) > len(content):
            raise ValueError("more entries than bytes")
        for key, value in zip(packed.Keys, packed.Values, strict=True):
            serialized = value.AsBlob if value.IsBlob else value.AsStringBytes
            parsed[key.AsKey] = meta_graph_pb2.SignatureDef.FromString(
                bytes(serialized)
            )
    except Exception as error:
        # Garbage leads to errors of all kinds.
        raise errors.FailedPreconditionError(
            f"metadata {_METADATA} must be a map of SignatureDefs; got "
            f"{type(error).__name__}"
        ) from None
    return parsed


def _of_definition(
    key: str,
    definition: meta_graph_pb2.SignatureDef,
    graph: tflite_file.Subgraph,
) -> _Signature:
    return _Signature(
        key,
        definition.method_name or signature_defs.PREDICT_METHOD,
        0,
        _indices(key, definition.inputs, _by_name(graph, graph.inputs)),
        _indices(key, definition.outputs, _by_name(graph, graph.outputs)),
    )


def _indices(
    key: str,
    infos: Mapping[str, meta_graph_pb2.TensorInfo],
    by_name: Mapping[str, int],
) -> dict[str, int]:
    """Returns the tensors of one side of a signature.

    Old converters left out the ":0" of the names in the graph.
    """
    indices = {}
    for name, info in infos.items():
        for each in (info.name, info.name.partition(":")[0]):
            if each in by_name:
                indices[name] = by_name[each]
                break
        else:
            raise errors.FailedPreconditionError(
                f"signature {key} must name tensors of the graph, of "
                f"{sorted(by_name)}; got {info.name} for {name}"
            )
    return indices


def _by_name(
    graph: tflite_file.Subgraph, indices: Sequence[int]
) -> dict[str, int]:
    names = {graph.tensors[index].name: index for index in indices}
    if len(names) < len({*indices}) or "" in names:
        raise errors.FailedPreconditionError(
            "inputs and outputs of a model without signatures must have names "
            f"that differ; got {[graph.tensors[each].name for each in indices]}"
        )
    return names
