"""Tests for call_driver: a scripted server, on a clock that stands still."""

import dataclasses

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import (
    arrivals,
    call_driver,
    calls,
    workload,
)
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_DEADLINE_SECONDS = 1.0


def _workload() -> workload.Workload:
    images = workload.random_images(2, seed=0)
    return workload.Workload(images, images[:, :10])


def _answer(image: int) -> bytes:
    return mnist_inference_pb2.MnistResponse(
        value=_workload().scores[image]
    ).SerializeToString()


@dataclasses.dataclass
class _Reply:
    """What a server does with a call."""

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
        self.cancelled: list[int] = []
        self.most_in_flight = 0

    def start(self, call: int, message: bytes) -> None:
        """See Transport."""
        self._clock.advance_micros(self._stall_micros.get(call, 0))
        self._ends[call] = self._now() + self._replies[call].after_micros
        self.most_in_flight = max(self.most_in_flight, len(self._ends))

    def cancel(self, call: int) -> None:
        """See Transport."""
        self.cancelled.append(call)
        del self._ends[call]

    def poll(self, timeout_seconds: float) -> list[call_driver.Ended]:
        """See Transport."""
        end = self._now() + round(timeout_seconds * 1e6)
        end = max(self._now(), min([end, *self._ends.values()]))
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
    when: arrivals.Arrivals,
    seconds: float | None = None,
    stall_micros: dict[int, int] | None = None,
) -> tuple[calls.Calls, _ScriptedTransport]:
    clock = fake_clock.FakeClock()
    transport = _ScriptedTransport(clock, replies, stall_micros)
    driver = call_driver.CallDriver(
        transport, _workload(), _DEADLINE_SECONDS, clock
    )
    return driver.run(when, seconds), transport


class OpenLoadTest(absltest.TestCase):
    """Calls with times of their own."""

    def test_latency_counts_from_the_start(self) -> None:
        """Of each call that starts when it is meant to."""
        made, _ = _run(
            [_Reply(1000), _Reply(5000), _Reply(2000)],
            arrivals.Open(iter([0.010, 0.020, 0.021])),
        )
        np.testing.assert_allclose(
            made.latency_seconds, [0.001, 0.005, 0.002], atol=1e-9
        )
        np.testing.assert_allclose(made.late_seconds, 0.0, atol=1e-9)
        np.testing.assert_allclose(
            made.start_monotonic_seconds, [0.010, 0.020, 0.021], atol=1e-9
        )

    def test_calls_start_while_others_wait(self) -> None:
        """A slow server has them pile up; nothing holds them back."""
        times = [number / 1000 for number in range(100)]
        made, transport = _run(
            [_Reply(500_000)] * 100, arrivals.Open(iter(times))
        )
        self.assertEqual(transport.most_in_flight, 100)
        np.testing.assert_allclose(made.latency_seconds, 0.5, atol=1e-9)

    def test_late_start_counts_as_latency(self) -> None:
        """A driver that is busy for 50 ms omits no call, and hides no wait."""
        made, _ = _run(
            [_Reply(1000)] * 4,
            arrivals.Open(iter([0.010, 0.020, 0.030, 0.100])),
            stall_micros={0: 50_000},
        )
        np.testing.assert_allclose(
            made.latency_seconds, [0.051, 0.041, 0.031, 0.001], atol=1e-9
        )
        np.testing.assert_allclose(
            made.late_seconds, [0.0, 0.040, 0.030, 0.0], atol=1e-9
        )

    def test_call_is_given_up_at_its_deadline(self) -> None:
        """It counts as an error; those beside it go on."""
        made, transport = _run(
            [_Reply(10_000_000), _Reply(1000), _Reply(1000)],
            arrivals.Open(iter([0.0, 0.5, 2.0])),
        )
        self.assertEqual(transport.cancelled, [0])
        self.assertEqual(dict(made.errors()), {"DEADLINE_EXCEEDED": 1})
        np.testing.assert_allclose(
            made.latency_seconds, [1.0, 0.001, 0.001], atol=1e-9
        )

    def test_goodput_counts_answers_within_the_time(self) -> None:
        """Not errors, and not what came after the end."""
        made, _ = _run(
            [
                _Reply(1000),
                _Reply(1000, errors.StatusCode.UNAVAILABLE),
                _Reply(500_000),
            ],
            arrivals.Open(iter([0.1, 0.2, 0.9])),
            seconds=1.0,
        )
        self.assertEqual(made.answers_per_second, 1.0)
        self.assertEqual(made.offered_per_second, 3.0)
        self.assertEqual(dict(made.errors()), {"UNAVAILABLE": 1})

    def test_every_answer_is_checked(self) -> None:
        """Calls take images in turn; the answer of another image is wrong."""
        answers = [_answer(0), _answer(1), _answer(1), b"", _answer(0)]
        made, _ = _run(
            [_Reply(1, answer=answer) for answer in answers],
            arrivals.Open(iter([0.1, 0.2, 0.3, 0.4, 0.5])),
        )
        self.assertEqual(made.num_calls, 5)
        self.assertEqual(made.num_wrong, 2)
        np.testing.assert_array_equal(made.versions, [0, 0, -1, -1, 0])


class ClosedLoadTest(absltest.TestCase):
    """A fixed number of calls in flight."""

    def test_calls_in_flight_are_kept(self) -> None:
        """Two of 10 ms each, for 100 ms, are twenty calls."""
        made, transport = _run(
            [_Reply(10_000)] * 22, arrivals.Closed(2, seconds=0.1), 0.1
        )
        self.assertEqual(made.num_calls, 20)
        self.assertEqual(transport.most_in_flight, 2)
        self.assertEqual(made.answers_per_second, 200.0)

    def test_call_that_is_given_up_makes_room(self) -> None:
        """A server that stops answering does not stop the load."""
        made, _ = _run(
            [_Reply(10_000_000), _Reply(1000)],
            arrivals.Closed(1, num_calls=2),
        )
        np.testing.assert_allclose(made.done_seconds, [1.0, 1.001], atol=1e-9)
        self.assertAlmostEqual(made.seconds, 1.001)


if __name__ == "__main__":
    absltest.main()
