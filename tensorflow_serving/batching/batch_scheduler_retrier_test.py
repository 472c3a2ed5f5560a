"""Tests for batch_scheduler_retrier."""

import dataclasses
import math
from collections.abc import Iterable

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batch_scheduler,
    batch_scheduler_retrier,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class _Task(batch_scheduler.BatchTask):
    size: int = 1
    deadline: float = math.inf


class _SleepIsInstant(fake_clock.FakeClock):
    """A clock on which a sleep moves the time by itself."""

    def sleep(self, seconds: float) -> None:
        """Moves the time."""
        self.advance_micros(round(seconds * 1e6))


class _Failing(batch_scheduler.BatchScheduler[_Task]):
    """Refuses a number of tasks, then accepts; counts the calls."""

    def __init__(
        self,
        error: errors.ServingError,
        failures: int,
        clock: fake_clock.FakeClock | None = None,
    ) -> None:
        self._error = error
        self._clock = clock
        self.scheduled: list[_Task] = []
        self.cancelled: list[_Task] = []
        self._failures = failures
        self.num_calls = 0
        self.closed = False

    def schedule(self, task: _Task) -> None:
        """Refuses or accepts."""
        self.num_calls += 1
        if self._clock and task.deadline <= self._clock.now():
            raise batch_scheduler.expired_error()
        if self.num_calls <= self._failures:
            raise self._error
        self.scheduled.append(task)

    def schedule_all(
        self, tasks: Iterable[_Task], *, runs_here: bool = True
    ) -> bool:
        """Always has more to do, if the caller comes back."""
        super().schedule_all(tasks)
        return runs_here

    def cancel(self, task: _Task) -> None:
        """Records it."""
        self.cancelled.append(task)

    def num_enqueued_tasks(self) -> int:
        """Returns a number to recognise."""
        return 17

    def scheduling_capacity(self) -> int:
        """Returns a number to recognise."""
        return 42

    def statistics(self) -> batch_scheduler.Statistics:
        """Returns a number to recognise."""
        return batch_scheduler.Statistics(num_refused=99)

    def close(self) -> None:
        """Records it."""
        self.closed = True


class BatchSchedulerRetrierTest(parameterized.TestCase):
    """A batch scheduler that tries again for a while."""

    def test_defaults_are_those_of_the_original(self) -> None:
        """The defaults are 10 ms in all, and 100 us between tries."""
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

    def test_deadline_ends_the_tries(self) -> None:
        """DEADLINE_EXCEEDED comes at that moment, not after the pause."""
        clock = _SleepIsInstant()
        wrapped = _Failing(errors.UnavailableError("full"), 10**6, clock)
        retrier = batch_scheduler_retrier.BatchSchedulerRetrier(
            batch_scheduler_retrier.Options(10**9, 10**6), wrapped, clock
        )
        with self.assertRaises(errors.DeadlineExceededError):
            retrier.schedule(_Task(deadline=2.5))
        self.assertEqual(clock.now(), 2.5)
        self.assertEqual(wrapped.num_calls, 4)

    def test_tasks_of_schedule_all_are_tried_once(self) -> None:
        """Its callers have no time to wait."""
        wrapped = _Failing(errors.UnavailableError("full"), failures=1)
        retrier = batch_scheduler_retrier.BatchSchedulerRetrier(
            batch_scheduler_retrier.Options(), wrapped, _SleepIsInstant()
        )
        retrier.schedule_all([_Task()])
        self.assertEqual(wrapped.num_calls, 1)

    def test_the_rest_is_the_wrapped_schedulers(self) -> None:
        """Numbers, cancel(), schedule_all() and close() are passed through."""
        task = _Task()
        wrapped = _Failing(errors.UnavailableError("full"), failures=0)
        with batch_scheduler_retrier.BatchSchedulerRetrier(
            batch_scheduler_retrier.Options(), wrapped
        ) as retrier:
            self.assertEqual(retrier.num_enqueued_tasks(), 17)
            self.assertEqual(retrier.scheduling_capacity(), 42)
            self.assertEqual(retrier.statistics().num_refused, 99)
            self.assertTrue(retrier.schedule_all([task]))
            self.assertFalse(retrier.schedule_all([], runs_here=False))
            self.assertEqual(wrapped.scheduled, [task])
            retrier.cancel(task)
            self.assertEqual(wrapped.cancelled, [task])
            self.assertFalse(wrapped.closed)
        self.assertTrue(wrapped.closed)


if __name__ == "__main__":
    absltest.main()
