"""The images of a Workload as calls of Predict, and the right answers."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import message

from tensorflow_serving.apis import predict_pb2, tensor_codec
from tensorflow_serving.benchmarks import workload
from tensorflow_serving.rpc import message_frame

PREDICT = "/tensorflow.serving.PredictionService/Predict"

# The names of the signature of a classifier.
_INPUTS = "inputs"
_SCORES = "scores"


@dataclasses.dataclass(frozen=True)
class PredictWorkload:
    """One image a call, for one model after the other."""

    # By name of the model; each has the same number of images.
    works: Mapping[str, workload.Workload]
    # Whether tensors are sent in tensor_content, or in float_val.
    as_content: bool = False

    @property
    def method(self) -> str:
        """The method of PredictionService."""
        return PREDICT

    @functools.cached_property
    def requests(self) -> list[bytes]:
        """A serialized PredictRequest for each image of each model."""
        return [
            _request(name, image, self.as_content)
            for images in zip(
                *(work.images for work in self.works.values()), strict=True
            )
            for name, image in zip(self.works, images, strict=True)
        ]

    @property
    def framed_answer_bytes(self) -> int:
        """The size of a framed answer of a version below 128."""
        name, work = next(iter(self.works.items()))
        response = predict_pb2.PredictResponse()
        response.model_spec.name = name
        response.model_spec.version.value = 1
        response.model_spec.signature_name = "serving_default"
        response.outputs[_SCORES].CopyFrom(
            tensor_codec.to_proto(work.scores[:1])
        )
        return message_frame.PREFIX_BYTES + response.ByteSize()

    def are_right(
        self, images: Sequence[int], answers: Sequence[bytes]
    ) -> npt.NDArray[Any]:
        """Returns which answers are the right ones: bool [answers].

        Args:
          images: The index of the request that each answer is for.
          answers: Serialized PredictResponses. Other bytes are wrong.
        """
        names = [*self.works]
        models = np.asarray(images, np.intp) % len(names)
        rows = np.asarray(images, np.intp) // len(names)
        scores = np.array([work.scores for work in self.works.values()])
        answered = np.array(
            [
                _scores(names[model], answer)
                for model, answer in zip(models, answers, strict=True)
            ],
            np.float32,
        ).reshape(-1, scores.shape[-1])
        return workload.are_close(answered, scores[models, rows])


def _request(name: str, image: npt.NDArray[Any], as_content: bool) -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.inputs[_INPUTS].CopyFrom(
        tensor_codec.to_proto(image[np.newaxis], as_content=as_content)
    )
    return request.SerializeToString()


def _scores(name: str, answer: bytes) -> Sequence[float]:
    """Returns the scores in an answer; NaN, which equals nothing, if none."""
    try:
        response = predict_pb2.PredictResponse.FromString(answer)
    except message.DecodeError:
        response = predict_pb2.PredictResponse()
    scores = response.outputs[_SCORES].float_val
    if response.model_spec.name != name or len(scores) != workload.NUM_CLASSES:
        return [float("nan")] * workload.NUM_CLASSES
    return scores
