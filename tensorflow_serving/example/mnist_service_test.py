"""Tests for mnist_service, with a session that is made up."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.example import mnist_inference_pb2, mnist_service
from tensorflow_serving.session_bundle import (
    manifest_pb2,
    session_bundle,
    signature,
)
from tensorflow_serving.util import errors

_CLASSIFICATION = manifest_pb2.Signature(
    classification_signature=manifest_pb2.ClassificationSignature(
        input=manifest_pb2.TensorBinding(tensor_name="x:0"),
        scores=manifest_pb2.TensorBinding(tensor_name="y:0"),
    )
)
_IMAGE = np.linspace(0, 1, 784, dtype=np.float32)


class _Session:
    """Returns given scores; keeps the image."""

    def __init__(self, scores: npt.NDArray[Any] | errors.ServingError) -> None:
        self._scores = scores
        self.images: list[npt.NDArray[Any]] = []

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """Returns the scores, or raises the error."""
        assert list(fetches) == ["y:0"]
        self.images.append(feed_dict["x:0"])
        if isinstance(self._scores, errors.ServingError):
            raise self._scores
        return [self._scores]

    def close(self) -> None:
        """Has nothing to free."""


def _service(
    session: _Session, default: manifest_pb2.Signature | None = _CLASSIFICATION
) -> mnist_service.MnistService:
    meta_graph_def = tf.compat.v1.MetaGraphDef()
    signature.set_signatures(
        manifest_pb2.Signatures(default_signature=default), meta_graph_def
    )
    return mnist_service.MnistService(
        session_bundle.SessionBundle(session, meta_graph_def)
    )


def _request(image: Iterable[float]) -> mnist_inference_pb2.MnistRequest:
    return mnist_inference_pb2.MnistRequest(image_data=image)


class MnistServiceTest(parameterized.TestCase):
    """One image in, ten probabilities out."""

    def test_image_goes_in_and_scores_come_out(self) -> None:
        """The image is float32 [1, 784], unchanged."""
        scores = np.arange(10, dtype=np.float32)[None]
        session = _Session(scores)
        response = _service(session).classify(_request(_IMAGE))
        np.testing.assert_array_equal(response.value, scores[0])
        np.testing.assert_array_equal(session.images[0], [_IMAGE])
        self.assertEqual(session.images[0].dtype, np.float32)

    @parameterized.parameters(0, 1, 783, 785)
    def test_image_of_another_size_is_invalid(self, num_pixels: int) -> None:
        """INVALID_ARGUMENT, and the session is not run."""
        session = _Session(np.zeros([1, 10]))
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"784 values; got {num_pixels}"
        ):
            _service(session).classify(_request([0.5] * num_pixels))
        self.assertEqual(session.images, [])

    @parameterized.named_parameters(
        ("missing", None, "Expected a default signature"),
        (
            "regression",
            manifest_pb2.Signature(
                regression_signature=manifest_pb2.RegressionSignature()
            ),
            "Expected a classification signature",
        ),
    )
    def test_model_without_the_signature_fails_each_call(
        self, default: manifest_pb2.Signature | None, text: str
    ) -> None:
        """FAILED_PRECONDITION, but the service starts."""
        service = _service(_Session(np.zeros([1, 10])), default)
        for _ in range(2):
            with self.assertRaisesRegex(errors.FailedPreconditionError, text):
                service.classify(_request(_IMAGE))

    def test_error_of_the_session_is_passed_on(self) -> None:
        """With its code."""
        session = _Session(errors.UnavailableError("full"))
        with self.assertRaisesRegex(errors.UnavailableError, "full"):
            _service(session).classify(_request(_IMAGE))

    def test_scores_of_another_shape_are_an_internal_error(self) -> None:
        """The fault is the model's."""
        session = _Session(np.zeros([1, 9]))
        with self.assertRaisesRegex(
            errors.InternalError, r"must have shape \[1, 10\]; got \[1, 9\]"
        ):
            _service(session).classify(_request(_IMAGE))


if __name__ == "__main__":
    absltest.main()
