"""Predict: a signature with tensors in, tensors out."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tensorflow_serving.apis import predict_pb2, tensor_codec, tensor_map
from tensorflow_serving.batching import batched_function
from tensorflow_serving.servables.tensorflow import inference, served_model
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

REQUESTS: Final = tensor_map.TensorMap(predict_pb2.PredictRequest, "inputs")
RESPONSES: Final = tensor_map.TensorMap(predict_pb2.PredictResponse, "outputs")

Form = tensor_map.Form[predict_pb2.PredictRequest]
Decoded = tensor_map.Decoded[predict_pb2.PredictRequest]
_Tensors = Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class _Plan:
    """The data that calls of a signature for the same outputs share."""

    queue: served_model.Queue
    function: batched_function.BatchedFunction
    # The dtype of each input, by ascending key.
    inputs: Mapping[str, np.dtype[Any]]
    # The values of inputs that a request may leave out.
    defaults: _Tensors
    # The outputs that are run, and those among them that are returned.
    fetched: Sequence[str]
    outputs: Sequence[str]
    # The dtype of quantized outputs, whose values are plain numbers.
    quantized: Mapping[str, np.dtype[Any]]
    # A response without outputs, serialized.
    response: bytes
    as_content: bool

    def respond(
        self, outputs: inference.Outputs, num_calls: int
    ) -> inference.Responses:
        """Returns the responses to calls; see Inference."""
        by_key = dict(zip(self.fetched, outputs, strict=True))
        if len(self.outputs) < len(self.fetched):
            by_key = {key: by_key[key] for key in self.outputs}
        if self.quantized:
            by_key = {
                key: array.view(self.quantized.get(key, array.dtype))
                for key, array in by_key.items()
            }
        return RESPONSES.encode_rows(
            self.response,
            by_key,
            num_calls,
            as_content=self.as_content,
        )


def begin(
    version: inference.Version, request: Decoded, *, as_content: bool = False
) -> inference.Inference:
    """Returns the run that a request asks for, as others may of the same form.

    Args:
      version: Answers.
      request: Names a signature, and perhaps outputs.
      as_content: Whether numbers of outputs go to tensor_content.

    Raises:
      FailedPreconditionError: There is no such signature, or it cannot be
        called. Permanent.
      InvalidArgumentError: The inputs or the output filter do not fit the
        signature. Permanent.
    """
    rest = request.form.rest
    key = (
        _Plan,
        version.name,
        version.number,
        rest.model_spec.signature_name,
        tuple(rest.output_filter),
        as_content,
    )
    plan: _Plan = version.model.cached(
        key,
        lambda: _plan(
            version,
            rest.model_spec.signature_name,
            rest.output_filter,
            as_content=as_content,
        ),
    )
    return inference.Inference(
        plan.queue,
        plan.function,
        _inputs(plan, request.tensors),
        plan.respond,
        is_shared=len(plan.inputs) == len(request.arrays),
    )


def predict(
    version: inference.Version, request: predict_pb2.PredictRequest
) -> predict_pb2.PredictResponse:
    """Returns the response to a request; see begin() for what it raises."""
    decoded = REQUESTS.decode(request.SerializeToString())
    return predict_pb2.PredictResponse.FromString(begin(version, decoded).run())


def _plan(
    version: inference.Version,
    name: str,
    output_filter: Sequence[str],
    *,
    as_content: bool,
) -> _Plan:
    signature_name = inference.signature_name(name)
    try:
        definition = version.signature_def(signature_name)
    except errors.InvalidArgumentError as error:
        raise errors.FailedPreconditionError(str(error)) from None
    outputs = _outputs(definition, output_filter)
    fetched = version.model.fetched(signature_name, outputs)
    return _Plan(
        version.model.queue(signature_name),
        version.model.function(signature_name, fetched),
        {
            key: data_type.of_values(definition.inputs[key].dtype)
            for key in sorted(definition.inputs)
        },
        {
            key: tensor_codec.to_array(value)
            for key, value in definition.defaults.items()
        },
        fetched,
        outputs,
        {
            key: data_type.to_numpy(definition.outputs[key].dtype)
            for key in outputs
            if data_type.is_quantized(definition.outputs[key].dtype)
        },
        predict_pb2.PredictResponse(
            model_spec=version.spec(signature_name)
        ).SerializeToString(),
        as_content,
    )


def _outputs(
    definition: meta_graph_pb2.SignatureDef, output_filter: Sequence[str]
) -> list[str]:
    """Returns the keys of the outputs to return."""
    if not definition.outputs:
        raise errors.InvalidArgumentError(
            "signature must have an output, for which it is run; got none"
        )
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


def _inputs(plan: _Plan, tensors: _Tensors) -> list[npt.NDArray[Any]]:
    """Returns a value for each input of a signature, by ascending key."""
    if tensors.keys() != plan.inputs.keys():
        tensors = _completed(plan, tensors)
    arrays = []
    for key, dtype in plan.inputs.items():
        array = tensors[key]
        if array.dtype != dtype:
            raise errors.InvalidArgumentError(
                f"input {key} must have dtype {_name(dtype)}; got "
                f"{_name(array.dtype)}"
            )
        arrays.append(array)
    return arrays


def _completed(plan: _Plan, tensors: _Tensors) -> _Tensors:
    """Returns the inputs of a request with those that have a default."""
    missing = plan.inputs.keys() - tensors.keys() - plan.defaults.keys()
    unknown = tensors.keys() - plan.inputs.keys()
    if missing or unknown:
        raise errors.InvalidArgumentError(
            "input size does not match signature: it has "
            f"{len(plan.inputs)} inputs, and got {len(tensors)}; missing "
            f"{sorted(missing)}, unknown {sorted(unknown)}"
        )
    return {**plan.defaults, **tensors}


def _name(dtype: np.dtype[Any]) -> str:
    return data_type.name(data_type.from_numpy(dtype))
