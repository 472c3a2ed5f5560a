"""The signatures of a graph, which callers may ask for, and their runs."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.session_bundle import (
    collection,
    constants,
    manifest_pb2,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class Classification:
    """The outputs of a classification; None for what was not asked for."""

    # Labels, string [batch, classes].
    classes: npt.NDArray[Any] | None
    # float [batch, classes].
    scores: npt.NDArray[Any] | None


def get_signatures(
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
) -> manifest_pb2.Signatures:
    """Returns the signatures of an export.

    Raises:
      FailedPreconditionError: There is not exactly one Signatures message.
    """
    found = collection.unpack_all(
        meta_graph_def, constants.SIGNATURES_KEY, manifest_pb2.Signatures
    )
    if len(found) != 1:
        raise errors.FailedPreconditionError(
            "Expected exactly one signatures proto: the collection "
            f"{constants.SIGNATURES_KEY} must hold one; got {len(found)}"
        )
    return found[0]


def set_signatures(
    signatures: manifest_pb2.Signatures,
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
) -> None:
    """Replaces the signatures of an export."""
    values = meta_graph_def.collection_def[constants.SIGNATURES_KEY].any_list
    values.ClearField("value")
    values.value.append(collection.pack(signatures))


def get_default_signature(
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
) -> manifest_pb2.Signature:
    """Returns the default signature, empty if there is none.

    Raises:
      FailedPreconditionError: See get_signatures.
    """
    return get_signatures(meta_graph_def).default_signature


def get_named_signature(
    name: str, meta_graph_def: meta_graph_pb2.MetaGraphDef
) -> manifest_pb2.Signature:
    """Returns the signature with a name.

    Raises:
      FailedPreconditionError: See get_signatures.
      NotFoundError: There is no such signature.
    """
    named = get_signatures(meta_graph_def).named_signatures
    if name not in named:
        raise errors.NotFoundError(
            f'Missing signature named "{name}": it must be one of '
            f"{sorted(named)}"
        )
    return named[name]


def get_classification_signature(
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
) -> manifest_pb2.ClassificationSignature:
    """Returns the default signature, a classification.

    Raises:
      FailedPreconditionError: It is missing or of another type.
    """
    signature = _get_default_of_type("classification", meta_graph_def)
    return signature.classification_signature


def get_named_classification_signature(
    name: str, meta_graph_def: meta_graph_pb2.MetaGraphDef
) -> manifest_pb2.ClassificationSignature:
    """Returns the signature with a name, a classification.

    Raises:
      NotFoundError: There is no such signature.
      FailedPreconditionError: It is of another type.
    """
    signature = get_named_signature(name, meta_graph_def)
    if (found := _type_of(signature)) != "classification":
        raise errors.FailedPreconditionError(
            f'Expected a classification signature for name "{name}"; got '
            f"{found}"
        )
    return signature.classification_signature


def get_regression_signature(
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
) -> manifest_pb2.RegressionSignature:
    """Returns the default signature, a regression.

    Raises:
      FailedPreconditionError: It is missing or of another type.
    """
    signature = _get_default_of_type("regression", meta_graph_def)
    return signature.regression_signature


def get_generic_signature(
    name: str, meta_graph_def: meta_graph_pb2.MetaGraphDef
) -> manifest_pb2.GenericSignature:
    """Returns the signature with a name, a generic one.

    Raises:
      FailedPreconditionError: See get_signatures.
      InvalidArgumentError: It is missing or of another type.
    """
    named = get_signatures(meta_graph_def).named_signatures
    if name not in named:
        raise errors.InvalidArgumentError(
            f'Missing generic signature named "{name}": it must be one of '
            f"{sorted(named)}"
        )
    if (found := _type_of(named[name])) != "generic":
        raise errors.InvalidArgumentError(
            f'Expected a generic signature: "{name}" must be one; got {found}'
        )
    return named[name].generic_signature


def run_classification(
    signature: manifest_pb2.ClassificationSignature,
    inputs: npt.NDArray[Any],
    session: session_lib.Session,
    *,
    classes: bool = False,
    scores: bool = False,
) -> Classification:
    """Runs a classification.

    Args:
      signature: Names the tensors.
      inputs: The values of the input tensor, [batch, ...].
      session: Runs the graph.
      classes: Whether to fetch the classes.
      scores: Whether to fetch the scores.

    Raises:
      FailedPreconditionError: The signature does not bind what was asked for.
      InternalError: The session returned another number of tensors, or tensors
        with another number of rows.
      ServingError: What the session raised.
    """
    wanted = {"classes": classes, "scores": scores}
    bindings = {
        "classes": signature.classes.tensor_name,
        "scores": signature.scores.tensor_name,
    }
    names = [output for output, is_wanted in wanted.items() if is_wanted]
    for name in names:
        if not bindings[name]:
            raise errors.FailedPreconditionError(
                f"Classification signature must bind {name}; got no tensor"
            )
    outputs = _run(
        signature.input.tensor_name,
        inputs,
        [bindings[name] for name in names],
        session,
    )
    found = dict(zip(names, outputs, strict=True))
    return Classification(found.get("classes"), found.get("scores"))


def run_regression(
    signature: manifest_pb2.RegressionSignature,
    inputs: npt.NDArray[Any],
    session: session_lib.Session,
) -> npt.NDArray[Any]:
    """Returns the outputs of a regression, of shape [batch, ...].

    Args:
      signature: Names the tensors.
      inputs: The values of the input tensor, [batch, ...].
      session: Runs the graph.

    Raises:
      InternalError: The session returned another number of tensors, or a
        tensor with another number of rows.
      ServingError: What the session raised.
    """
    (output,) = _run(
        signature.input.tensor_name,
        inputs,
        [signature.output.tensor_name],
        session,
    )
    return output


def bind_generic_inputs(
    signature: manifest_pb2.GenericSignature,
    inputs: Mapping[str, npt.NDArray[Any]],
) -> dict[str, npt.NDArray[Any]]:
    """Returns the inputs by tensor name instead of logical name, in order.

    Raises:
      NotFoundError: The signature lacks a name.
    """
    names = bind_generic_names(signature, list(inputs))
    return dict(zip(names, inputs.values(), strict=True))


def bind_generic_names(
    signature: manifest_pb2.GenericSignature, names: Sequence[str]
) -> list[str]:
    """Returns the tensor names of logical names, in order.

    Raises:
      NotFoundError: The signature lacks a name.
    """
    for name in names:
        if name not in signature.map:
            raise errors.NotFoundError(
                f'Generic signature must bind "{name}"; got bindings of '
                f"{sorted(signature.map)}"
            )
    return [signature.map[name].tensor_name for name in names]


def _type_of(signature: manifest_pb2.Signature) -> str:
    """Returns "regression", "classification", "generic" or "none"."""
    found = signature.WhichOneof("type")
    return found.removesuffix("_signature") if found else "none"


def _get_default_of_type(
    expected: str, meta_graph_def: meta_graph_pb2.MetaGraphDef
) -> manifest_pb2.Signature:
    signatures = get_signatures(meta_graph_def)
    if not signatures.HasField("default_signature"):
        raise errors.FailedPreconditionError(
            "Expected a default signature: the export must have one of type "
            f"{expected}; got none"
        )
    found = _type_of(signatures.default_signature)
    if found != expected:
        raise errors.FailedPreconditionError(
            f"Expected a {expected} signature: the default signature must be "
            f"one; got {found}"
        )
    return signatures.default_signature


def _run(
    input_name: str,
    inputs: npt.NDArray[Any],
    output_names: Sequence[str],
    session: session_lib.Session,
) -> Sequence[npt.NDArray[Any]]:
    outputs = session.run(output_names, {input_name: inputs})
    if len(outputs) != len(output_names):
        raise errors.InternalError(
            f"Expected {len(output_names)} output tensors; got {len(outputs)}"
        )
    for name, output in zip(output_names, outputs, strict=True):
        if np.shape(output)[:1] != np.shape(inputs)[:1]:
            raise errors.InternalError(
                f"Input batch size did not match output batch size: {name} "
                f"must have shape {[*np.shape(inputs)[:1], '...']}; got "
                f"{list(np.shape(output))}"
            )
    return outputs
