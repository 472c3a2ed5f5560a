"""Tests for workload."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import workload
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import message_frame


def _workload() -> workload.Workload:
    images = workload.random_images(3, seed=0)
    return workload.Workload(images, images[:, :10])


def _answer(scores: object) -> bytes:
    return mnist_inference_pb2.MnistResponse(
        value=np.asarray(scores, np.float32)
    ).SerializeToString()


class WorkloadTest(parameterized.TestCase):
    """Requests and right answers."""

    def test_requests_hold_the_images(self) -> None:
        """There is one request for each image, in order."""
        work = _workload()
        request = mnist_inference_pb2.MnistRequest.FromString(work.requests[2])
        np.testing.assert_array_equal(request.image_data, work.images[2])

    def test_right_answers_are_found(self) -> None:
        """Each answer belongs to an image; rounding makes small differences."""
        work = _workload()
        answers = [
            _answer(work.scores[1]),
            _answer(work.scores[0] * 1.0001),
            _answer(work.scores[0] * 1.01),
            _answer(work.scores[2]),
        ]
        are_right = work.are_right([1, 0, 0, 1], answers)
        np.testing.assert_array_equal(are_right, [True, True, False, False])

    def test_answer_in_another_encoding_is_the_same_answer(self) -> None:
        """An answer with unpacked floats, which protobuf allows, is right."""
        work = _workload()
        unpacked = b"".join(
            b"\x0d" + score.tobytes() for score in work.scores[0]
        )
        self.assertTrue(work.are_right([0], [unpacked]).all())

    @parameterized.parameters(
        b"", b"\xff\xff", _answer([0.1] * 9), _answer([np.nan] * 10)
    )
    def test_what_is_no_answer_is_wrong(self, answer: bytes) -> None:
        """Bytes that are no answer count as wrong and raise nothing."""
        self.assertFalse(_workload().are_right([0], [answer]).any())

    def test_framed_answer_has_the_size_of_real_ones(self) -> None:
        """The size of an answer, which h2load counts, is that of real ones."""
        work = _workload()
        framed = message_frame.frame(_answer(work.scores[0]))
        self.assertEqual(len(framed), work.framed_answer_bytes)


if __name__ == "__main__":
    absltest.main()
