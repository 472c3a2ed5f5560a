"""Tests for versioned_workload."""

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import (
    calls,
    versioned_workload,
    workload,
)
from tensorflow_serving.example import mnist_inference_pb2


def _answer(scores: object) -> bytes:
    return mnist_inference_pb2.MnistResponse(
        value=np.asarray(scores, np.float32)
    ).SerializeToString()


class VersionedWorkloadTest(absltest.TestCase):
    """Answers of several versions."""

    def setUp(self) -> None:
        """Makes two versions."""
        super().setUp()
        self.images = workload.random_images(2, seed=0)
        self.work = versioned_workload.VersionedWorkload(self.images)
        self.work.add(3, self.images[:, :10])
        self.work.add(8, self.images[:, 10:20])

    def test_answer_tells_its_version(self) -> None:
        """Whatever image it is for; differences of rounding do not count."""
        answers = [
            _answer(self.images[1, :10] * 1.0001),
            _answer(self.images[0, 10:20]),
            _answer(self.images[1, :10]),
        ]
        np.testing.assert_array_equal(
            self.work.versions_of([1, 0, 1], answers), [3, 8, 3]
        )

    def test_answer_of_no_version_is_wrong(self) -> None:
        """So is one for another image, and what is no answer."""
        answers = [
            _answer(self.images[0, 20:30]),
            _answer(self.images[1, :10]),
            b"",
        ]
        np.testing.assert_array_equal(
            self.work.versions_of([0, 0, 0], answers), [calls.NO_VERSION] * 3
        )

    def test_answer_of_two_versions_is_wrong(self) -> None:
        """It would not tell which of them is served."""
        self.work.add(9, self.images[:, :10])
        np.testing.assert_array_equal(
            self.work.versions_of([0], [_answer(self.images[0, :10])]),
            [calls.NO_VERSION],
        )

    def test_without_versions_every_answer_is_wrong(self) -> None:
        """There is nothing that it could be the answer of."""
        work = versioned_workload.VersionedWorkload(self.images)
        np.testing.assert_array_equal(
            work.versions_of([0], [_answer(self.images[0, :10])]),
            [calls.NO_VERSION],
        )

    def test_requests_hold_the_images(self) -> None:
        """One each, in order."""
        request = mnist_inference_pb2.MnistRequest.FromString(
            self.work.requests[1]
        )
        np.testing.assert_array_equal(request.image_data, self.images[1])


if __name__ == "__main__":
    absltest.main()
