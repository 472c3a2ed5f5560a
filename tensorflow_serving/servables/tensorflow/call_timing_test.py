"""Tests for call_timing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
from absl.testing import absltest
from typing_extensions import override

from tensorflow_serving.batching import batched_function
from tensorflow_serving.servables.tensorflow import call_timing
from tensorflow_serving.test_util import (
    fake_clock,
    fake_session,
    task_recorder,
)


class _Session(fake_session.FakeSession):
    """Takes 30 microseconds to run."""

    def __init__(self, clock: fake_clock.FakeClock) -> None:
        super().__init__()
        self._clock = clock

    @override
    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., list[npt.NDArray[Any]]]:
        run = super().make_callable(fetches, feed_list)

        def run_slowly(*feeds: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            self._clock.advance_micros(30)
            return run(*feeds)

        return run_slowly


class CallTimingTest(absltest.TestCase):
    """Where the time of a call went."""

    def test_stages_add_up(self) -> None:
        """The stages are microseconds, and the rows are those of the batch."""
        clock = fake_clock.FakeClock()
        function = batched_function.BatchedFunction(
            _Session(clock), ["y:0"], ["x:0"], clock
        )
        caller = task_recorder.TaskRecorder()
        first = function.task([[1.0]], caller)
        clock.advance_micros(20)
        second = function.task([[2.0, 3.0]], caller)
        taken_time = clock.now()
        clock.advance_micros(7)
        timing = function.execute([first, second], taken_time, padding=[4])
        self.assertEqual(caller.errors, [])
        assert timing is not None
        clock.advance_micros(5)
        self.assertEqual(
            dict(call_timing.trailing_metadata(first, timing)),
            {
                "serving-queue-micros": "20",
                "serving-batch-micros": "7",
                "serving-run-micros": "30",
                "serving-total-micros": "62",
                "serving-batch-size": "3",
            },
        )

    def test_timing_is_for_those_who_ask(self) -> None:
        """A key in the metadata, whatever its value, asks for the timing."""
        self.assertFalse(call_timing.is_wanted([]))
        self.assertFalse(call_timing.is_wanted([("user-agent", "x")]))
        self.assertTrue(
            call_timing.is_wanted([("a", "b"), ("serving-timing", "")])
        )


if __name__ == "__main__":
    absltest.main()
