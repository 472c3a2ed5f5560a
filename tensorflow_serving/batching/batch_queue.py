"""How tasks become batches: the state of one queue, without threads or locks.

SharedBatchScheduler keeps one for each of its queues and calls it with its lock
held; tests call it directly.
"""

import collections
import dataclasses
from typing import Generic

from tensorflow_serving.batching import batch_scheduler
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class QueueOptions:
    """Options of one queue.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # The largest sum of task sizes in a batch; at least 1.
    max_batch_size: int = 32
    # How long the first task of a batch waits for others; 0: not at all.
    batch_timeout_micros: int = 1000
    # How many batches may wait for a thread. 0 means 1: a task that fits in the
    # batch that is being filled is always accepted.
    max_enqueued_batches: int = 1

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(1, max_batch_size=self.max_batch_size)
        errors.require_at_least(
            0,
            batch_timeout_micros=self.batch_timeout_micros,
            max_enqueued_batches=self.max_enqueued_batches,
        )


class BatchQueue(Generic[batch_scheduler.TaskT]):
    """Batches in the order in which they will be processed; the last is open.

    A batch is due when it is closed, when it is full, when its first task has
    waited for batch_timeout_micros, or when the queue is closed.

    All times are seconds of one clock. Not thread-safe.
    """

    def __init__(self, options: QueueOptions) -> None:
        """Makes an open queue without tasks."""
        self._options = options
        self._timeout_seconds = options.batch_timeout_micros / 1e6
        self._batches: collections.deque[
            batch_scheduler.Batch[batch_scheduler.TaskT]
        ] = collections.deque([batch_scheduler.Batch()])
        self._open_batch_due = 0.0  # valid while the open batch has tasks
        self._closed = False

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
        size = self._options.max_batch_size
        new_batches = max(
            0, self._options.max_enqueued_batches - len(self._batches)
        )
        return new_batches * size + size - self._batches[-1].size

    def add(self, task: batch_scheduler.TaskT, now: float) -> bool:
        """Adds a task; returns whether due_time() changed.

        Raises:
          UnavailableError, InvalidArgumentError, FailedPreconditionError: See
            BatchScheduler.schedule.
        """
        if self._closed:
            raise errors.FailedPreconditionError(
                "batch queue must be open to schedule a task; got a closed one"
            )
        max_batch_size = self._options.max_batch_size
        if task.size > max_batch_size:
            raise errors.InvalidArgumentError(
                "task size must be at most the maximum batch size "
                f"{max_batch_size}; got {task.size}"
            )
        batch = self._batches[-1]
        if batch.size + task.size > max_batch_size:
            batch = self._open_next_batch()
        opens = batch.empty
        if opens:
            self._open_batch_due = now + self._timeout_seconds
        batch.add_task(task)
        return opens or batch.size >= max_batch_size

    def take(
        self, now: float
    ) -> batch_scheduler.Batch[batch_scheduler.TaskT] | None:
        """Removes and returns the oldest batch, closed, if one is due."""
        due_time = self.due_time()
        if due_time is None or now < due_time:
            return None
        batch = self._batches.popleft()
        batch.close()
        if not self._batches:
            self._batches.append(batch_scheduler.Batch())
        return batch

    def due_time(self) -> float | None:
        """Returns when take() will have a batch; None if there is no task."""
        batch = self._batches[0]
        if batch.empty:
            return None
        if (
            batch.is_closed
            or batch.size >= self._options.max_batch_size
            or self._closed
        ):
            return float("-inf")
        return self._open_batch_due

    def close(self) -> None:
        """Takes no more tasks; what waits is due at once. Idempotent."""
        self._closed = True

    def _open_next_batch(
        self,
    ) -> batch_scheduler.Batch[batch_scheduler.TaskT]:
        """Closes the open batch and returns a new one, if there is room."""
        max_batches = max(1, self._options.max_enqueued_batches)
        if len(self._batches) >= max_batches:
            raise errors.UnavailableError(
                f"waiting batches must be at most {max_batches}; got one more "
                "call than fits. Try again later"
            )
        self._batches[-1].close()
        self._batches.append(batch_scheduler.Batch())
        return self._batches[-1]
