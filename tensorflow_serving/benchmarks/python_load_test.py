"""Tests for python_load.

The driver has a scripted server, on a clock that stands still; the rest a real
one.
"""

import dataclasses
import math
import os
import threading

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import loads, python_load, workload
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_DEADLINE_SECONDS = 60.0


def _work() -> workload.Work:
    images = workload.random_images(2, seed=0)
    return workload.classify(workload.ScoredImages(images, images[:, :10]))


@dataclasses.dataclass
class _Reply:
    """The answer of a server to a call."""

    after_micros: int
    code: int = errors.StatusCode.OK
    answer: bytes = b""


class _ScriptedTransport:
    """Implements python_load.Transport; waiting moves the clock.

    A stall at a call keeps the driver itself busy when it starts that call.
    """

    def __init__(
        self,
        clock: fake_clock.FakeClock,
        replies: list[_Reply],
        stall_micros: dict[int, int] | None = None,
    ) -> None:
        self._clock = clock
        self._replies = replies
        self._stall_micros = stall_micros or {}
        # When calls end, in microseconds.
        self._ends: dict[int, int] = {}
        self.most_in_flight = 0

    def start(self, call: int, message: bytes) -> None:
        """See Transport."""
        self._clock.advance_micros(self._stall_micros.get(call, 0))
        self._ends[call] = self._now() + self._replies[call].after_micros
        self.most_in_flight = max(self.most_in_flight, len(self._ends))

    def poll(self, timeout_seconds: float | None) -> list[python_load.Ended]:
        """See Transport."""
        ends = [*self._ends.values()]
        if timeout_seconds is not None:
            ends.append(self._now() + round(timeout_seconds * 1e6))
        end = max(self._now(), min(ends))
        self._clock.advance_micros(end - self._now())
        ended = [call for call, time in self._ends.items() if time <= end]
        for call in ended:
            del self._ends[call]
        return [
            python_load.Ended(
                call, self._replies[call].code, self._replies[call].answer
            )
            for call in ended
        ]

    def _now(self) -> int:
        return round(self._clock.now() * 1e6)


def _run(
    replies: list[_Reply],
    when: loads.Arrivals,
    seconds: float | None = None,
    stall_micros: dict[int, int] | None = None,
) -> tuple[loads.Calls, _ScriptedTransport]:
    clock = fake_clock.FakeClock()
    transport = _ScriptedTransport(clock, replies, stall_micros)
    driver = python_load.CallDriver(transport, _work(), when, clock)
    return driver.run(seconds), transport


class OpenLoadTest(absltest.TestCase):
    """Calls with times of their own."""

    def test_latency_counts_from_the_start(self) -> None:
        """The latency of a call that starts in time is what the server took."""
        made, _ = _run(
            [_Reply(1000), _Reply(5000), _Reply(2000)],
            loads.Open(iter([0.010, 0.020, 0.021])),
        )
        np.testing.assert_allclose(
            made.latency_seconds, [0.001, 0.005, 0.002], atol=1e-9
        )
        np.testing.assert_allclose(made.late_seconds, 0.0, atol=1e-9)

    def test_calls_start_while_others_wait(self) -> None:
        """Any number of calls wait for a slow server at the same time."""
        times = [number / 1000 for number in range(100)]
        made, transport = _run([_Reply(500_000)] * 100, loads.Open(iter(times)))
        self.assertEqual(transport.most_in_flight, 100)
        np.testing.assert_allclose(made.latency_seconds, 0.5, atol=1e-9)

    def test_late_start_counts_as_latency(self) -> None:
        """Calls that start late have been waiting since they were due."""
        made, _ = _run(
            [_Reply(1000)] * 4,
            loads.Open(iter([0.010, 0.020, 0.030, 0.100])),
            stall_micros={0: 50_000},
        )
        np.testing.assert_allclose(
            made.latency_seconds, [0.051, 0.041, 0.031, 0.001], atol=1e-9
        )
        np.testing.assert_allclose(
            made.late_seconds, [0.0, 0.040, 0.030, 0.0], atol=1e-9
        )

    def test_goodput_counts_answers_within_the_time(self) -> None:
        """Neither errors nor answers after the end count as goodput."""
        made, _ = _run(
            [
                _Reply(1000),
                _Reply(1000, errors.StatusCode.UNAVAILABLE),
                _Reply(500_000),
            ],
            loads.Open(iter([0.1, 0.2, 0.9])),
            seconds=1.0,
        )
        self.assertEqual(made.answers_per_second, 1.0)
        self.assertEqual(made.offered_per_second, 3.0)
        self.assertEqual(dict(made.errors()), {"UNAVAILABLE": 1})

    def test_every_answer_is_checked(self) -> None:
        """Calls take images in turn; the answer to another image is wrong."""
        zero, one = _work().answers
        answers = [zero, one, one, b"", zero]
        made, _ = _run(
            [_Reply(1, answer=answer) for answer in answers],
            loads.Open(iter([0.1, 0.2, 0.3, 0.4, 0.5])),
        )
        self.assertEqual(made.num_calls, 5)
        self.assertEqual(made.num_wrong, 2)


class ClosedLoadTest(absltest.TestCase):
    """A fixed number of calls in flight."""

    def test_calls_in_flight_are_kept(self) -> None:
        """Two calls of 10 ms in flight for 100 ms are twenty calls."""
        made, transport = _run(
            [_Reply(10_000)] * 22, loads.ClosedLoad(2, seconds=0.1), 0.1
        )
        self.assertEqual(made.num_calls, 20)
        self.assertEqual(transport.most_in_flight, 2)
        self.assertEqual(made.answers_per_second, 200.0)

    def test_call_that_fails_makes_room(self) -> None:
        """The next call starts when one before it has failed."""
        made, _ = _run(
            [_Reply(1_000_000, errors.StatusCode.UNKNOWN), _Reply(1000)],
            loads.ClosedLoad(1, seconds=1.0005),
        )
        np.testing.assert_allclose(made.done_seconds, [1.0, 1.001], atol=1e-9)
        self.assertAlmostEqual(made.seconds, 1.001)


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
    ) -> list[python_load.Ended]:
        ended: list[python_load.Ended] = []
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

    def test_call_is_given_up_at_its_deadline(self) -> None:
        """It is an error then; poll() ends after its own time."""
        patient = self._connect()
        patient.start(0, b"")
        hasty = self._connect(deadline_seconds=0.01)
        hasty.start(0, b"")
        (ended,) = hasty.poll(None)
        self.assertEqual(ended.code, errors.StatusCode.DEADLINE_EXCEEDED)
        self.assertFalse(patient.poll(0.01))

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
        """The calls come back with the times of each, from any folder."""
        folder = self.create_tempdir()
        folder.create_file("tensorflow_serving/benchmarks/python_load.py", "!")
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(folder)
        load = loads.OpenLoad(100.0, seconds=0.5, seed=1)
        made = python_load.make(
            self.address, self.work, load, _DEADLINE_SECONDS
        )
        self.assertEqual(made.num_calls, len(load.arrivals().due(0.5, 0)))
        self.assertTrue(np.all(made.latency_seconds >= made.late_seconds))
        self.assertEqual(made.num_wrong, 0)

    def test_server_that_is_not_there_is_an_error(self) -> None:
        """The error of the other process has the address."""
        with self.assertRaisesRegex(errors.UnavailableError, "127.0.0.1:1"):
            python_load.make(
                "127.0.0.1:1",
                self.work,
                loads.ClosedLoad(1, 1.0),
                1.0,
                connect_seconds=0.1,
            )


if __name__ == "__main__":
    absltest.main()
