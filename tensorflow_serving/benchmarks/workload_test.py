"""Tests for workload."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import predict_pb2, tensor_codec
from tensorflow_serving.benchmarks import workload
from tensorflow_serving.example import mnist_inference_pb2


def _scored(seed: int) -> workload.ScoredImages:
    images = workload.random_images(3, seed)
    return workload.ScoredImages(images, images[:, :10])


def _answer(scores: object) -> bytes:
    return mnist_inference_pb2.MnistResponse(
        value=np.asarray(scores, np.float32)
    ).SerializeToString()


class ClassifyTest(parameterized.TestCase):
    """Calls of MnistService."""

    def setUp(self) -> None:
        """Makes the calls."""
        super().setUp()
        self.scored = _scored(seed=0)
        self.work = workload.classify(self.scored)

    def test_requests_hold_the_images(self) -> None:
        """There is one request for each image, in order."""
        request = mnist_inference_pb2.MnistRequest.FromString(
            self.work.requests[2]
        )
        np.testing.assert_array_equal(request.image_data, self.scored.images[2])

    def test_right_answers_are_found(self) -> None:
        """Each answer belongs to an image; rounding makes small differences."""
        scores = self.scored.scores
        answers = [
            _answer(scores[1]),
            _answer(scores[0] * 1.0001),
            _answer(scores[0] * 1.01),
            _answer(scores[2]),
        ]
        are_right = self.work.are_right([1, 0, 0, 1], answers)
        np.testing.assert_array_equal(are_right, [True, True, False, False])

    def test_answer_in_another_encoding_is_the_same_answer(self) -> None:
        """An answer with unpacked floats, which protobuf allows, is right."""
        unpacked = b"".join(
            b"\x0d" + score.tobytes() for score in self.scored.scores[0]
        )
        self.assertTrue(self.work.are_right([0], [unpacked]).all())

    @parameterized.parameters(
        b"", b"\xff\xff", _answer([0.1] * 9), _answer([np.nan] * 10)
    )
    def test_what_is_no_answer_is_wrong(self, answer: bytes) -> None:
        """Bytes that are no answer count as wrong and raise nothing."""
        self.assertFalse(self.work.are_right([0], [answer]).any())


class PredictTest(parameterized.TestCase):
    """Calls of PredictionService for two models."""

    @parameterized.parameters(False, True)
    def test_requests_are_for_the_models_in_turn(
        self, as_content: bool
    ) -> None:
        """Each has the images of a call, in the form that is wanted."""
        models = {"a": _scored(seed=0), "b": _scored(seed=1)}
        work = workload.predict(models, as_content=as_content, batch_size=2)
        requests = [*map(predict_pb2.PredictRequest.FromString, work.requests)]
        self.assertEqual(
            [each.model_spec.name for each in requests], ["a", "b", "a", "b"]
        )
        tensor = requests[1].inputs["inputs"]
        self.assertEqual(bool(tensor.tensor_content), as_content)
        np.testing.assert_array_equal(
            tensor_codec.to_array(tensor), models["b"].images[:2]
        )

    def test_answer_of_another_image_or_model_is_wrong(self) -> None:
        """So is one that cannot be read, and one without scores."""
        models = {"a": _scored(seed=0), "b": _scored(seed=1)}
        work = workload.predict(models)
        self.assertTrue(work.are_right(range(6), work.answers).all())
        self.assertFalse(work.are_right(range(6), work.answers[::-1]).any())
        of_b = predict_pb2.PredictResponse.FromString(work.answers[0])
        of_b.model_spec.name = "b"
        odd = [b"", b"\xff", work.answers[0][:-1], of_b.SerializeToString()]
        self.assertFalse(work.are_right([0] * 4, odd).any())


if __name__ == "__main__":
    absltest.main()
