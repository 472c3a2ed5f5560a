"""A batch scheduler that tries again for a while when another has no room."""

import dataclasses
from collections.abc import Iterable

from typing_extensions import override

from tensorflow_serving.batching import batch_scheduler
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a BatchSchedulerRetrier.

    Raises:
      InvalidArgumentError: A value is negative.
    """

    # How long one call of schedule() may take; 0: one try.
    max_time_micros: int = 10_000
    # The pause between two tries.
    retry_delay_micros: int = 100

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            0,
            max_time_micros=self.max_time_micros,
            retry_delay_micros=self.retry_delay_micros,
        )


class BatchSchedulerRetrier(
    batch_scheduler.BatchScheduler[batch_scheduler.TaskT]
):
    """Hides short bursts from callers that can afford to wait.

    schedule() blocks for up to max_time_micros; an error other than
    UnavailableError is passed on at once. Everything else is left to the
    wrapped scheduler.

    Thread-safe.
    """

    def __init__(
        self,
        options: Options,
        wrapped: batch_scheduler.BatchScheduler[batch_scheduler.TaskT],
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Takes over the wrapped scheduler, to close it."""
        self._max_seconds = options.max_time_micros / 1e6
        self._delay_seconds = options.retry_delay_micros / 1e6
        self._wrapped = wrapped
        self._clock = clock

    def schedule(self, task: batch_scheduler.TaskT) -> None:
        """See BatchScheduler; but blocks while it tries again."""
        start = self._clock.now()
        while True:
            try:
                self._wrapped.schedule(task)
                return
            except errors.UnavailableError:
                now = self._clock.now()
                if now - start + self._delay_seconds >= self._max_seconds:
                    raise
            # After its deadline the next try refuses the task at once.
            seconds = min(self._delay_seconds, task.deadline - now)
            self._clock.sleep(max(0.0, seconds))

    def schedule_all(
        self,
        tasks: Iterable[batch_scheduler.TaskT],
        *,
        runs_here: bool = True,
    ) -> bool:
        """See BatchScheduler; does not try again."""
        return self._wrapped.schedule_all(tasks, runs_here=runs_here)

    @override
    def cancel(self, task: batch_scheduler.TaskT) -> None:
        self._wrapped.cancel(task)

    @override
    def num_enqueued_tasks(self) -> int:
        return self._wrapped.num_enqueued_tasks()

    @override
    def scheduling_capacity(self) -> int:
        return self._wrapped.scheduling_capacity()

    @override
    def statistics(self) -> batch_scheduler.Statistics:
        return self._wrapped.statistics()

    @override
    def close(self) -> None:
        self._wrapped.close()
