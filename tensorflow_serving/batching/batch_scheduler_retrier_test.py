"""Tests for batch_scheduler_retrier."""

import dataclasses

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batch_scheduler,
    batch_scheduler_retrier,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class _Task:
    size: int = 1


class _SleepIsInstant(fake_clock.FakeClock):
    """A clock on which a sleep moves the time by itself."""

    def sleep(self, seconds: float) -> None:
        """Moves the time."""
        self.advance_micros(round(seconds * 1e6))


class _Failing(batch_scheduler.BatchScheduler[_Task]):
    """Refuses a number of tasks, then accepts; counts the calls."""

    def __init__(self, error: errors.ServingError, failures: int) -> None:
        self._error = error
        self._failures = failures
        self.num_calls = 0
        self.closed = False

    def schedule(self, task: _Task) -> None:
        """Refuses or accepts."""
        self.num_calls += 1
        if self.num_calls <= self._failures:
            raise self._error

    def num_enqueued_tasks(self) -> int:
        """Returns a number to recognise."""
        return 17

    def scheduling_capacity(self) -> int:
        """Returns a number to recognise."""
        return 42

    def close(self) -> None:
        """Takes note."""
        self.closed = True


class BatchSchedulerRetrierTest(parameterized.TestCase):
    """A batch scheduler that tries again for a while."""

    def test_defaults_are_those_of_the_original(self) -> None:
        """10 ms in all, 100 us between tries."""
        self.assertEqual(
            batch_scheduler_retrier.Options(),
            batch_scheduler_retrier.Options(10_000, 100),
        )

    @parameterized.named_parameters(
        ("max_time_micros", {"max_time_micros": -1}),
        ("retry_delay_micros", {"retry_delay_micros": -1}),
    )
    def test_negative_options_are_refused(
        self, options: dict[str, int]
    ) -> None:
        """The error names the option."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, next(iter(options))
        ):
            batch_scheduler_retrier.Options(**options)

    def test_permanent_error_is_passed_on_at_once(self) -> None:
        """Trying again would not help."""
        wrapped = _Failing(errors.InvalidArgumentError("bad"), failures=9)
        retrier = batch_scheduler_retrier.BatchSchedulerRetrier(
            batch_scheduler_retrier.Options(), wrapped, _SleepIsInstant()
        )
        with self.assertRaisesRegex(errors.InvalidArgumentError, "bad"):
            retrier.schedule(_Task())
        self.assertEqual(wrapped.num_calls, 1)

    @parameterized.product(
        max_time_micros=(0, 1, 9, 10, 11, 25), retry_delay_micros=(1, 5, 10)
    )
    def test_tries_end_before_the_maximum_time(
        self, max_time_micros: int, retry_delay_micros: int
    ) -> None:
        """A try that would come at or after the maximum is not made."""
        clock = _SleepIsInstant()
        wrapped = _Failing(errors.UnavailableError("full"), failures=10**6)
        retrier = batch_scheduler_retrier.BatchSchedulerRetrier(
            batch_scheduler_retrier.Options(
                max_time_micros, retry_delay_micros
            ),
            wrapped,
            clock,
        )
        with self.assertRaisesRegex(errors.UnavailableError, "full"):
            retrier.schedule(_Task())
        retries = max(0, -(-max_time_micros // retry_delay_micros) - 1)
        self.assertEqual(wrapped.num_calls, 1 + retries)
        self.assertAlmostEqual(clock.now() * 1e6, retries * retry_delay_micros)

    def test_task_is_scheduled_once_there_is_room(self) -> None:
        """The caller notices nothing but the time."""
        clock = _SleepIsInstant()
        wrapped = _Failing(errors.UnavailableError("full"), failures=3)
        retrier = batch_scheduler_retrier.BatchSchedulerRetrier(
            batch_scheduler_retrier.Options(), wrapped, clock
        )
        retrier.schedule(_Task())
        self.assertEqual(wrapped.num_calls, 4)
        self.assertEqual(clock.now(), 300e-6)

    def test_the_rest_is_the_wrapped_schedulers(self) -> None:
        """Numbers and close() are passed through."""
        wrapped = _Failing(errors.UnavailableError("full"), failures=0)
        with batch_scheduler_retrier.BatchSchedulerRetrier(
            batch_scheduler_retrier.Options(), wrapped
        ) as retrier:
            self.assertEqual(retrier.num_enqueued_tasks(), 17)
            self.assertEqual(retrier.scheduling_capacity(), 42)
            self.assertFalse(wrapped.closed)
        self.assertTrue(wrapped.closed)


if __name__ == "__main__":
    absltest.main()
