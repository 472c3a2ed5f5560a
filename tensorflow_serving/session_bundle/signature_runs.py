"""The runs of a graph that the signatures of a model stand for."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from absl import logging
from typing_extensions import Self

from tensorflow_serving.session_bundle import (
    constants,
    manifest_pb2,
    signature,
)
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

# Generic signatures that belong together: the original's convention.
_INPUTS, _OUTPUTS = "inputs", "outputs"
# Signatures of SavedModels that are not for callers.
INTERNAL_PREFIX: Final = "__saved_model_"
# Operations that a graph needs a value for.
_PLACEHOLDERS: Final = {
    "Placeholder",
    "PlaceholderV2",
    "PlaceholderWithDefault",
}
# Stateful operations that leave variables, tables and files as they are. What
# they call, for those that call functions, is looked at for itself.
_WITHOUT_EFFECT: Final = {
    # Control flow.
    *("Case", "For", "If", "PartitionedCall", "StatefulPartitionedCall"),
    *("While", "XlaCallModule", "Assert", "CheckNumerics", "CheckNumericsV2"),
    *("RefEnter", "RefExit", "RefIdentity", "RefMerge", "RefNextIteration"),
    *("RefSelect", "RefSwitch"),
    # Values of variables.
    *("VarHandleOp", "ReadVariableOp", "VarIsInitializedOp", "VariableShape"),
    *("ResourceGather", "ResourceGatherNd", "Variable", "VariableV2"),
    *("IsVariableInitialized",),
    # Values of tables.
    *("HashTable", "HashTableV2", "MutableHashTable", "MutableHashTableV2"),
    *("MutableDenseHashTable", "MutableDenseHashTableV2"),
    *("MutableHashTableOfTensors", "MutableHashTableOfTensorsV2"),
    *("LookupTableFind", "LookupTableFindV2", "LookupTableSize"),
    "LookupTableSizeV2",
    *("LookupTableExport", "LookupTableExportV2"),
    # Random numbers.
    *("Multinomial", "ParameterizedTruncatedNormal", "RandomGamma"),
    *("RandomCrop", "RandomPoisson", "RandomPoissonV2", "RandomShuffle"),
    *("RandomStandardNormal", "RandomUniform", "RandomUniformInt"),
    *("StatelessRandomGetAlg", "TruncatedNormal"),
    # Trees of boosted_trees.
    *("BoostedTreesEnsembleResourceHandleOp", "BoostedTreesPredict"),
    # Resources that end with the run.
    *("StackPopV2", "StackPushV2", "StackV2", "StackCloseV2"),
    *("TensorArrayCloseV3", "TensorArrayConcatV3", "TensorArrayGatherV3"),
    *("TensorArrayReadV3", "TensorArrayScatterV3", "TensorArraySizeV3"),
    *("TensorArraySplitV3", "TensorArrayV3", "TensorArrayWriteV3"),
}


@dataclasses.dataclass(frozen=True)
class SignatureRun:
    """The tensors that a signature feeds and fetches."""

    # Names the signature in the log.
    name: str
    # Whole names of tensors.
    fetches: tuple[str, ...]
    feeds: tuple[str, ...]

    @classmethod
    def of_tensors(
        cls, name: str, fetches: Iterable[str], feeds: Iterable[str]
    ) -> Self:
        """Returns the run of a signature, with the names that it gives."""
        return cls(
            name,
            tuple(map(graph_lib.tensor_name, fetches)),
            tuple(map(graph_lib.tensor_name, feeds)),
        )

    def effects(self, graph: graph_lib.Graph) -> Sequence[str]:
        """Returns the types of operations that may change the model.

        They may change something outside of it as well, such as a file.

        Raises:
          InvalidArgumentError: A tensor is not in the graph. Permanent.
        """
        stateful = graph.stateful_ops(self.fetches, self.feeds)
        return sorted(stateful - _WITHOUT_EFFECT)


def signature_runs(
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
    path: str,
    graph: graph_lib.Graph | None,
) -> Iterator[SignatureRun]:
    """Yields a run for each signature of a SavedModel or an export.

    Signatures that are not for callers are left out.

    Args:
      meta_graph_def: Holds the signatures.
      path: Names the model in the log.
      graph: Tells placeholders from other tensors; without it, generic
        signatures of no known direction are left out.
    """
    for name, definition in sorted(meta_graph_def.signature_def.items()):
        if not name.startswith(INTERNAL_PREFIX):
            yield SignatureRun.of_tensors(
                f"signature {name}",
                _tensor_names(definition.outputs),
                _tensor_names(definition.inputs),
            )
    if constants.SIGNATURES_KEY not in meta_graph_def.collection_def:
        return
    try:
        signatures = signature.get_signatures(meta_graph_def)
    except errors.ServingError as error:
        logging.warning("Signatures of %s are of no use: %s", path, error)
        return
    if signatures.HasField("default_signature"):
        yield from _classify_or_regress(
            "default signature", signatures.default_signature
        )
    named = signatures.named_signatures
    for name in sorted(named):
        yield from _classify_or_regress(f"signature {name}", named[name])
    yield from _generic_calls(signatures, graph)


def _tensor_names(
    tensors: Mapping[str, meta_graph_pb2.TensorInfo],
) -> tuple[str, ...]:
    return tuple(
        sorted({each for tensor in tensors.values() for each in _names(tensor)})
    )


def _names(tensor: meta_graph_pb2.TensorInfo) -> Iterator[str]:
    """Yields the names of the tensors that a sparse or ragged one consists of.

    A dense tensor is one itself.
    """
    kind = tensor.WhichOneof("encoding")
    if kind == "coo_sparse":
        sparse = tensor.coo_sparse
        yield sparse.values_tensor_name
        yield sparse.indices_tensor_name
        yield sparse.dense_shape_tensor_name
    elif kind == "composite_tensor":
        for component in tensor.composite_tensor.components:
            yield from _names(component)
    else:
        yield tensor.name


def _classify_or_regress(
    name: str, found: manifest_pb2.Signature
) -> Iterator[SignatureRun]:
    """Yields the run of a regression or classification."""
    if found.HasField("regression_signature"):
        regression = found.regression_signature
        outputs = [regression.output]
        inputs = regression.input
    elif found.HasField("classification_signature"):
        classification = found.classification_signature
        outputs = [classification.classes, classification.scores]
        inputs = classification.input
    else:
        return
    yield SignatureRun.of_tensors(
        name,
        tuple(each.tensor_name for each in outputs if each.tensor_name),
        (inputs.tensor_name,),
    )


def _generic_calls(
    signatures: manifest_pb2.Signatures, graph: graph_lib.Graph | None
) -> Iterator[SignatureRun]:
    """Yields the runs of generic signatures.

    Those called "inputs" and "outputs" are one. Of any other, placeholders are
    what is fed; if the graph is not known, it is not run.
    """
    generic = {
        name: sorted(
            {each.tensor_name for each in found.generic_signature.map.values()}
        )
        for name, found in sorted(signatures.named_signatures.items())
        if found.HasField("generic_signature")
    }
    if _INPUTS in generic and _OUTPUTS in generic:
        yield SignatureRun.of_tensors(
            f"signatures {_INPUTS} and {_OUTPUTS}",
            tuple(generic.pop(_OUTPUTS)),
            tuple(generic.pop(_INPUTS)),
        )
    for name, tensors in generic.items():
        feeds = tuple(each for each in tensors if _is_placeholder(graph, each))
        fetches = tuple(each for each in tensors if each not in feeds)
        if feeds and fetches:
            yield SignatureRun.of_tensors(f"signature {name}", fetches, feeds)


def _is_placeholder(graph: graph_lib.Graph | None, tensor: str) -> bool:
    operation = tensor.partition(":")[0]
    return (
        graph is not None
        and graph.has_operation(operation)
        and graph.op_type(operation) in _PLACEHOLDERS
    )
