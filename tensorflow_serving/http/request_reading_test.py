"""Tests for request_reading, on a loop whose time the test moves."""

import asyncio
from collections.abc import Callable
from typing import cast

from absl.testing import absltest

from tensorflow_serving.http import options, request_reading

_LIMITS = options.Limits(
    max_head_bytes=100,
    head_seconds=20.0,
    body_seconds=30.0,
    min_body_bytes_per_second=10,
)


class _Timer:
    """Implements what is used of asyncio.TimerHandle."""

    def __init__(self, time: float, callback: Callable[[], None]) -> None:
        self.time = time
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        """Has the callback not be called."""
        self.is_cancelled = True


class _Loop:
    """Implements what is used of an event loop."""

    def __init__(self) -> None:
        self._time = 0.0
        self._timers: list[_Timer] = []

    def call_later(
        self, seconds: float, callback: Callable[[], None]
    ) -> _Timer:
        """See asyncio.AbstractEventLoop."""
        timer = _Timer(self._time + seconds, callback)
        self._timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Moves the time, and calls back what is due."""
        self._time += seconds
        for timer in [*self._timers]:
            if not timer.is_cancelled and timer.time <= self._time:
                self._timers.remove(timer)
                timer.callback()


class RequestReadingTest(absltest.TestCase):
    """A connection that has just been made."""

    def setUp(self) -> None:
        """Waits for the first head."""
        super().setUp()
        self.loop = _Loop()
        self.num_timeouts = 0
        self.reading = request_reading.RequestReading(
            _LIMITS, cast(asyncio.AbstractEventLoop, self.loop), self._time_out
        )
        self.reading.connected()

    def _time_out(self) -> None:
        self.num_timeouts += 1

    def test_first_head_must_begin_and_end_in_time(self) -> None:
        """The time of a head counts from its first byte."""
        self.loop.advance(19.9)
        self.reading.head_begun()
        self.loop.advance(19.9)
        self.assertEqual(self.num_timeouts, 0)
        self.loop.advance(0.2)
        self.assertEqual(self.num_timeouts, 1)

    def test_fast_body_gets_the_time_that_its_bytes_are_worth(self) -> None:
        """A second for each 10 bytes, and nothing for bytes before."""
        self.reading.head_begun()
        self.reading.body_begun()
        self.reading.body_received(400)
        self.loop.advance(30.0)
        self.reading.body_received(10)
        self.loop.advance(39.9)
        self.assertEqual(self.num_timeouts, 0)
        self.loop.advance(0.2)
        self.assertEqual(self.num_timeouts, 1)

    def test_nothing_is_late_between_requests(self) -> None:
        """A connection that keeps silent is not cut off here."""
        self.reading.head_begun()
        self.reading.body_begun()
        self.reading.ended()
        self.assertIs(self.reading.part, request_reading.Part.NONE)
        self.loop.advance(1000.0)
        self.assertEqual(self.num_timeouts, 0)

    def test_bytes_that_are_not_of_a_body_have_a_limit(self) -> None:
        """Bytes of chunks do not count, those between them do."""
        self.reading.received(100)
        self.assertFalse(self.reading.is_head_too_large)
        self.reading.received(1)
        self.assertTrue(self.reading.is_head_too_large)
        self.reading.head_begun()
        self.reading.body_begun()
        self.reading.received(1000)
        self.reading.body_received(1000)
        self.assertFalse(self.reading.is_head_too_large)
        self.reading.received(101)
        self.assertTrue(self.reading.is_head_too_large)
        self.reading.chunk_begun()
        self.assertFalse(self.reading.is_head_too_large)

    def test_head_may_be_too_large_only_if_its_reads_are(self) -> None:
        """Requests that came before it, in the same read, count as well."""
        self.reading.received(90)
        self.reading.head_begun()
        self.assertFalse(self.reading.may_head_be_too_large)
        self.reading.received(11)
        self.assertTrue(self.reading.may_head_be_too_large)


if __name__ == "__main__":
    absltest.main()
