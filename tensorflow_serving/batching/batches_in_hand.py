"""The batches that a scheduler's threads and callers process, some forever.

All classes are guarded by the lock of the scheduler.
"""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, Final

from tensorflow_serving.batching import batch_queue, batch_scheduler

# A batch hangs if it takes longer, and so many times the typical run.
_HANG_SECONDS: Final = 10.0
_HANG_RUNS: Final = 10
# How often to look for one.
_LOOK_SECONDS: Final = 1.0
# How many batches may hang until their threads are no longer replaced.
_MAX_REPLACED: Final = 64

_Batch = batch_scheduler.Batch[Any]


@dataclasses.dataclass(eq=False)
class Queue:
    """A queue, and what its scheduler knows of it."""

    # Any: the tasks of different queues have different types.
    batches: batch_queue.BatchQueue[Any]
    process_batch: batch_scheduler.ProcessBatch[Any]
    # Batches that are processed, and dropped tasks whose fail() is not done.
    num_in_hand: int = 0
    # When each of those batches was taken.
    begin_times: dict[_Batch, float] = dataclasses.field(default_factory=dict)
    # Whether tasks wait that nobody will take.
    is_stuck: bool = False

    @property
    def done(self) -> bool:
        """Whether the queue is closed and all its tasks are answered."""
        return (
            self.batches.is_closed
            and self.batches.empty
            and not self.num_in_hand
        )

    def begin(self, batch: _Batch, now: float) -> None:
        """Has somebody process a batch."""
        self.num_in_hand += 1
        self.begin_times[batch] = now

    def end(self, batch: _Batch, run_seconds: float, now: float) -> None:
        """Records that a batch has run; it is in hand until its tasks end."""
        self.batches.record_run(batch.size, run_seconds, now)
        del self.begin_times[batch]

    def statistics(self, now: float) -> batch_scheduler.Statistics:
        """Returns a snapshot."""
        oldest_time = min(self.begin_times.values(), default=now)
        return dataclasses.replace(
            self.batches.statistics(now),
            oldest_run_seconds=now - oldest_time,
            is_stuck=self.is_stuck,
        )


class ThreadBatches:
    """The batches that batch threads process.

    While all threads are busy and tasks wait, somebody looks once a second
    whether batches hang. Then a thread is replaced, so that models which hang
    do not keep the threads from the others; if none can be, queues are stuck.
    """

    def __init__(self, num_threads: int) -> None:
        """Has that many threads, which are free."""
        # When to look; infinite if a thread is free or no task waits.
        self.look_time = math.inf
        self._num_threads = num_threads
        # The queue of each batch.
        self._begun: dict[_Batch, Queue] = {}
        # Those whose threads have been replaced.
        self._replaced: set[_Batch] = set()

    def begin(self, batch: _Batch, queue: Queue) -> None:
        """Has a thread process a batch."""
        self._begun[batch] = queue

    def end(self, batch: _Batch) -> bool:
        """Frees the thread; returns whether it is still needed."""
        del self._begun[batch]
        if batch not in self._replaced:
            return True
        self._replaced.remove(batch)
        self._num_threads -= 1
        return False

    def plan_look(self, now: float) -> None:
        """Sets when to look, if it is not set; called while a task waits."""
        if self.look_time == math.inf and self._are_all_busy:
            self.look_time = now + _LOOK_SECONDS

    def find_hanging(self, now: float) -> _Batch | None:
        """Returns a batch whose thread should be replaced, if any should."""
        if not self._are_all_busy or len(self._replaced) >= _MAX_REPLACED:
            return None
        for batch in self._begun:
            if batch not in self._replaced and self._hangs(batch, now):
                return batch
        return None

    def find_stuck(self, queues: Iterable[Queue], now: float) -> bool:
        """Finds out which queues are stuck, as no thread can be replaced.

        Returns whether that has changed.
        """
        all_hang = self._are_all_busy and all(
            self._hangs(batch, now) for batch in self._begun
        )
        has_changed = False
        for queue in queues:
            due_time = queue.batches.due_time()
            is_stuck = all_hang and due_time is not None and due_time <= now
            has_changed |= is_stuck != queue.is_stuck
            queue.is_stuck = is_stuck
        return has_changed

    def end_look(self, queues: Iterable[Queue], now: float) -> None:
        """Sets when to look again."""
        self.look_time = math.inf
        if any(not queue.batches.empty for queue in queues):
            self.plan_look(now)

    def replace(self, batch: _Batch) -> None:
        """Adds a thread, in place of that of a batch, which ends with it."""
        self._replaced.add(batch)
        self._num_threads += 1

    @property
    def _are_all_busy(self) -> bool:
        return len(self._begun) >= self._num_threads

    def _hangs(self, batch: _Batch, now: float) -> bool:
        queue = self._begun[batch]
        limit_seconds = max(
            _HANG_SECONDS, _HANG_RUNS * queue.batches.typical_run_seconds
        )
        return now - queue.begin_times.get(batch, now) > limit_seconds


class CallerBatches:
    """The batches that callers of schedule_all() process themselves.

    A caller that hangs is left, and replaced by another one, which does not
    touch that queue.
    """

    def __init__(self, max_callers: int) -> None:
        """Has no callers.

        Args:
          max_callers: How many process a batch at the same time.
        """
        self._max_callers = max_callers
        # The queue of each batch.
        self._begun: dict[_Batch, Queue] = {}
        self._left: dict[_Batch, Queue] = {}

    def may_begin(self, queue: Queue) -> bool:
        """Returns whether one more caller may process a batch of a queue."""
        return (
            len(self._begun) < self._max_callers
            and queue not in self._left.values()
        )

    def begin(self, batch: _Batch, queue: Queue) -> None:
        """Has a caller process a batch."""
        self._begun[batch] = queue

    def end(self, batch: _Batch) -> None:
        """Frees the caller."""
        if batch in self._left:
            del self._left[batch]
        else:
            del self._begun[batch]

    def leave(self, queue: Queue, now: float) -> None:
        """Leaves callers in a queue, which gets back the tasks not begun."""
        for batch in [*self._begun]:
            if self._begun[batch] is queue:
                self._left[batch] = self._begun.pop(batch)
                queue.batches.put_back(batch.let_go(), now)
