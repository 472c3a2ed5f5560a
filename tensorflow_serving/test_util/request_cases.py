"""Requests to a server with small_model, and which answers are right.

The right answer is worked out from the request alone, however odd that is, with
numpy and without a server.

Example:
    method = methods(base_path)["Predict"]
    request = method.request(1).SerializeToString()
    response = channel.unary_unary(method.path)(request)
    assert method.is_right(request, response)
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf import message, message_factory

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2,
    predict_pb2,
    prediction_service_pb2,
    regression_pb2,
    tensor_codec,
)
from tensorflow_serving.tensorflow_c.protos import types_pb2
from tensorflow_serving.test_util import small_model

# The model and its version, as the server must have it.
NAME: Final = "small"
VERSION: Final = 7
# A pattern of numbers and texts of requests, which no error may repeat.
PRIVATE: Final = r"\b85\d{5}\b|secret"
# Inputs that are private begin here.
FIRST_NUMBER: Final = 8_500_000

_DEFAULT: Final = "serving_default"
_TYPES: Final = {
    name: tensor_codec.encoding(
        types_pb2.DataType.Value(f"DT_{name.upper()}")
    ).dtype
    for name in small_model.TYPES
}

_Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of the server."""

    path: str
    # Makes a whole request with a number of its own.
    request: Callable[[int], message.Message]
    # Returns whether a response is right for a request; both are serialized.
    is_right: Callable[[bytes, bytes], bool]


def methods(base_path: str) -> Mapping[str, Method]:
    """Returns the methods by name.

    Args:
      base_path: Where the model is.
    """
    cases: Mapping[str, tuple[Any, Any]] = {
        "Predict": (_predict, _is_right_prediction),
        "Classify": (_classify, _is_right_result),
        "Regress": (_regress, _is_right_result),
        "MultiInference": (_multi_inference, _are_right_results),
        "GetModelMetadata": (_metadata, _are_right_metadata),
        "GetModelStatus": (_status, _is_right_status),
        "HandleReloadConfigRequest": (
            functools.partial(_reload, base_path),
            _is_right_reload,
        ),
    }
    services = (
        prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"],
        model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
    )
    return {
        method.name: Method(
            f"/{service.full_name}/{method.name}",
            cases[method.name][0],
            functools.partial(
                _is_right,
                message_factory.GetMessageClass(method.input_type),
                message_factory.GetMessageClass(method.output_type),
                cases[method.name][1],
            ),
        )
        for service in services
        for method in service.methods
    }


def _is_right(
    request_class: type[message.Message],
    response_class: type[message.Message],
    is_right: Callable[[Any, Any], bool],
    request: bytes,
    response: bytes,
) -> bool:
    return is_right(
        request_class.FromString(request), response_class.FromString(response)
    )


def _predict(number: int) -> predict_pb2.PredictRequest:
    arrays = {"x": np.array([FIRST_NUMBER + number, number], np.float32)}
    signature = ""
    if number % 2:
        signature = "types"
        arrays = {
            name: np.array([[number % 100], [1]]).astype(dtype)
            for name, dtype in _TYPES.items()
        }
        texts = [f"secret {number}".encode(), b""]
        arrays["string"] = np.array(texts, object)
    request = predict_pb2.PredictRequest(model_spec=_spec(signature))
    for key, array in arrays.items():
        request.inputs[key].CopyFrom(
            tensor_codec.to_proto(array, as_content=number % 4 > 1)
        )
    return request


def _classify(number: int) -> classification_pb2.ClassificationRequest:
    return classification_pb2.ClassificationRequest(
        model_spec=_spec("classify"), input=_input(number)
    )


def _regress(number: int) -> regression_pb2.RegressionRequest:
    return regression_pb2.RegressionRequest(
        model_spec=_spec("regress"), input=_input(number)
    )


def _multi_inference(number: int) -> inference_pb2.MultiInferenceRequest:
    request = inference_pb2.MultiInferenceRequest(input=_input(number))
    for method in ("classify", "regress"):
        request.tasks.add(
            model_spec=_spec(method), method_name=f"tensorflow/serving/{method}"
        )
    return request


def _metadata(number: int) -> get_model_metadata_pb2.GetModelMetadataRequest:
    del number  # all requests are alike
    return get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=_spec(), metadata_field=["signature_def"]
    )


def _status(number: int) -> get_model_status_pb2.GetModelStatusRequest:
    del number
    return get_model_status_pb2.GetModelStatusRequest(model_spec=_spec())


def _reload(
    base_path: str, number: int
) -> model_management_pb2.ReloadConfigRequest:
    del number
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(
        name=NAME, base_path=base_path, model_platform="tensorflow"
    )
    return request


def _spec(signature: str = "") -> model_pb2.ModelSpec:
    return model_pb2.ModelSpec(name=NAME, signature_name=signature)


def _input(number: int) -> input_pb2.Input:
    """Returns two examples, the first one with the number in it."""
    made = input_pb2.Input()
    examples = made.example_list.examples
    if number % 2:
        examples = made.example_list_with_context.examples
        context = made.example_list_with_context.context
        context.features.feature["c"].int64_list.value.append(1)
    for text in (f"secret {number}", "z" * (number % 200)):
        feature = examples.add().features.feature["x"]
        feature.bytes_list.value.append(text.encode())
    return made


def _is_right_prediction(
    request: predict_pb2.PredictRequest, response: predict_pb2.PredictResponse
) -> bool:
    inputs = {
        key: tensor_codec.to_array(tensor)
        for key, tensor in request.inputs.items()
    }
    expected = outputs(response.model_spec.signature_name, inputs)
    keys = request.output_filter or expected
    return (
        _is_right_spec(request.model_spec, response.model_spec)
        and response.outputs.keys() == {*keys}
        and all(
            _are_same(tensor_codec.to_array(tensor), expected[key])
            for key, tensor in response.outputs.items()
        )
    )


def _are_same(array: _Array, expected: _Array) -> bool:
    # Bytes, so that NaN is NaN; texts have none.
    if array.dtype == object:
        return array.shape == expected.shape and bool((array == expected).all())
    return (array.dtype, array.shape, array.tobytes()) == (
        expected.dtype,
        expected.shape,
        expected.tobytes(),
    )


def outputs(signature: str, inputs: Mapping[str, _Array]) -> Any:
    """Returns what a signature of small_model makes of its inputs."""
    if signature == "types":
        return inputs
    with np.errstate(all="ignore"):
        if signature == "serving_default":
            x = inputs["x"]
            return {"y": x * np.float32(0.5) + 2, "z": x * 2}
        if signature == "defaults":
            bias = inputs.get("bias", np.ones([1], np.float32))
            return {"sum": inputs["x"] + bias}
    examples = inputs["inputs"]
    lengths = np.array([*map(len, examples.reshape(-1))], np.float32)
    lengths = lengths.reshape(examples.shape)
    scores = lengths[..., np.newaxis]
    column = examples[..., np.newaxis]
    return {
        "classify": {"classes": column, "scores": scores},
        "labels": {"classes": column},
        "scores": {"scores": scores},
        "regress": {"outputs": lengths},
        "regress_of_tf2": {"outputs": lengths},
        "regress_column": {"outputs": scores},
        "broken_classify": {"scores": lengths},
        "broken_regress": {"outputs": scores[..., np.newaxis]},
    }[signature]


def _is_right_result(request: Any, response: Any) -> bool:
    """Looks at a response to Classify or Regress, or at a part of one."""
    return _is_right_spec(
        request.model_spec, response.model_spec
    ) and _is_result(request.input, response.model_spec, response.result)


def _is_result(
    given: input_pb2.Input, spec: model_pb2.ModelSpec, result: Any
) -> bool:
    examples = [*_examples(given)]
    if isinstance(result, regression_pb2.RegressionResult):
        return [each.value for each in result.regressions] == [
            len(each) for each in examples
        ]
    expected = outputs(
        spec.signature_name, {"inputs": np.array(examples, object)}
    )
    classes = [each for row in result.classifications for each in row.classes]
    return len(classes) == len(examples) and all(
        _is_label(each.label, text if "classes" in expected else b"")
        and each.score == (len(text) if "scores" in expected else 0)
        for each, text in zip(classes, examples, strict=True)
    )


def _is_label(label: str, text: bytes) -> bool:
    """Returns whether a label is an example, perhaps in another order.

    The features of an example have none. What is not UTF-8 is replaced.
    """
    return "\ufffd" in label or sorted(label.encode()) == sorted(text)


def _examples(given: input_pb2.Input) -> Iterator[bytes]:
    """Yields the examples as a model gets them."""
    with_context = given.example_list_with_context
    context = with_context.context.SerializeToString(deterministic=True)
    for example in given.example_list.examples:
        yield example.SerializeToString(deterministic=True)
    for example in with_context.examples:
        yield context + example.SerializeToString(deterministic=True)


def _are_right_results(
    request: inference_pb2.MultiInferenceRequest,
    response: inference_pb2.MultiInferenceResponse,
) -> bool:
    def is_right(task: Any, result: Any) -> bool:
        kind = result.WhichOneof("result")
        return (
            kind[:5] == task.method_name.rpartition("/")[2][:5]
            and _is_right_spec(task.model_spec, result.model_spec)
            and _is_result(
                request.input, result.model_spec, getattr(result, kind)
            )
        )

    return len(request.tasks) == len(response.results) and all(
        map(is_right, request.tasks, response.results)
    )


def _is_right_spec(
    asked: model_pb2.ModelSpec, answered: model_pb2.ModelSpec
) -> bool:
    return (answered.name, answered.version.value) == (
        asked.name,
        VERSION,
    ) and answered.signature_name == (asked.signature_name or _DEFAULT)


def _are_right_metadata(
    request: get_model_metadata_pb2.GetModelMetadataRequest,
    response: get_model_metadata_pb2.GetModelMetadataResponse,
) -> bool:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    is_map = response.metadata["signature_def"].Unpack(signatures)
    return (
        is_map
        and "broken_regress" in signatures.signature_def
        and response.model_spec.name == request.model_spec.name
        and response.model_spec.version.value == VERSION
    )


def _is_right_status(
    request: get_model_status_pb2.GetModelStatusRequest,
    response: get_model_status_pb2.GetModelStatusResponse,
) -> bool:
    versions = [each.version for each in response.model_version_status]
    return request.model_spec.name == NAME and versions == [VERSION]


def _is_right_reload(
    request: model_management_pb2.ReloadConfigRequest,
    response: model_management_pb2.ReloadConfigResponse,
) -> bool:
    del request
    return not response.status.error_code
