"""Calls of a load: what is asked, and which answers are right."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import message

from tensorflow_serving.apis import predict_pb2, tensor_codec
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import message_frame

CLASSIFY = "/tensorflow.serving.MnistService/Classify"
PREDICT = "/tensorflow.serving.PredictionService/Predict"

_NUM_PIXELS = 784
# The names of the signature of a classifier.
_INPUTS = "inputs"
_SCORES = "scores"

# Between batches of different sizes, sums are rounded differently.
_RELATIVE_TOLERANCE = 1e-3
_ABSOLUTE_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True)
class ScoredImages:
    """Images, and the scores that a model gives them in this process."""

    # float32 [images, ...].
    images: npt.NDArray[Any]
    # float32 [images, classes].
    scores: npt.NDArray[Any]


@dataclasses.dataclass(frozen=True)
class Work:
    """Calls of one method, CLASSIFY or PREDICT, and their right answers."""

    method: str
    # The messages, which calls take in turn.
    requests: Sequence[bytes]
    # The right answer to each, but for rounding.
    answers: Sequence[bytes]

    @property
    def framed_answer_bytes(self) -> int:
        """The size of a framed answer, of a version below 128."""
        return message_frame.PREFIX_BYTES + len(self.answers[0])

    def are_right(
        self, indices: Sequence[int], answers: Sequence[bytes]
    ) -> npt.NDArray[np.bool_]:
        """Returns which answers are the right ones: bool [answers].

        Args:
          indices: The index of the request that each answer is for.
          answers: The messages. Other bytes are wrong.
        """
        read = {CLASSIFY: _read_mnist, PREDICT: _read_predict}[self.method]
        expected = [read(answer) for answer in self.answers]
        return np.array(
            [
                _is_right(expected[index], read(answer))
                for index, answer in zip(indices, answers, strict=True)
            ],
            bool,
        )


def random_images(num_images: int, seed: int) -> npt.NDArray[np.float32]:
    """Returns images of noise: float32 [num_images, 784], 0 to 1."""
    rng = np.random.default_rng(seed)
    return rng.random((num_images, _NUM_PIXELS), np.float32)


def are_close(
    scores: npt.NDArray[Any], expected: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Returns which scores, of the same shape, differ by rounding at most."""
    tolerance = _ABSOLUTE_TOLERANCE + _RELATIVE_TOLERANCE * np.abs(expected)
    close: npt.NDArray[np.bool_] = np.abs(scores - expected) <= tolerance
    return close


def classify(scored: ScoredImages) -> Work:
    """Returns calls of MnistService with one image each."""
    return Work(
        CLASSIFY,
        [
            mnist_inference_pb2.MnistRequest(
                image_data=image
            ).SerializeToString()
            for image in scored.images
        ],
        [
            mnist_inference_pb2.MnistResponse(value=scores).SerializeToString()
            for scores in scored.scores
        ],
    )


def predict(
    models: Mapping[str, ScoredImages],
    *,
    as_content: bool = False,
    batch_size: int = 1,
) -> Work:
    """Returns calls of PredictionService, for one model after the other.

    Args:
      models: The images for each model, by its name; as many for each.
      as_content: Whether tensors are sent in tensor_content, or in float_val.
      batch_size: The number of images in a call.
    """
    requests, answers = [], []
    (num_images,) = {len(scored.images) for scored in models.values()}
    for start in range(0, num_images, batch_size):
        rows = slice(start, start + batch_size)
        for name, scored in models.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.inputs[_INPUTS].CopyFrom(
                tensor_codec.to_proto(
                    scored.images[rows], as_content=as_content
                )
            )
            requests.append(request.SerializeToString())
            answers.append(_predict_response(name, scored.scores[rows]))
    return Work(PREDICT, requests, answers)


def _predict_response(name: str, scores: npt.NDArray[Any]) -> bytes:
    response = predict_pb2.PredictResponse()
    response.model_spec.name = name
    response.model_spec.version.value = 1
    response.model_spec.signature_name = "serving_default"
    response.outputs[_SCORES].CopyFrom(tensor_codec.to_proto(scores))
    return response.SerializeToString()


# The model that answered, and its scores: float32 [values].
_Answer = tuple[str, npt.NDArray[np.float32]]
_NO_ANSWER: _Answer = ("", np.full(1, np.nan, np.float32))


def _read_mnist(answer: bytes) -> _Answer:
    try:
        response = mnist_inference_pb2.MnistResponse.FromString(answer)
    except message.DecodeError:
        return _NO_ANSWER
    return "", np.array(response.value, np.float32)


def _read_predict(answer: bytes) -> _Answer:
    try:
        response = predict_pb2.PredictResponse.FromString(answer)
    except message.DecodeError:
        return _NO_ANSWER
    scores = response.outputs[_SCORES].float_val
    return response.model_spec.name, np.array(scores, np.float32)


def _is_right(expected: _Answer, answer: _Answer) -> bool:
    return (
        expected[0] == answer[0]
        and expected[1].shape == answer[1].shape
        and bool(are_close(answer[1], expected[1]).all())
    )
