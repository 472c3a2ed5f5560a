"""Tests for background_load, with a server made up here."""

import threading

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import background_load, workload
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib

_SERVICE = mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"]


class _Classifier:
    """Answers with the first ten pixels; counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_calls = 0  # guarded by _lock
        # Set when a hundred calls were answered.
        self.is_busy = threading.Event()

    def classify(
        self, request: mnist_inference_pb2.MnistRequest
    ) -> mnist_inference_pb2.MnistResponse:
        """See mnist_inference.proto."""
        with self._lock:
            self._num_calls += 1
            if self._num_calls == 100:
                self.is_busy.set()
        return mnist_inference_pb2.MnistResponse(value=request.image_data[:10])


class BackgroundLoadTest(absltest.TestCase):
    """Calls that go on."""

    def test_load_goes_on_until_it_is_stopped(self) -> None:
        """Each answer is checked; when calls started is known."""
        images = workload.random_images(3, seed=0)
        work = workload.Workload(images, images[:, :10])
        classifier = _Classifier()
        service = call_lib.Service(_SERVICE, {"Classify": classifier.classify})
        with server_lib.Server("127.0.0.1:0", [service]) as server:
            server.start()
            with background_load.BackgroundLoad(
                f"127.0.0.1:{server.port}", work, 4, deadline_seconds=60.0
            ) as load:
                self.assertTrue(classifier.is_busy.wait(timeout=60))
                made = load.stop()
                self.assertIs(load.stop(), made)
        self.assertGreaterEqual(made.num_calls, 100)
        self.assertEqual(dict(made.errors()), {})
        self.assertEqual(made.num_wrong, 0)
        np.testing.assert_array_equal(made.versions, [0] * made.num_calls)
        self.assertTrue(
            (made.start_monotonic_seconds <= made.done_monotonic_seconds).all()
        )


if __name__ == "__main__":
    absltest.main()
