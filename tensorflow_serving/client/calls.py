"""The calls of TensorFlow Serving as bytes, whatever carries them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf import message

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    input_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
    tensor_map,
)
from tensorflow_serving.client import examples as examples_lib
from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

_PREDICTION: Final = "/tensorflow.serving.PredictionService/"
_MODEL: Final = "/tensorflow.serving.ModelService/"
_SIGNATURES: Final = "signature_def"

_REQUESTS = tensor_map.TensorMap(predict_pb2.PredictRequest, "inputs")
_RESPONSES = tensor_map.TensorMap(predict_pb2.PredictResponse, "outputs")

_Result = TypeVar("_Result")


@dataclasses.dataclass(frozen=True)
class Model:
    """Names a model, perhaps one version of it, and a signature."""

    name: str
    # By default the newest one. Not both.
    version: int | None = None
    label: str = ""
    # The default is the server's, "serving_default".
    signature: str = ""

    def __post_init__(self) -> None:
        """Checks the values."""
        if not self.name:
            raise errors.InvalidArgumentError(
                "name of a model must be given; got nothing"
            )
        if self.version is not None and self.label:
            raise errors.InvalidArgumentError(
                "model must have a version or a label; got "
                f"{self.version} and {self.label}"
            )

    def spec(self) -> model_pb2.ModelSpec:
        """Returns the message with these names."""
        spec = model_pb2.ModelSpec(
            name=self.name, signature_name=self.signature
        )
        if self.version is not None:
            spec.version.value = self.version
        elif self.label:
            spec.version_label = self.label
        return spec


@dataclasses.dataclass(frozen=True)
class Prediction:
    """An answer to predict()."""

    # The model that answered, its version included.
    model: model_pb2.ModelSpec
    # Perhaps read-only.
    outputs: Mapping[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True)
class Class:
    """A class of an example, with its score."""

    label: str
    score: float


@dataclasses.dataclass(frozen=True)
class Classifications:
    """An answer to classify()."""

    model: model_pb2.ModelSpec
    # The classes of each example, in the order of the model.
    classes: Sequence[Sequence[Class]]


@dataclasses.dataclass(frozen=True)
class Regressions:
    """An answer to regress()."""

    model: model_pb2.ModelSpec
    # float32 [number of examples]
    values: npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class Metadata:
    """An answer to metadata()."""

    model: model_pb2.ModelSpec
    signatures: Mapping[str, meta_graph_pb2.SignatureDef]


@dataclasses.dataclass(frozen=True)
class Call(Generic[_Result]):
    """A call that can be sent."""

    # The path in HTTP/2, "/package.Service/Method".
    path: str
    request: bytes
    # Returns the meaning of the bytes of a response; raises DecodeError or
    # ValueError for bytes that are not one.
    read: Callable[[bytes], _Result]

    def result(self, response: bytes) -> _Result:
        """Returns the meaning of a response.

        Raises:
          InternalError: It is not a response: the fault is the server's.
            Permanent.
          ServingError: The response says that the call failed.
        """
        try:
            return self.read(response)
        except (message.DecodeError, ValueError) as error:
            raise errors.InternalError(
                f"response of {self.path} must be valid; got other bytes: "
                f"{error}"
            ) from None


def predict(
    model: Model,
    inputs: Mapping[str, npt.ArrayLike],
    output_filter: Sequence[str] = (),
) -> Call[Prediction]:
    """Returns a call of Predict; see Client.predict()."""
    rest = predict_pb2.PredictRequest(
        model_spec=model.spec(), output_filter=output_filter
    )

    def read(response: bytes) -> Prediction:
        try:
            decoded = _RESPONSES.decode(response)
        except errors.InvalidArgumentError as error:
            raise ValueError(error) from None
        return Prediction(decoded.form.rest.model_spec, decoded.tensors)

    request = _REQUESTS.encode(
        rest.SerializeToString(), inputs, as_content=True
    )
    return Call(_PREDICTION + "Predict", request, read)


def classify(
    model: Model,
    examples: Sequence[examples_lib.Features],
    context: examples_lib.Features | None = None,
) -> Call[Classifications]:
    """Returns a call of Classify; see Client.classify()."""
    request = classification_pb2.ClassificationRequest(
        model_spec=model.spec(), input=_input(examples, context)
    )

    def read(data: bytes) -> Classifications:
        response = classification_pb2.ClassificationResponse.FromString(data)
        return Classifications(
            response.model_spec,
            [
                [Class(item.label, item.score) for item in example.classes]
                for example in response.result.classifications
            ],
        )

    return Call(_PREDICTION + "Classify", request.SerializeToString(), read)


def regress(
    model: Model,
    examples: Sequence[examples_lib.Features],
    context: examples_lib.Features | None = None,
) -> Call[Regressions]:
    """Returns a call of Regress; see Client.regress()."""
    request = regression_pb2.RegressionRequest(
        model_spec=model.spec(), input=_input(examples, context)
    )

    def read(data: bytes) -> Regressions:
        response = regression_pb2.RegressionResponse.FromString(data)
        values = [item.value for item in response.result.regressions]
        return Regressions(response.model_spec, np.array(values, np.float32))

    return Call(_PREDICTION + "Regress", request.SerializeToString(), read)


def metadata(model: Model) -> Call[Metadata]:
    """Returns a call of GetModelMetadata; see Client.metadata()."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=model.spec(), metadata_field=[_SIGNATURES]
    )

    def read(data: bytes) -> Metadata:
        response = get_model_metadata_pb2.GetModelMetadataResponse.FromString(
            data
        )
        signatures = get_model_metadata_pb2.SignatureDefMap()
        if not response.metadata[_SIGNATURES].Unpack(signatures):
            raise ValueError("no signatures")
        return Metadata(response.model_spec, dict(signatures.signature_def))

    return Call(
        _PREDICTION + "GetModelMetadata", request.SerializeToString(), read
    )


def status(
    model: Model,
) -> Call[Sequence[get_model_status_pb2.ModelVersionStatus]]:
    """Returns a call of GetModelStatus; see Client.status()."""
    request = get_model_status_pb2.GetModelStatusRequest(
        model_spec=model.spec()
    )

    def read(
        data: bytes,
    ) -> Sequence[get_model_status_pb2.ModelVersionStatus]:
        response = get_model_status_pb2.GetModelStatusResponse.FromString(data)
        return list(response.model_version_status)

    return Call(_MODEL + "GetModelStatus", request.SerializeToString(), read)


def reload(
    config: model_server_config_pb2.ModelServerConfig,
) -> Call[None]:
    """Returns a call of HandleReloadConfigRequest; see Client.reload()."""
    request = model_management_pb2.ReloadConfigRequest(config=config)

    def read(data: bytes) -> None:
        response = model_management_pb2.ReloadConfigResponse.FromString(data)
        if response.status.error_code:
            raise errors.from_code(
                response.status.error_code, response.status.error_message
            )

    return Call(
        _MODEL + "HandleReloadConfigRequest", request.SerializeToString(), read
    )


def _input(
    examples: Sequence[examples_lib.Features],
    context: examples_lib.Features | None,
) -> input_pb2.Input:
    messages = [examples_lib.to_example(features) for features in examples]
    if context is None:
        return input_pb2.Input(
            example_list=input_pb2.ExampleList(examples=messages)
        )
    return input_pb2.Input(
        example_list_with_context=input_pb2.ExampleListWithContext(
            examples=messages, context=examples_lib.to_example(context)
        )
    )
