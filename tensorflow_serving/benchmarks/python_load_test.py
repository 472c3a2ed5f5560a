"""Tests for python_load, with a server that is made up here."""

import dataclasses
import math
import threading

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import loads, python_load, workload
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_SERVICE = mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"]
_DEADLINE_SECONDS = 60.0


class _Classifier:
    """Answers with the first ten pixels, and counts."""

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


class PythonLoadTest(parameterized.TestCase):
    """Loads on a server in this process."""

    def setUp(self) -> None:
        """Starts the server."""
        super().setUp()
        images = workload.random_images(3, seed=0)
        self.work = workload.classify(
            workload.ScoredImages(images, images[:, :10])
        )
        self.classifier = _Classifier()
        server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0",
                [
                    call_lib.Service(
                        _SERVICE, {"Classify": self.classifier.classify}
                    )
                ],
            )
        )
        server.start()
        self.address = f"127.0.0.1:{server.port}"

    @parameterized.parameters(
        loads.ClosedLoad(4, math.inf), loads.OpenLoad(1000.0, math.inf)
    )
    def test_background_load_goes_on_until_it_is_stopped(
        self, endless: loads.Load
    ) -> None:
        """All calls until stop() are there, and each answer is checked."""
        with python_load.BackgroundLoad(
            self.address, self.work, endless, _DEADLINE_SECONDS
        ) as load:
            self.classifier.is_busy.wait()
            made = load.stop()
            self.assertIs(load.stop(), made)
        self.assertGreaterEqual(made.num_calls, 100)
        self.assertEqual(dict(made.errors()), {})
        self.assertEqual(made.num_wrong, 0)

    def test_wrong_answers_are_counted(self) -> None:
        """Answers that differ from the scores of the workload are wrong."""
        wrong = dataclasses.replace(
            self.work, answers=[*self.work.answers[1:], b""]
        )
        made = python_load.make(
            self.address,
            wrong,
            loads.ClosedLoad(2, seconds=0.1),
            _DEADLINE_SECONDS,
        )
        self.assertGreater(made.num_wrong, 0)
        self.assertEqual(made.num_wrong, made.num_calls)

    def test_open_load_is_made_in_another_process(self) -> None:
        """The calls come back with the times of each."""
        load = loads.OpenLoad(100.0, seconds=0.5, seed=1)
        made = python_load.make(
            self.address, self.work, load, _DEADLINE_SECONDS
        )
        self.assertEqual(made.num_calls, len(load.arrivals().due(0.5)))
        self.assertTrue(np.all(made.latency_seconds >= made.late_seconds))
        self.assertEqual(made.num_wrong, 0)

    def test_server_that_is_not_there_is_an_error(self) -> None:
        """The error of the other process has the address."""
        with self.assertRaisesRegex(errors.UnavailableError, "127.0.0.1:1"):
            python_load.make(
                "127.0.0.1:1", self.work, loads.ClosedLoad(1, 1.0), 1.0
            )


if __name__ == "__main__":
    absltest.main()
