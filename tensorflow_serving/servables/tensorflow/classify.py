"""Classify: examples in, classes with scores out."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tensorflow_serving.apis import classification_pb2
from tensorflow_serving.servables.tensorflow import (
    examples,
    inference,
    signature_defs,
)
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

_MATRIX_RANK: Final = 2
_OUTPUTS: Final = (
    signature_defs.CLASSIFY_CLASSES,
    signature_defs.CLASSIFY_SCORES,
)


def begin(
    version: inference.Version,
    request: classification_pb2.ClassificationRequest,
) -> inference.Inference:
    """Returns the run that a request asks for.

    Raises:
      InvalidArgumentError: There is no such signature, it is not one to
        classify with, or the request has no example. Permanent.
    """
    name = inference.signature_name(request.model_spec.signature_name)
    definition = version.signature_def(name)
    outputs = output_keys(definition)
    array = examples.serialized(request.input)

    def respond(
        arrays: inference.Outputs, num_calls: int
    ) -> inference.Responses:
        response = classification_pb2.ClassificationResponse(
            model_spec=version.spec(name),
            result=result(dict(zip(outputs, arrays, strict=True)), len(array)),
        )
        return [response.SerializeToString()]

    return inference.Inference(
        version.model.queue(name),
        version.model.function(name, outputs),
        [array],
        respond,
    )


def classify(
    version: inference.Version,
    request: classification_pb2.ClassificationRequest,
) -> classification_pb2.ClassificationResponse:
    """Returns the response to a request; see begin() for what it raises."""
    return classification_pb2.ClassificationResponse.FromString(
        begin(version, request).run()
    )


def output_keys(definition: meta_graph_pb2.SignatureDef) -> list[str]:
    """Returns the keys of the outputs of a signature to classify with.

    Its method_name does not matter: TensorFlow 2 writes that of Predict for
    every signature.

    Raises:
      InvalidArgumentError: It is not one. Permanent.
    """
    require_examples(definition)
    outputs = [key for key in _OUTPUTS if key in definition.outputs]
    if not outputs or len(definition.outputs) > len(_OUTPUTS):
        raise errors.InvalidArgumentError(
            "signature to classify with must have the outputs "
            f"{' and '.join(_OUTPUTS)}, or one of them and at most one other; "
            f"got {sorted(definition.outputs)}"
        )
    return outputs


def require_examples(definition: meta_graph_pb2.SignatureDef) -> None:
    """Checks that a signature takes serialized examples and nothing else.

    Its dtype does not matter, but that of the tensor in the graph: exporters of
    TensorFlow 1 could write what they liked, and half_plus_three, the model of
    the documentation of TensorFlow Serving, says that examples are floats.

    Raises:
      InvalidArgumentError: It does not. Permanent.
    """
    if list(definition.inputs) != [signature_defs.INPUTS]:
        raise errors.InvalidArgumentError(
            f"signature must have one input, {signature_defs.INPUTS}; got "
            f"{sorted(definition.inputs)}"
        )


def result(
    outputs: dict[str, npt.NDArray[Any]], num_examples: int
) -> classification_pb2.ClassificationResult:
    """Returns the classes of each example.

    Args:
      outputs: "classes", bytes [examples, classes], and "scores", float
        [examples, classes], or one of the two.
      num_examples: How many examples there are.

    Raises:
      FailedPreconditionError: An output has another shape or dtype. Permanent.
    """
    classes = outputs.get(signature_defs.CLASSIFY_CLASSES)
    scores = outputs.get(signature_defs.CLASSIFY_SCORES)
    for key, array, kind in (
        ("classes", classes, "O"),
        ("scores", scores, "f"),
    ):
        if array is None:
            continue
        if array.ndim != _MATRIX_RANK or len(array) != num_examples:
            raise errors.FailedPreconditionError(
                f"output {key} of the model must have shape [{num_examples} "
                f"examples, classes]; got {list(array.shape)}"
            )
        if array.dtype.kind != kind:
            raise errors.FailedPreconditionError(
                f"output {key} of the model must have dtype "
                f"{'string' if kind == 'O' else 'float'}; got {array.dtype}"
            )
    if classes is None:
        assert scores is not None
        classes = np.full(scores.shape, b"", object)
    if scores is None:
        scores = np.zeros(classes.shape)
    if classes.shape != scores.shape:
        raise errors.FailedPreconditionError(
            "outputs classes and scores of the model must have one shape; got "
            f"{list(classes.shape)} and {list(scores.shape)}"
        )
    found = classification_pb2.ClassificationResult()
    for row_labels, row_values in zip(classes, scores, strict=True):
        row = found.classifications.add()
        for label, score in zip(
            row_labels.tolist(), row_values.tolist(), strict=True
        ):
            row.classes.add(label=label.decode("utf-8", "replace"), score=score)
    return found
