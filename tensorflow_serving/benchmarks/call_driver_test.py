"""Tests for call_driver: a scripted server, on a clock that stands still."""

import dataclasses

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import (
    call_driver,
    loads,
    workload,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors


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
    """Implements call_driver.Transport; waiting moves the clock.

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

    def poll(self, timeout_seconds: float | None) -> list[call_driver.Ended]:
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
            call_driver.Ended(
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
    driver = call_driver.CallDriver(transport, _work(), when, clock)
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
            [_Reply(10_000)] * 22, loads.Closed(2, seconds=0.1), 0.1
        )
        self.assertEqual(made.num_calls, 20)
        self.assertEqual(transport.most_in_flight, 2)
        self.assertEqual(made.answers_per_second, 200.0)

    def test_call_that_fails_makes_room(self) -> None:
        """The next call starts when one before it has failed."""
        made, _ = _run(
            [_Reply(1_000_000, errors.StatusCode.UNKNOWN), _Reply(1000)],
            loads.Closed(1, seconds=1.0005),
        )
        np.testing.assert_allclose(made.done_seconds, [1.0, 1.001], atol=1e-9)
        self.assertAlmostEqual(made.seconds, 1.001)


if __name__ == "__main__":
    absltest.main()
