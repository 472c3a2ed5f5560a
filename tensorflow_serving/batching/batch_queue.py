"""How tasks become batches: the state of one queue, without threads or locks.

SharedBatchScheduler keeps one for each of its queues and calls it with its lock
held; tests call it directly.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Generic

from tensorflow_serving.batching import (
    batch_scheduler,
    run_times,
    waiting_batch,
)
from tensorflow_serving.util import deadlines, errors

# How much earlier than its first deadline a batch starts, at the least.
_MIN_LEAD_SECONDS = 0.001


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
    # Whether tasks, which must have the size 1 then, run one by one. Batch
    # threads take one at a time, so that none waits for another while a thread
    # is free; callers that help take as many as are quick.
    runs_tasks_alone: bool = False

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


@dataclasses.dataclass(frozen=True)
class Refusal(Generic[batch_scheduler.TaskT]):
    """A task for which there was no room, or that cannot be run."""

    task: batch_scheduler.TaskT
    error: errors.ServingError


class BatchQueue(Generic[batch_scheduler.TaskT]):
    """Batches in the order in which they will be processed; the last is open.

    A batch is due when it is closed or full, when its first task has waited for
    batch_timeout_micros, when one of its tasks would miss its deadline if it
    waited longer, or when the queue is closed.

    Adding, cancelling and taking a task take constant time, however many wait;
    expiring takes logarithmic time. A task costs nothing for its deadline until
    some task has waited for as long as it could: see expire().

    All times are seconds of one clock. Not thread-safe.
    """

    def __init__(self, options: QueueOptions) -> None:
        """Makes an open queue without tasks."""
        self._options = options
        self._timeout_seconds = options.batch_timeout_micros / 1e6
        self._limit = options.batch_size_limit
        # Batches that take no more tasks, the oldest first; never empty ones.
        # The values have no meaning.
        self._full: dict[
            waiting_batch.WaitingBatch[batch_scheduler.TaskT], None
        ] = {}
        self._open = waiting_batch.WaitingBatch[batch_scheduler.TaskT]()
        self._num_tasks = 0
        # Only of tasks that waited during the last expire(), and still do.
        self._deadlines = deadlines.Deadlines[batch_scheduler.TaskT]()
        # A lower bound on the deadlines of waiting tasks; it may be stale after
        # a removal.
        self._earliest_deadline = math.inf
        self._run_times = run_times.RunTimes()
        self._num_wakeups = 0
        self._closed = False
        self._num_by_size: collections.Counter[int] = collections.Counter()
        self._num_by_reason: collections.Counter[
            batch_scheduler.CloseReason
        ] = collections.Counter()
        self._num_refused = self._num_expired = self._num_cancelled = 0

    def __repr__(self) -> str:
        """Returns whether it is open, and how many tasks wait."""
        state = "closed" if self._closed else "open"
        return f"<BatchQueue {state}, {self._num_tasks} tasks>"

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    @property
    def empty(self) -> bool:
        """Whether no task waits."""
        return not self._num_tasks

    @property
    def num_tasks(self) -> int:
        """The number of tasks that wait."""
        return self._num_tasks

    @property
    def capacity(self) -> int:
        """How many tasks of size 1 would be accepted."""
        if self._closed:
            return 0
        num_new_batches = max(
            0, self._options.max_enqueued_batches - len(self._full) - 1
        )
        return num_new_batches * self._limit + self._limit - self._open.size

    @property
    def num_batches(self) -> int:
        """How many batches hold a task."""
        return len(self._full) + (self._open.num_tasks > 0)

    @property
    def typical_run_seconds(self) -> float:
        """How long the last batches took, on average; 0 before the first."""
        return self._run_times.typical_seconds

    def record_run(self, size: int, seconds: float, now: float) -> None:
        """Records how long the model ran for a batch of that size."""
        if self._options.runs_tasks_alone:
            self._run_times.record(1, seconds / size, now)
        else:
            self._run_times.record(size, seconds, now)

    def add(self, task: batch_scheduler.TaskT, now: float) -> None:
        """Adds a task.

        Raises:
          UnavailableError, InvalidArgumentError, FailedPreconditionError,
            DeadlineExceededError: See BatchScheduler.schedule.
        """
        if self._closed:
            raise errors.FailedPreconditionError("The batch queue is closed.")
        if task.deadline <= now:
            self._num_refused += 1
            raise batch_scheduler.expired_error()
        if task.size <= self._limit - self._open.size:
            self._append(task, now)
        else:
            for part in self._fit(task):
                self._append(part, now)

    def add_all(
        self, tasks: Iterable[batch_scheduler.TaskT], now: float
    ) -> list[Refusal[batch_scheduler.TaskT]]:
        """Adds tasks; returns those that were refused."""
        refusals = []
        for task in tasks:
            batch = self._open
            if (
                batch.size + task.size < self._limit
                and task.deadline > now
                and not self._closed
            ):
                # Most tasks: short for add(), as the batch is not full then.
                self._num_wakeups += batch.add(task, now)
                self._num_tasks += 1
                if task.deadline < self._earliest_deadline:
                    self._earliest_deadline = task.deadline
                continue
            try:
                self.add(task, now)
            except errors.ServingError as error:
                refusals.append(Refusal(task, error))
        return refusals

    def put_back(
        self, tasks: Iterable[batch_scheduler.TaskT], now: float
    ) -> None:
        """Adds tasks of a batch that was taken; there is room for them."""
        for task in tasks:
            task.ticket = None
            self._append(task, now)

    def pop_wakeups(self) -> int:
        """Returns how many threads must look again, since the last call.

        That is one for each batch that is due now or has a new due time: a
        thread that takes the first of them is busy, and sees to no other.
        """
        num_wakeups = min(self._num_wakeups, self.num_batches)
        self._num_wakeups = 0
        return num_wakeups

    def take(
        self, now: float, *, idle: bool = False, here: bool = False
    ) -> batch_scheduler.Batch[batch_scheduler.TaskT] | None:
        """Removes and returns the oldest batch, closed, if one is due.

        If tasks run alone, it holds only some of them; see QueueOptions.

        Args:
          now: The time. Tasks that are expired must have been removed.
          idle: Whether the caller has nothing else to do; then a queue with
            idle_means_go gives up what it has.
          here: Whether the caller wants only what it should run itself.
        """
        batch = self._first_batch()
        reason = self._reason_to_take(batch, now, idle=idle)
        is_alone = self._options.runs_tasks_alone
        size = 1 if is_alone else batch.size
        if reason is None or (
            here and not self._run_times.may_run_here(size, now)
        ):
            return None
        if is_alone:
            tasks = batch.take_first(self._run_times.round_size if here else 1)
            size = len(tasks)
        else:
            tasks = batch.take()
        if not is_alone or not batch.num_tasks:
            if batch is self._open:
                self._open = waiting_batch.WaitingBatch()
            else:
                del self._full[batch]
        self._num_tasks -= len(tasks)
        if self._deadlines:
            self._discard_deadlines(tasks)
        if not self._num_tasks:
            self._earliest_deadline = math.inf
        self._num_by_size[size] += 1
        self._num_by_reason[reason] += 1
        return batch_scheduler.Batch.of(tasks, size, reason)

    def due_time(self) -> float | None:
        """Returns when take() will have a batch; None if there is no task.

        Whoever waits for it must also look at earliest_deadline.
        """
        if not self._num_tasks:
            return None
        if self._full or self._open.size >= self._limit or self._closed:
            return -math.inf
        return min(self._timeout_of_open(), self._last_start_of_open())

    @property
    def earliest_deadline(self) -> float:
        """When expire() may have something to do; infinite for never."""
        return self._earliest_deadline

    def expire(self, now: float) -> list[batch_scheduler.TaskT]:
        """Removes and returns the tasks whose deadline has come.

        1. Tasks are added without a look at the others: only the earliest
           deadline is kept. Most are taken before it comes.
        2. When it comes, the deadlines of all tasks that wait by then are put
           in order. Each is put in order once.
        3. The first of them is the next earliest deadline.
        """
        if now < self._earliest_deadline:
            return []
        self._watch_new_tasks()
        expired = self._deadlines.pop_expired(now)
        for task in expired:
            self._remove(task)
        self._earliest_deadline = self._deadlines.next_deadline
        self._num_expired += len(expired)
        return expired

    def cancel(self, task: batch_scheduler.TaskT) -> bool:
        """Removes a task or its parts; returns whether it was waiting."""
        waiting = [
            part
            for part in task.parts or (task,)
            if part.place is self._open or part.place in self._full
        ]
        for part in waiting:
            if part.ticket is not None:
                self._deadlines.discard(part.ticket)
            self._remove(part)
        self._num_cancelled += len(waiting)
        return bool(waiting)

    def close(self) -> None:
        """Takes no more tasks; what waits is due at once. Idempotent."""
        self._closed = True

    def statistics(self, now: float) -> batch_scheduler.Statistics:
        """Returns a snapshot."""
        return batch_scheduler.Statistics(
            num_enqueued_tasks=self._num_tasks,
            oldest_wait_seconds=max(0.0, now - self._first_batch().first_time)
            if self._num_tasks
            else 0.0,
            typical_run_seconds=self.typical_run_seconds,
            num_batches_by_size=dict(self._num_by_size),
            num_batches_by_reason=dict(self._num_by_reason),
            num_refused=self._num_refused,
            num_expired=self._num_expired,
            num_cancelled=self._num_cancelled,
        )

    def _append(self, task: batch_scheduler.TaskT, now: float) -> None:
        """Adds a task that fits in a batch."""
        batch = self._open
        if batch.size + task.size > self._limit:
            # A batch that was not full was not due until now.
            self._num_wakeups += batch.size < self._limit
            self._full[batch] = None
            batch = self._open = waiting_batch.WaitingBatch()
        is_earlier = batch.add(task, now)
        self._num_wakeups += is_earlier or batch.size >= self._limit
        self._num_tasks += 1
        if task.deadline < self._earliest_deadline:
            self._earliest_deadline = task.deadline

    def _fit(
        self, task: batch_scheduler.TaskT
    ) -> Sequence[batch_scheduler.TaskT]:
        """Returns a task, or its parts, if there is room in new batches."""
        options = self._options
        max_batches = max(1, options.max_enqueued_batches)
        sizes = [task.size]
        room = 0
        if options.enable_large_batch_splitting:
            room = self._limit - self._open.size
            sizes = _sizes_of_parts(task.size, room, self._limit)
        most = min(options.max_batch_size, max_batches * self._limit)
        if task.size > most:
            raise errors.InvalidArgumentError(
                f"number of rows must be at most {most}, the maximum batch "
                f"size; got {task.size}"
            )
        num_new_batches = len(sizes) - (room > 0)
        if len(self._full) + 1 + num_new_batches > max_batches:
            self._num_refused += 1
            raise errors.UnavailableError(
                f"Too many waiting batches (limit {max_batches}); try again "
                "later."
            )
        if len(sizes) == 1:
            return [task]
        task.parts = parts = task.split(sizes)
        return parts

    def _first_batch(
        self,
    ) -> waiting_batch.WaitingBatch[batch_scheduler.TaskT]:
        return next(iter(self._full), self._open)

    def _reason_to_take(
        self,
        batch: waiting_batch.WaitingBatch[batch_scheduler.TaskT],
        now: float,
        *,
        idle: bool,
    ) -> batch_scheduler.CloseReason | None:
        if not batch.num_tasks:
            return None
        if batch is not self._open or batch.size >= self._limit:
            return batch_scheduler.CloseReason.FULL
        if self._closed:
            return batch_scheduler.CloseReason.DRAIN
        if now >= self._timeout_of_open():
            return batch_scheduler.CloseReason.TIMEOUT
        if now >= self._last_start_of_open():
            return batch_scheduler.CloseReason.DEADLINE
        if idle and self._options.idle_means_go:
            return batch_scheduler.CloseReason.IDLE
        return None

    def _timeout_of_open(self) -> float:
        return self._open.first_time + self._timeout_seconds

    def _last_start_of_open(self) -> float:
        """Returns when a batch must start to be in time for all its tasks."""
        lead_seconds = max(_MIN_LEAD_SECONDS, self.typical_run_seconds)
        return self._open.earliest_deadline - lead_seconds

    def _watch_new_tasks(self) -> None:
        """Puts the deadlines of tasks in order that came since the last call.

        Tasks come to the last batches only, so most are not looked at.
        """
        batches = [self._open]
        batches += itertools.takewhile(
            lambda batch: not batch.is_watched, reversed(self._full)
        )
        for batch in reversed(batches):
            for task in batch.watch():
                task.ticket = self._deadlines.push(task.deadline, task)

    def _discard_deadlines(
        self, tasks: Iterable[batch_scheduler.TaskT]
    ) -> None:
        for task in tasks:
            if task.ticket is not None:
                self._deadlines.discard(task.ticket)

    def _remove(self, task: batch_scheduler.BatchTask) -> None:
        """Removes a task that waits, and its batch if that was the last one."""
        batch = task.place
        batch.remove(task)
        self._num_tasks -= 1
        if not batch.num_tasks and batch is not self._open:
            del self._full[batch]


def _sizes_of_parts(size: int, room: int, limit: int) -> list[int]:
    """Returns sizes that fill the room first, and then whole batches."""
    sizes = [min(room, size)] if room else []
    rest = size - sum(sizes)
    sizes += [limit] * (rest // limit)
    return [*sizes, rest % limit] if rest % limit else sizes
