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


@dataclasses.dataclass(eq=False)
class QueueState:
    """A queue of a scheduler, with the batches that were taken from it."""

    # Any: the tasks of different queues have different types.
    batches: batch_queue.BatchQueue[Any]
    process_batch: batch_scheduler.ProcessBatch[Any]
    in_hand: "set[BatchInHand]" = dataclasses.field(default_factory=set)
    # Dropped tasks whose fail() has not returned.
    num_dropped: int = 0
    # Whether tasks wait that nobody will take.
    is_stuck: bool = False

    @property
    def done(self) -> bool:
        """Whether the queue is closed and all its tasks are answered."""
        return (
            self.batches.is_closed
            and self.batches.empty
            and not self.in_hand
            and not self.num_dropped
        )

    def begin(
        self, batch: batch_scheduler.Batch[Any], now: float
    ) -> "BatchInHand":
        """Has somebody process a batch that was taken."""
        begun = BatchInHand(batch, self, now)
        self.in_hand.add(begun)
        return begun

    def statistics(self, now: float) -> batch_scheduler.Statistics:
        """Returns a snapshot."""
        oldest_time = min(
            (each.begin_time for each in self.in_hand), default=now
        )
        return dataclasses.replace(
            self.batches.statistics(now),
            oldest_run_seconds=now - oldest_time,
            is_stuck=self.is_stuck,
        )


@dataclasses.dataclass(eq=False, slots=True)
class BatchInHand:
    """A batch that a thread or a caller processes."""

    batch: batch_scheduler.Batch[Any]
    queue: QueueState
    begin_time: float
    # Whether somebody else does the work of whoever processes it.
    is_given_up: bool = False

    def end(self, run_seconds: float, now: float) -> None:
        """Records that the batch has run, and that its tasks are answered."""
        self.queue.batches.record_run(self.batch.size, run_seconds, now)
        self.queue.in_hand.remove(self)

    def hangs(self, now: float) -> bool:
        """Returns whether it takes so long that it may never end."""
        limit_seconds = max(
            _HANG_SECONDS, _HANG_RUNS * self.queue.batches.typical_run_seconds
        )
        return now - self.begin_time > limit_seconds


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
        self._begun: set[BatchInHand] = set()

    def begin(self, begun: BatchInHand) -> None:
        """Has a thread process a batch."""
        self._begun.add(begun)

    def end(self, begun: BatchInHand) -> bool:
        """Frees the thread; returns whether it is still needed."""
        self._begun.remove(begun)
        if begun.is_given_up:
            self._num_threads -= 1
        return not begun.is_given_up

    def plan_look(self, now: float) -> None:
        """Sets when to look, if it is not set; called while a task waits."""
        if self.look_time == math.inf and self._are_all_busy:
            self.look_time = now + _LOOK_SECONDS

    def find_hanging(self, now: float) -> BatchInHand | None:
        """Returns a batch whose thread should be replaced, if any should."""
        kept = [each for each in self._begun if not each.is_given_up]
        num_replaced = len(self._begun) - len(kept)
        if not self._are_all_busy or num_replaced >= _MAX_REPLACED:
            return None
        return next((each for each in kept if each.hangs(now)), None)

    def find_stuck(self, queues: Iterable[QueueState], now: float) -> bool:
        """Finds out which queues are stuck, as no thread can be replaced.

        Returns whether that has changed.
        """
        all_hang = self._are_all_busy and all(
            each.hangs(now) for each in self._begun
        )
        has_changed = False
        for queue in queues:
            due_time = queue.batches.due_time()
            is_stuck = all_hang and due_time is not None and due_time <= now
            has_changed |= is_stuck != queue.is_stuck
            queue.is_stuck = is_stuck
        return has_changed

    def end_look(self, queues: Iterable[QueueState], now: float) -> None:
        """Sets when to look again."""
        self.look_time = math.inf
        if any(not queue.batches.empty for queue in queues):
            self.plan_look(now)

    def replace(self, hanging: BatchInHand) -> None:
        """Adds a thread in place of that of a batch, which ends with it."""
        hanging.is_given_up = True
        self._num_threads += 1

    @property
    def _are_all_busy(self) -> bool:
        return len(self._begun) >= self._num_threads


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
        self._begun: set[BatchInHand] = set()

    def may_begin(self, queue: QueueState) -> bool:
        """Returns whether one more caller may process a batch of a queue."""
        num_callers = sum(not each.is_given_up for each in self._begun)
        return num_callers < self._max_callers and not any(
            each.is_given_up and each.queue is queue for each in self._begun
        )

    def begin(self, begun: BatchInHand) -> None:
        """Has a caller process a batch."""
        self._begun.add(begun)

    def end(self, begun: BatchInHand) -> None:
        """Frees the caller."""
        self._begun.remove(begun)

    def leave(self, queue: QueueState, now: float) -> None:
        """Leaves callers in a queue, which gets back the tasks not begun."""
        for each in self._begun:
            if each.queue is queue and not each.is_given_up:
                each.is_given_up = True
                queue.batches.put_back(each.batch.let_go(), now)
