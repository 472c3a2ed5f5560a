"""The signatures of a model in the form of SavedModels, whatever its format.

An export of 2016 has manifest.proto's signatures, which become SignatureDefs:

    default_signature        "serving_default"
    named "inputs", "outputs"  one to predict with, under "serving_default" if
                             there is no default signature, else "predict"
    any other named one      under its name; the placeholders of a generic one
                             are its inputs
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tensorflow_serving.session_bundle import (
    constants,
    manifest_pb2,
    session_bundle,
    signature,
    signature_runs,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

# https://www.tensorflow.org/api_docs/python/tf/saved_model
CLASSIFY_METHOD: Final = "tensorflow/serving/classify"
PREDICT_METHOD: Final = "tensorflow/serving/predict"
REGRESS_METHOD: Final = "tensorflow/serving/regress"
CLASSIFY_CLASSES: Final = "classes"
CLASSIFY_SCORES: Final = "scores"
INPUTS: Final = "inputs"
OUTPUTS: Final = "outputs"
DEFAULT_NAME: Final = "serving_default"

_PREDICT_NAME: Final = "predict"
_PLACEHOLDERS: Final = {
    "Placeholder",
    "PlaceholderV2",
    "PlaceholderWithDefault",
}

_Bundle = session_bundle.SessionBundle[session_lib.Session]


def signature_defs(
    bundle: _Bundle,
) -> Mapping[str, meta_graph_pb2.SignatureDef]:
    """Returns the signatures of a bundle by name.

    Raises:
      FailedPreconditionError: It is an export without readable signatures, or
        one of them names a tensor that is not in the graph. Permanent.
    """
    meta_graph_def = bundle.meta_graph_def
    if constants.SIGNATURES_KEY not in meta_graph_def.collection_def:
        return dict(meta_graph_def.signature_def)
    assert bundle.graph is not None
    converter = _Converter(bundle.graph)
    try:
        return converter.convert(signature.get_signatures(meta_graph_def))
    except errors.InvalidArgumentError as error:
        raise errors.FailedPreconditionError(
            f"signatures of the export must fit its graph; got {error}: "
            f"{bundle.path}"
        ) from None


class _Converter:
    """Converts signatures of manifest.proto."""

    def __init__(self, graph: graph_lib.Graph) -> None:
        self._graph = graph

    def convert(
        self, signatures: manifest_pb2.Signatures
    ) -> dict[str, meta_graph_pb2.SignatureDef]:
        converted = {}
        named = dict(signatures.named_signatures)
        if signatures.HasField("default_signature"):
            named[DEFAULT_NAME] = signatures.default_signature
        if _is_generic(named.get(INPUTS)) and _is_generic(named.get(OUTPUTS)):
            inputs = named.pop(INPUTS).generic_signature.map
            outputs = named.pop(OUTPUTS).generic_signature.map
            name = _PREDICT_NAME if DEFAULT_NAME in named else DEFAULT_NAME
            converted[name] = self._definition(
                PREDICT_METHOD, _names(inputs), _names(outputs)
            )
        for name, each in named.items():
            definition = self._convert_one(each)
            if definition is not None:
                converted[name] = definition
        return converted

    def _convert_one(
        self, each: manifest_pb2.Signature
    ) -> meta_graph_pb2.SignatureDef | None:
        """Returns a definition; None if nobody can run the signature."""
        kind = each.WhichOneof("type")
        if kind == "regression_signature":
            regression = each.regression_signature
            return self._definition(
                REGRESS_METHOD,
                {INPUTS: regression.input.tensor_name},
                {OUTPUTS: regression.output.tensor_name},
            )
        if kind == "classification_signature":
            classification = each.classification_signature
            outputs = {
                CLASSIFY_CLASSES: classification.classes.tensor_name,
                CLASSIFY_SCORES: classification.scores.tensor_name,
            }
            return self._definition(
                CLASSIFY_METHOD,
                {INPUTS: classification.input.tensor_name},
                {key: name for key, name in outputs.items() if name},
            )
        if kind != "generic_signature":
            return None
        names = _names(each.generic_signature.map)
        inputs = {
            key: name
            for key, name in names.items()
            if self._is_placeholder(name)
        }
        outputs = {
            key: name for key, name in names.items() if key not in inputs
        }
        if not inputs or not outputs:
            return None
        return self._definition(PREDICT_METHOD, inputs, outputs)

    def _definition(
        self,
        method_name: str,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
    ) -> meta_graph_pb2.SignatureDef:
        return meta_graph_pb2.SignatureDef(
            method_name=method_name,
            inputs=self._infos(inputs),
            outputs=self._infos(outputs),
        )

    def _infos(
        self, names: Mapping[str, str]
    ) -> dict[str, meta_graph_pb2.TensorInfo]:
        infos = {}
        for key, name in names.items():
            tensor = self._graph.tensor_info(graph_lib.tensor_name(name))
            infos[key] = tensor_info(
                tensor.name, tensor.data_type, tensor.shape
            )
        return infos

    def _is_placeholder(self, tensor: str) -> bool:
        operation = tensor.partition(":")[0]
        return (
            self._graph.has_operation(operation)
            and self._graph.op_type(operation) in _PLACEHOLDERS
        )


def _is_generic(each: manifest_pb2.Signature | None) -> bool:
    return each is not None and each.HasField("generic_signature")


def _names(
    bindings: Mapping[str, manifest_pb2.TensorBinding],
) -> dict[str, str]:
    return {key: binding.tensor_name for key, binding in bindings.items()}


def tensor_info(
    name: str, dtype: int, shape: Sequence[int | None] | None
) -> meta_graph_pb2.TensorInfo:
    """Returns the part of a signature that describes a tensor.

    Args:
      name: The name of the tensor.
      dtype: A DataType.
      shape: None for a size that is open; None instead of a sequence for any
        shape.
    """
    info = meta_graph_pb2.TensorInfo(
        name=name,
        dtype=dtype,  # type: ignore[arg-type]
    )
    # A shape without dimensions is that of a scalar.
    info.tensor_shape.SetInParent()
    info.tensor_shape.unknown_rank = shape is None
    for size in shape or ():
        info.tensor_shape.dim.add(size=-1 if size is None else size)
    return info


def names_for_callers(names: Iterable[str]) -> list[str]:
    """Returns the names of the signatures that are for callers, sorted."""
    return sorted(
        name
        for name in names
        if not name.startswith(signature_runs.INTERNAL_PREFIX)
    )


def tensor_names(
    infos: Iterable[meta_graph_pb2.TensorInfo],
) -> list[str]:
    """Returns the names of dense tensors.

    Raises:
      FailedPreconditionError: One is sparse or ragged. Permanent.
    """
    names = []
    for info in infos:
        if info.WhichOneof("encoding") != "name":
            raise errors.FailedPreconditionError(
                "signatures with sparse or ragged tensors cannot be called; "
                "export one with dense tensors"
            )
        names.append(graph_lib.tensor_name(info.name))
    return names
