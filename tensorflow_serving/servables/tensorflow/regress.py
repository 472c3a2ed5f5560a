"""Regress: examples in, a number for each out."""

from typing import Any

import numpy.typing as npt

from tensorflow_serving.apis import regression_pb2
from tensorflow_serving.servables.tensorflow import (
    classify,
    examples,
    inference,
    signature_defs,
)
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors


def begin(
    version: inference.Version, request: regression_pb2.RegressionRequest
) -> inference.Inference:
    """Returns the run that a request asks for.

    Raises:
      InvalidArgumentError: There is no such signature, it is not one for
        regression, or the request has no example. Permanent.
    """
    name = inference.signature_name(request.model_spec.signature_name)
    definition = version.signature_def(name)
    require_regression(definition)
    array = examples.serialized(request.input)

    def respond(
        arrays: inference.Outputs, num_calls: int
    ) -> inference.Responses:
        response = regression_pb2.RegressionResponse(
            model_spec=version.spec(name),
            result=result(arrays[0], len(array)),
        )
        return [response.SerializeToString()]

    return inference.Inference(
        version.model.queue(name),
        version.model.function(name, [signature_defs.OUTPUTS]),
        [array],
        respond,
    )


def regress(
    version: inference.Version, request: regression_pb2.RegressionRequest
) -> regression_pb2.RegressionResponse:
    """Returns the response to a request; see begin() for what it raises."""
    return regression_pb2.RegressionResponse.FromString(
        begin(version, request).run()
    )


def require_regression(definition: meta_graph_pb2.SignatureDef) -> None:
    """Checks that a signature is one for regression, whatever its method_name.

    Raises:
      InvalidArgumentError: It is not. Permanent.
    """
    classify.require_examples(definition)
    if list(definition.outputs) != [signature_defs.OUTPUTS]:
        raise errors.InvalidArgumentError(
            "signature for regression must have one output, "
            f"{signature_defs.OUTPUTS}; got {sorted(definition.outputs)}"
        )


def result(
    outputs: npt.NDArray[Any], num_examples: int
) -> regression_pb2.RegressionResult:
    """Returns the value of each example.

    Args:
      outputs: float [examples] or [examples, 1].
      num_examples: How many examples there are.

    Raises:
      FailedPreconditionError: The output has another shape or dtype.
        Permanent.
    """
    if outputs.shape not in ((num_examples,), (num_examples, 1)):
        raise errors.FailedPreconditionError(
            f"output outputs of the model must have shape [{num_examples} "
            f"examples] or [{num_examples} examples, 1]; got "
            f"{list(outputs.shape)}"
        )
    if outputs.dtype.kind != "f":
        raise errors.FailedPreconditionError(
            "output outputs of the model must have dtype float; got "
            f"{outputs.dtype}"
        )
    found = regression_pb2.RegressionResult()
    for value in outputs.ravel().tolist():
        found.regressions.add(value=value)
    return found
