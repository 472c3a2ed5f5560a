"""Tests for python_load, with a server that is made up here."""

import dataclasses
import math
import threading

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import (
    call_driver,
    loads,
    python_load,
    workload,
)
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_DEADLINE_SECONDS = 60.0


class _Classifier:
    """Answers with the first ten pixels, and counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_calls = 0  # guarded by _lock
        # Set when a hundred calls were answered.
        self.is_busy = threading.Event()
        # Calls without an image wait for it, and fail.
        self.go_on = threading.Event()

    def classify(
        self, request: mnist_inference_pb2.MnistRequest
    ) -> mnist_inference_pb2.MnistResponse:
        """See mnist_inference.proto."""
        if not request.image_data:
            self.go_on.wait()
            raise errors.InvalidArgumentError("no image")
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
        images = workload.random_images(200, seed=0)
        self.work = workload.classify(
            workload.ScoredImages(images, images[:, :10])
        )
        self.classifier = _Classifier()
        service = call_lib.Service(
            mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"],
            {"Classify": self.classifier.classify},
        )
        self.server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0", [service], server_lib.Options(num_threads=2)
            )
        )
        self.addCleanup(self.classifier.go_on.set)
        self.server.start()
        self.address = f"127.0.0.1:{self.server.port}"

    def _connect(
        self,
        num_connections: int = 1,
        method: str = workload.CLASSIFY,
        deadline_seconds: float = _DEADLINE_SECONDS,
    ) -> python_load.GrpcTransport:
        transport: python_load.GrpcTransport = self.enter_context(
            python_load.GrpcTransport(
                self.address, method, num_connections, deadline_seconds
            )
        )
        return transport

    def _wait_for(
        self, transport: python_load.GrpcTransport, number: int
    ) -> list[call_driver.Ended]:
        ended: list[call_driver.Ended] = []
        while len(ended) < number:
            ended += transport.poll(60.0)
        return sorted(ended, key=lambda each: each.call)

    def test_calls_are_answered(self) -> None:
        """Calls beyond the window of each connection are answered, too."""
        transport = self._connect(num_connections=3)
        for call, request in enumerate(self.work.requests):
            transport.start(call, request)
        ended = self._wait_for(transport, 200)
        self.assertEqual([each.call for each in ended], list(range(200)))
        answers = [each.message for each in ended]
        self.assertTrue(self.work.are_right(range(200), answers).all())

    def test_errors_have_their_status(self) -> None:
        """A call has the status of the service, or of gRPC itself."""
        self.classifier.go_on.set()
        for method, code in (
            (workload.CLASSIFY, errors.StatusCode.INVALID_ARGUMENT),
            ("/a.B/C", errors.StatusCode.UNIMPLEMENTED),
        ):
            transport = self._connect(method=method)
            transport.start(0, b"")
            (ended,) = self._wait_for(transport, 1)
            self.assertEqual(ended.code, code)

    def test_poll_ends_after_its_time(self) -> None:
        """poll() returns after its time, and the call ends later."""
        transport = self._connect()
        transport.start(0, b"")
        self.assertFalse(transport.poll(0.01))
        self.classifier.go_on.set()
        self._wait_for(transport, 1)

    def test_call_is_given_up_at_its_deadline(self) -> None:
        """A call that is given up is an error."""
        transport = self._connect(deadline_seconds=0.01)
        transport.start(0, b"")
        (ended,) = transport.poll(None)
        self.assertEqual(ended.code, errors.StatusCode.DEADLINE_EXCEEDED)

    def test_server_that_goes_fails_the_calls(self) -> None:
        """Calls to a server that has gone fail with UNAVAILABLE."""
        transport = self._connect()
        self.server.stop(0)
        transport.start(0, b"")
        (ended,) = self._wait_for(transport, 1)
        self.assertEqual(ended.code, errors.StatusCode.UNAVAILABLE)

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
        # This server knows nothing of timings.
        self.assertEqual(load.timings(0, math.inf), [])

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
