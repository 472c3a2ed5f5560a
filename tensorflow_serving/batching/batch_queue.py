"""How tasks become batches: the state of one queue, without threads or locks.

SharedBatchScheduler keeps one for each of its queues and calls it with its lock
held; tests call it directly.
"""

import collections
import dataclasses
import math
from collections.abc import Sequence
from typing import Generic

from tensorflow_serving.batching import batch_scheduler
from tensorflow_serving.util import errors

# How much earlier than its first deadline a batch starts, at the least.
_MIN_LEAD_SECONDS = 0.001
# How much one run counts in the typical length of a run.
_WEIGHT_OF_A_RUN = 0.2


@dataclasses.dataclass(frozen=True)
class QueueOptions:
    """Options of one queue.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # The largest size of a task; and of a batch, if tasks are not split.
    max_batch_size: int = 32
    # How long the first task of a batch waits for others; 0: not at all.
    batch_timeout_micros: int = 1000
    # How many batches may wait for a thread. 0 means 1: a task that fits in the
    # batch that is being filled is always accepted.
    max_enqueued_batches: int = 1
    # Whether a thread with nothing else to do takes a batch that could wait.
    idle_means_go: bool = False
    # Whether a task that does not fit in the batch that is being filled is
    # split, to fill it and the next ones.
    enable_large_batch_splitting: bool = False
    # The largest size of a batch if tasks are split; 0 means max_batch_size.
    max_execution_batch_size: int = 0

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(1, max_batch_size=self.max_batch_size)
        errors.require_at_least(
            0,
            batch_timeout_micros=self.batch_timeout_micros,
            max_enqueued_batches=self.max_enqueued_batches,
            max_execution_batch_size=self.max_execution_batch_size,
        )
        if self.max_execution_batch_size and not (
            self.enable_large_batch_splitting
            and self.max_execution_batch_size <= self.max_batch_size
        ):
            raise errors.InvalidArgumentError(
                "max_execution_batch_size must be at most max_batch_size "
                f"{self.max_batch_size}, and needs "
                f"enable_large_batch_splitting; got "
                f"{self.max_execution_batch_size}"
            )

    @property
    def batch_size_limit(self) -> int:
        """The largest size of a batch."""
        return self.max_execution_batch_size or self.max_batch_size


class BatchQueue(Generic[batch_scheduler.TaskT]):
    """Batches in the order in which they will be processed; the last is open.

    A batch is due when it is closed or full, when its first task has waited for
    batch_timeout_micros, when one of its tasks would miss its deadline if it
    waited longer, or when the queue is closed.

    All times are seconds of one clock. Not thread-safe.
    """

    def __init__(self, options: QueueOptions) -> None:
        """Makes an open queue without tasks."""
        self._options = options
        self._timeout_seconds = options.batch_timeout_micros / 1e6
        self._limit = options.batch_size_limit
        self._batches: collections.deque[_Batch[batch_scheduler.TaskT]] = (
            collections.deque([_Batch()])
        )
        # No task has an earlier one; but those that had it may be gone.
        self._earliest_deadline = math.inf
        self._typical_run_seconds: float | None = None
        self._closed = False
        self._num_by_size: collections.Counter[int] = collections.Counter()
        self._num_by_reason: collections.Counter[
            batch_scheduler.CloseReason
        ] = collections.Counter()
        self._num_refused = self._num_expired = self._num_cancelled = 0

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    @property
    def empty(self) -> bool:
        """Whether no task waits."""
        return self._batches[0].empty

    @property
    def num_tasks(self) -> int:
        """The number of tasks that wait."""
        return sum(batch.num_tasks for batch in self._batches)

    @property
    def capacity(self) -> int:
        """How many tasks of size 1 would be accepted."""
        if self._closed:
            return 0
        new_batches = max(
            0, self._options.max_enqueued_batches - len(self._batches)
        )
        return new_batches * self._limit + self._limit - self._batches[-1].size

    @property
    def typical_run_seconds(self) -> float:
        """How long a batch is processed, of late; infinite if not known."""
        if self._typical_run_seconds is None:
            return math.inf
        return self._typical_run_seconds

    def record_run(self, seconds: float) -> None:
        """Takes note of how long a batch was processed."""
        if self._typical_run_seconds is None:
            self._typical_run_seconds = seconds
        else:
            self._typical_run_seconds += _WEIGHT_OF_A_RUN * (
                seconds - self._typical_run_seconds
            )

    @property
    def num_batches(self) -> int:
        """How many batches hold a task."""
        return sum(not batch.empty for batch in self._batches)

    def add(self, task: batch_scheduler.TaskT, now: float) -> int:
        """Adds a task; returns how many threads should look at the queue.

        That is one for each batch that is due now or has a new due time: a
        thread that takes the first of them is busy, and sees to no other.

        Raises:
          UnavailableError, InvalidArgumentError, FailedPreconditionError,
            DeadlineExceededError: See BatchScheduler.schedule.
        """
        if self._closed:
            raise errors.FailedPreconditionError(
                "batch queue must be open to schedule a task; got a closed one"
            )
        if task.deadline <= now:
            self._num_refused += 1
            raise batch_scheduler.expired_error()
        if task.size <= self._limit - self._batches[-1].size:
            return self._append(task, now)
        return sum(self._append(part, now) for part in self._fit(task))

    def take(
        self, now: float, *, idle: bool = False
    ) -> batch_scheduler.Batch[batch_scheduler.TaskT] | None:
        """Removes and returns the oldest batch, closed, if one is due.

        Args:
          now: The time. Tasks that are expired must have been removed.
          idle: Whether the caller has nothing else to do; then a queue with
            idle_means_go gives up what it has.
        """
        batch = self._batches[0]
        reason = self._reason_to_take(batch, now, idle=idle)
        if reason is None:
            return None
        self._batches.popleft()
        batch.close(reason)
        if not self._batches:
            self._batches.append(_Batch())
        self._num_by_size[batch.size] += 1
        self._num_by_reason[batch.close_reason or reason] += 1
        return batch

    def due_time(self) -> float | None:
        """Returns when take() will have a batch; None if there is no task.

        Whoever waits for it must also look at earliest_deadline.
        """
        batch = self._batches[0]
        if batch.empty:
            return None
        if batch.is_closed or batch.size >= self._limit or self._closed:
            return -math.inf
        return min(self._timeout_of(batch), self._last_start_of(batch))

    @property
    def earliest_deadline(self) -> float:
        """When expire() may have something to do; infinite for never."""
        return self._earliest_deadline

    def expire(self, now: float) -> list[batch_scheduler.TaskT]:
        """Removes and returns the tasks whose deadline has come."""
        if now < self._earliest_deadline:
            return []
        expired = []
        for batch in self._batches:
            expired += batch.remove_tasks(lambda task: task.deadline <= now)
        self._forget_empty_batches()
        self._earliest_deadline = min(
            (batch.earliest_deadline for batch in self._batches),
            default=math.inf,
        )
        self._num_expired += len(expired)
        return expired

    def cancel(self, task: batch_scheduler.TaskT) -> bool:
        """Removes a task or its parts; returns whether it was waiting."""
        num_removed = sum(
            len(batch.remove_tasks(lambda other: other.is_part_of(task)))
            for batch in self._batches
        )
        if num_removed:
            self._forget_empty_batches()
            self._num_cancelled += num_removed
        return num_removed > 0

    def close(self) -> None:
        """Takes no more tasks; what waits is due at once. Idempotent."""
        self._closed = True

    def statistics(self, now: float) -> batch_scheduler.Statistics:
        """Returns a snapshot."""
        oldest = self._batches[0]
        return batch_scheduler.Statistics(
            num_enqueued_tasks=self.num_tasks,
            oldest_wait_seconds=0.0
            if oldest.empty
            else max(0.0, now - oldest.times[0]),
            typical_run_seconds=self._typical_run_seconds or 0.0,
            num_batches_by_size=dict(self._num_by_size),
            num_batches_by_reason=dict(self._num_by_reason),
            num_refused=self._num_refused,
            num_expired=self._num_expired,
            num_cancelled=self._num_cancelled,
        )

    def _append(self, task: batch_scheduler.TaskT, now: float) -> int:
        """Adds a task that fits in a batch; returns what add() returns."""
        batch = self._batches[-1]
        num_changes = 0
        if batch.size + task.size > self._limit:
            if batch.size < self._limit:
                num_changes += 1  # it was not due until now
            batch.close(batch_scheduler.CloseReason.FULL)
            batch = _Batch()
            self._batches.append(batch)
        opens = batch.empty
        is_urgent = task.deadline < batch.earliest_deadline
        batch.add_task_at(task, now)
        self._earliest_deadline = min(self._earliest_deadline, task.deadline)
        return num_changes + (opens or is_urgent or batch.size >= self._limit)

    def _fit(
        self, task: batch_scheduler.TaskT
    ) -> Sequence[batch_scheduler.TaskT]:
        """Returns a task, or its parts, if there is room in new batches."""
        options = self._options
        max_batches = max(1, options.max_enqueued_batches)
        sizes = [task.size]
        room = 0
        if options.enable_large_batch_splitting:
            room = self._limit - self._batches[-1].size
            sizes = _sizes_of_parts(task.size, room, self._limit)
        most = min(options.max_batch_size, max_batches * self._limit)
        if task.size > most:
            raise errors.InvalidArgumentError(
                "task size must be at most the maximum batch size "
                f"{most}; got {task.size}"
            )
        num_new_batches = len(sizes) - (room > 0)
        if len(self._batches) + num_new_batches > max_batches:
            self._num_refused += 1
            raise errors.UnavailableError(
                f"waiting batches must be at most {max_batches}; got one more "
                "call than fits. Try again later"
            )
        return [task] if len(sizes) == 1 else task.split(sizes)

    def _reason_to_take(
        self, batch: "_Batch[batch_scheduler.TaskT]", now: float, *, idle: bool
    ) -> batch_scheduler.CloseReason | None:
        if batch.empty:
            return None
        if batch.is_closed or batch.size >= self._limit:
            return batch_scheduler.CloseReason.FULL
        if self._closed:
            return batch_scheduler.CloseReason.DRAIN
        if now >= self._timeout_of(batch):
            return batch_scheduler.CloseReason.TIMEOUT
        if now >= self._last_start_of(batch):
            return batch_scheduler.CloseReason.DEADLINE
        if idle and self._options.idle_means_go:
            return batch_scheduler.CloseReason.IDLE
        return None

    def _timeout_of(self, batch: "_Batch[batch_scheduler.TaskT]") -> float:
        return batch.times[0] + self._timeout_seconds

    def _last_start_of(self, batch: "_Batch[batch_scheduler.TaskT]") -> float:
        """Returns when a batch must start to be in time for all its tasks."""
        lead_seconds = max(_MIN_LEAD_SECONDS, self._typical_run_seconds or 0.0)
        return batch.earliest_deadline - lead_seconds

    def _forget_empty_batches(self) -> None:
        """Removes all but the open batch, if they are empty."""
        open_batch = self._batches.pop()
        self._batches = collections.deque(
            batch for batch in self._batches if not batch.empty
        )
        self._batches.append(open_batch)


class _Batch(batch_scheduler.Batch[batch_scheduler.TaskT]):
    """A batch that knows since when its tasks wait, and how long they may."""

    def __init__(self) -> None:
        super().__init__()
        # When each task was added; parallel to tasks.
        self.times: list[float] = []
        self.earliest_deadline = math.inf

    def add_task_at(self, task: batch_scheduler.TaskT, now: float) -> None:
        """Adds a task."""
        self.add_task(task)
        self.times.append(now)
        if task.deadline < self.earliest_deadline:
            self.earliest_deadline = task.deadline

    def remove_tasks(
        self, is_wanted: "batch_scheduler.Predicate[batch_scheduler.TaskT]"
    ) -> list[batch_scheduler.TaskT]:
        """See Batch."""
        times = [
            time
            for task, time in zip(self.tasks, self.times, strict=True)
            if not is_wanted(task)
        ]
        removed = super().remove_tasks(is_wanted)
        self.times = times
        self.earliest_deadline = min(
            (task.deadline for task in self.tasks), default=math.inf
        )
        return removed


def _sizes_of_parts(size: int, room: int, limit: int) -> list[int]:
    """Returns sizes that fill the room first, and then whole batches."""
    sizes = [min(room, size)] if room else []
    rest = size - sum(sizes)
    sizes += [limit] * (rest // limit)
    return [*sizes, rest % limit] if rest % limit else sizes
