"""Images that a load asks for, and the right answers."""

import dataclasses
import functools
import struct
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from google.protobuf import message

from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import message_frame

# The method that answers.
CLASSIFY = "/tensorflow.serving.MnistService/Classify"

_NUM_PIXELS = 784
NUM_CLASSES = 10
# An answer as every protobuf library writes it: field 1, 40 bytes of floats.
_ANSWER_PREFIX = bytes([0x0A, 4 * NUM_CLASSES])
_ANSWER_BYTES = len(_ANSWER_PREFIX) + 4 * NUM_CLASSES

# Between batches of different sizes, sums are rounded differently.
_RELATIVE_TOLERANCE = 1e-3
_ABSOLUTE_TOLERANCE = 1e-5


def random_images(num_images: int, seed: int) -> npt.NDArray[Any]:
    """Returns images of noise: float32 [num_images, 784], 0 to 1."""
    rng = np.random.default_rng(seed)
    return rng.random((num_images, _NUM_PIXELS), np.float32)


def requests(images: npt.NDArray[Any]) -> list[bytes]:
    """Returns a serialized MnistRequest for each image."""
    return [
        mnist_inference_pb2.MnistRequest(image_data=image).SerializeToString()
        for image in images
    ]


def parse_answers(answers: Sequence[bytes]) -> npt.NDArray[Any]:
    """Returns the scores in answers: float32 [answers, 10].

    Args:
      answers: Serialized MnistResponses. Other bytes become NaNs, which
        equal nothing.
    """
    return np.frombuffer(
        b"".join(_packed_scores(answer) for answer in answers), "<f4"
    ).reshape(-1, NUM_CLASSES)


def are_close(
    scores: npt.NDArray[Any], expected: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """Returns which rows differ by no more than rounding: bool [rows].

    Args:
      scores: float32 [rows, 10].
      expected: float32 [rows, 10].
    """
    close: npt.NDArray[Any] = np.isclose(
        scores, expected, _RELATIVE_TOLERANCE, _ABSOLUTE_TOLERANCE
    ).all(axis=1)
    return close


class Work(Protocol):
    """Calls of one method, and which answers are right."""

    @property
    def method(self) -> str:
        """Such as "/tensorflow.serving.MnistService/Classify"."""

    @property
    def requests(self) -> Sequence[bytes]:
        """The messages, which calls take in turn."""

    @property
    def framed_answer_bytes(self) -> int:
        """The size of a framed answer; 0 if they differ."""

    def are_right(
        self, images: Sequence[int], answers: Sequence[bytes]
    ) -> npt.NDArray[Any]:
        """Returns which answers are the right ones: bool [answers].

        Args:
          images: The index of the request that each answer is for.
          answers: The messages. Other bytes are wrong.
        """


@dataclasses.dataclass(frozen=True)
class Workload:
    """Images, and the scores that the model gives them in this process."""

    # float32 [images, 784].
    images: npt.NDArray[Any]
    # float32 [images, 10].
    scores: npt.NDArray[Any]

    @property
    def method(self) -> str:
        """The method of MnistService."""
        return CLASSIFY

    @functools.cached_property
    def requests(self) -> list[bytes]:
        """A serialized MnistRequest for each image."""
        return requests(self.images)

    @property
    def framed_answer_bytes(self) -> int:
        """The size of a framed answer."""
        return message_frame.PREFIX_BYTES + _ANSWER_BYTES

    def are_right(
        self, images: Sequence[int], answers: Sequence[bytes]
    ) -> npt.NDArray[Any]:
        """Returns which answers are the right ones: bool [answers].

        Args:
          images: The index of the image that each answer is for.
          answers: Serialized MnistResponses. Other bytes are wrong.
        """
        return are_close(
            parse_answers(answers), self.scores[np.asarray(images, np.intp)]
        )


def _packed_scores(answer: bytes) -> bytes:
    """Returns ten little-endian floats; NaN, which equals nothing, if none."""
    if len(answer) == _ANSWER_BYTES and answer.startswith(_ANSWER_PREFIX):
        return answer[len(_ANSWER_PREFIX) :]
    try:
        value = list(mnist_inference_pb2.MnistResponse.FromString(answer).value)
    except message.DecodeError:
        value = []
    if len(value) != NUM_CLASSES:
        value = [float("nan")] * NUM_CLASSES
    return struct.pack(f"<{NUM_CLASSES}f", *value)
