"""Tests for call_timing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest

from tensorflow_serving.batching import (
    batched_function,
    run_timing,
)
from tensorflow_serving.servables.tensorflow import call_timing
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors, tensor_spec


class _Session:
    """Takes 30 microseconds to run."""

    def __init__(self, clock: fake_clock.FakeClock) -> None:
        self._clock = clock

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., Sequence[npt.NDArray[Any]]]:
        """Returns the inputs."""

        def run(*inputs: npt.NDArray[Any]) -> Sequence[npt.NDArray[Any]]:
            self._clock.advance_micros(30)
            return inputs

        return run

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Knows nothing of shapes."""
        return tensor_spec.TensorSpec(name, np.dtype(np.float64), None)

    def close(self) -> None:
        """Has nothing to free."""


class _Caller:
    """Waits for nothing."""

    def succeed(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """Forgets the outputs."""

    def fail(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        error: errors.ServingError,
    ) -> None:
        """Raises the error."""
        raise error


class CallTimingTest(absltest.TestCase):
    """Where the time of a call went."""

    def test_stages_add_up(self) -> None:
        """The stages are microseconds, and the rows are those of the batch."""
        clock = fake_clock.FakeClock()
        function = batched_function.BatchedFunction(
            _Session(clock), ["y:0"], ["x:0"], clock
        )
        first = function.task([[1.0]], _Caller())
        clock.advance_micros(20)
        second = function.task([[2.0, 3.0]], _Caller())
        taken_time = clock.now()
        clock.advance_micros(7)
        timing = function.execute([first, second], taken_time, padding=[4])
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
