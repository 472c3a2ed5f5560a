"""Runs each signature of a model once, so that no caller waits for the first.

TensorFlow prepares what is run at its first run: it prunes and optimises the
graph, starts threads and allocates memory.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from absl import logging

from tensorflow_serving.batching import tensor_batch
from tensorflow_serving.session_bundle import (
    constants,
    manifest_pb2,
    session_bundle,
    signature,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

# Generic signatures that belong together: the original's convention.
_INPUTS, _OUTPUTS = "inputs", "outputs"
# Signatures of SavedModels that are not for callers.
_INTERNAL_PREFIX = "__saved_model_"
# Operations that a graph needs a value for.
_PLACEHOLDERS = {"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"}
# Stateful operations that leave variables, tables and files as they are. What
# they call, for those that call functions, is looked at for itself.
_WITHOUT_EFFECT = {
    # Control flow.
    *("Case", "For", "If", "PartitionedCall", "StatefulPartitionedCall"),
    *("While", "XlaCallModule", "Assert"),
    # Values of variables.
    *("VarHandleOp", "ReadVariableOp", "VarIsInitializedOp", "VariableShape"),
    *("ResourceGather", "ResourceGatherNd", "Variable", "VariableV2"),
    *("IsVariableInitialized",),
    # Values of tables.
    *("HashTable", "HashTableV2", "MutableHashTable", "MutableHashTableV2"),
    *("MutableDenseHashTable", "MutableDenseHashTableV2"),
    *("LookupTableFind", "LookupTableFindV2", "LookupTableSizeV2"),
    *("LookupTableExport", "LookupTableExportV2"),
    # Random numbers.
    *("Multinomial", "ParameterizedTruncatedNormal", "RandomGamma"),
    *("RandomPoisson", "RandomPoissonV2", "RandomShuffle"),
    *("RandomStandardNormal", "RandomUniform", "RandomUniformInt"),
    *("TruncatedNormal",),
    # Resources that end with the run.
    *("StackPopV2", "StackPushV2", "StackV2", "StackCloseV2"),
    *("TensorArrayCloseV3", "TensorArrayConcatV3", "TensorArrayGatherV3"),
    *("TensorArrayReadV3", "TensorArrayScatterV3", "TensorArraySizeV3"),
    *("TensorArraySplitV3", "TensorArrayV3", "TensorArrayWriteV3"),
}


def warm_up(bundle: session_bundle.SessionBundle[session_lib.Session]) -> None:
    """Runs each signature of a bundle of a factory once, with one row.

    Inputs are zeros, or empty texts, which are serialized tf.train.Examples
    without features. A dimension that the graph leaves open is 1.

    Zeros may be illegal for a model, so that a run that fails is a warning in
    the log. What it prepared up to there is prepared.

    A signature that may have an effect is not run, since nobody asked for it:
    one that trains, for example, or that saves variables.

    A run of a bundle that batches waits for batch_timeout_micros, like any
    lone call.
    """
    calls = list(_calls(bundle.meta_graph_def, bundle.path, bundle.graph))
    if not calls:
        logging.warning(
            "%s has no signature that could be warmed up; its first request "
            "may be slow",
            bundle.path,
        )
    done = set()
    for call in calls:
        if (key := (call.fetches, call.feeds)) in done:
            continue
        done.add(key)
        try:
            if bundle.graph is not None and _has_effect(bundle.graph, call):
                continue
            _run(bundle.session, call)
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            logging.warning(
                "Warming up %s of %s with zeros failed; its first request may "
                "be slow: %s",
                call.name,
                bundle.path,
                reason,
            )


@dataclasses.dataclass(frozen=True)
class _Call:
    """What to run."""

    # Of the signature, for the log.
    name: str
    # Names of tensors.
    fetches: tuple[str, ...]
    feeds: tuple[str, ...]


@runtime_checkable
class _Described(Protocol):
    """A session that knows its tensors, as those of factories do."""

    def tensor_spec(self, name: str) -> tensor_batch.TensorSpec:
        """Returns dtype and shape of a tensor."""


def _has_effect(graph: graph_lib.Graph, call: _Call) -> bool:
    """Returns whether a call may change the model, or something else."""
    stateful = graph.stateful_ops(call.fetches, call.feeds)
    effects = sorted(stateful - _WITHOUT_EFFECT)
    if effects:
        logging.info(
            "Not warming up %s: it may have an effect, by its %s",
            call.name,
            ", ".join(effects),
        )
    return bool(effects)


def _calls(
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
    path: str,
    graph: graph_lib.Graph | None,
) -> Iterator[_Call]:
    for name, definition in sorted(meta_graph_def.signature_def.items()):
        if not name.startswith(_INTERNAL_PREFIX):
            yield _Call(
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
        yield from _call("default signature", signatures.default_signature)
    named = signatures.named_signatures
    for name in sorted(named):
        yield from _call(f"signature {name}", named[name])
    yield from _generic_calls(signatures, graph)


def _tensor_names(
    tensors: Mapping[str, meta_graph_pb2.TensorInfo],
) -> tuple[str, ...]:
    return tuple(sorted(tensor.name for tensor in tensors.values()))


def _call(name: str, found: manifest_pb2.Signature) -> Iterator[_Call]:
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
    yield _Call(
        name,
        tuple(each.tensor_name for each in outputs if each.tensor_name),
        (inputs.tensor_name,),
    )


def _generic_calls(
    signatures: manifest_pb2.Signatures, graph: graph_lib.Graph | None
) -> Iterator[_Call]:
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
        yield _Call(
            f"signatures {_INPUTS} and {_OUTPUTS}",
            tuple(generic.pop(_OUTPUTS)),
            tuple(generic.pop(_INPUTS)),
        )
    for name, tensors in generic.items():
        feeds = tuple(each for each in tensors if _is_placeholder(graph, each))
        fetches = tuple(each for each in tensors if each not in feeds)
        if feeds and fetches:
            yield _Call(f"signature {name}", fetches, feeds)


def _is_placeholder(graph: graph_lib.Graph | None, tensor: str) -> bool:
    operation = tensor.partition(":")[0]
    return (
        graph is not None
        and graph.has_operation(operation)
        and graph.op_type(operation) in _PLACEHOLDERS
    )


def _run(session: session_lib.Session, call: _Call) -> None:
    if not isinstance(session, _Described):
        raise errors.FailedPreconditionError(
            "session must be one of a factory, which knows its tensors; got a "
            f"{type(session).__name__}"
        )
    session.run(
        list(call.fetches),
        {name: _zeros(session.tensor_spec(name)) for name in call.feeds},
    )


def _zeros(spec: tensor_batch.TensorSpec) -> npt.NDArray[Any]:
    """Returns one row; texts are empty."""
    shape = (None,) if spec.shape is None else spec.shape
    sizes = [1 if size is None else size for size in shape]
    if spec.dtype == np.dtype(object):
        return np.full(sizes, b"", object)
    return np.zeros(sizes, spec.dtype)
