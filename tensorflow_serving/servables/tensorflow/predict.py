"""Predict: a signature with tensors in, tensors out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from tensorflow_serving.apis import predict_pb2, tensor_codec
from tensorflow_serving.servables.tensorflow import inference
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors


def begin(
    version: inference.Version, request: predict_pb2.PredictRequest
) -> inference.Inference:
    """Returns the run that a request asks for.

    Raises:
      FailedPreconditionError: There is no such signature, or it cannot be
        called. Permanent.
      InvalidArgumentError: The inputs or the output filter do not fit the
        signature, or a tensor is malformed. Permanent.
    """
    name = inference.signature_name(request.model_spec.signature_name)
    try:
        definition = version.model.signature_def(name)
    except errors.NotFoundError as error:
        raise errors.FailedPreconditionError(str(error)) from None
    outputs = _outputs(definition, request.output_filter)
    inputs = _inputs(definition, request.inputs)

    def respond(
        arrays: Sequence[npt.NDArray[Any]],
    ) -> predict_pb2.PredictResponse:
        response = predict_pb2.PredictResponse(model_spec=version.spec(name))
        for key, array in zip(outputs, arrays, strict=True):
            response.outputs[key].CopyFrom(
                tensor_codec.to_proto(array, definition.outputs[key].dtype)
            )
        return response

    return inference.Inference(
        version.model,
        name,
        version.model.function(name, outputs),
        inputs,
        respond,
    )


def predict(
    version: inference.Version, request: predict_pb2.PredictRequest
) -> predict_pb2.PredictResponse:
    """Returns the response to a request; see begin() for what it raises."""
    response = begin(version, request).run()
    assert isinstance(response, predict_pb2.PredictResponse)
    return response


def _outputs(
    definition: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]
) -> list[str]:
    """Returns the keys of the outputs to return."""
    for key in output_filter:
        if key not in definition.outputs:
            raise errors.InvalidArgumentError(
                "output_filter must name outputs of the signature, of "
                f"{sorted(definition.outputs)}; got {key}"
            )
    if len(set(output_filter)) < len(output_filter):
        raise errors.InvalidArgumentError(
            "output_filter must name each output once; got "
            f"{list(output_filter)}"
        )
    return list(output_filter) or sorted(definition.outputs)


def _inputs(
    definition: meta_graph_pb2.SignatureDef, given: Mapping[str, Any]
) -> list[npt.NDArray[Any]]:
    """Returns a value for each input of a signature, by ascending key."""
    expected = set(definition.inputs)
    missing = expected - set(given) - set(definition.defaults)
    extra = set(given) - expected
    if missing or extra:
        raise errors.InvalidArgumentError(
            f"input size does not match signature: it has {len(expected)} "
            f"inputs, and got {len(given)}; missing {sorted(missing)}, unknown "
            f"{sorted(extra)}"
        )
    arrays = []
    for key in sorted(expected):
        proto = given[key] if key in given else definition.defaults[key]
        wanted = definition.inputs[key].dtype
        if proto.dtype != wanted:
            raise errors.InvalidArgumentError(
                f"input {key} must have dtype {data_type.name(wanted)}"
                f"; got {data_type.name(proto.dtype)}"
            )
        try:
            arrays.append(tensor_codec.to_array(proto))
        except errors.InvalidArgumentError as error:
            raise errors.InvalidArgumentError(f"input {key}: {error}") from None
    return arrays
