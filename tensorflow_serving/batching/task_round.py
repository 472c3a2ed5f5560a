"""Tasks of several queues that a thread schedules in one go, helping with them.

Example:
    round_ = TaskRound(last_round)
    round_.add(queue, tasks)
    has_more = round_.run()
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, Final

from tensorflow_serving.batching import batch_scheduler

# After this long the thread sees to other things before it comes back.
_MAX_SECONDS: Final = 0.005

# Any: the tasks of different queues may have different types.
_Queue = batch_scheduler.BatchScheduler[Any]


class TaskRound:
    """Schedules tasks with schedule_all(), which may run quick batches here.

    A batch that was believed to be quick may hang. Then another thread calls
    leave(), which has batch threads see to everything else that the round has
    in hand.

    add() and run() are for one thread, leave() is for any.
    """

    def __init__(self, before: "TaskRound | None" = None) -> None:
        """Takes over what the round before it has left to do, if anything."""
        self._lock = threading.Lock()
        # All are guarded by _lock: the tasks that are not in their queues yet,
        # or none where a queue has more to do; the queues that are to be called
        # again after this round; the one whose schedule_all() is called now.
        self._tasks_of: dict[_Queue, list[Any]] = {}
        self._busy: set[_Queue] = set()
        self._in_hand: _Queue | None = None
        self._is_left = False
        if before is not None:
            self._tasks_of = before._take_rest()

    @property
    def is_empty(self) -> bool:
        """Whether run() has nothing to do."""
        return not self._tasks_of

    def add(
        self, queue: _Queue, tasks: Iterable[batch_scheduler.BatchTask]
    ) -> None:
        """Adds tasks of a queue, before run()."""
        self._tasks_of.setdefault(queue, []).extend(tasks)

    def run(self) -> bool:
        """Schedules the tasks; returns whether there is more to do.

        Then a round that takes over from this one is to be run soon.
        """
        end_time = time.monotonic() + _MAX_SECONDS
        while self._schedule_next():
            if time.monotonic() >= end_time:
                break
        with self._lock:
            return bool(self._tasks_of or self._busy)

    def leave(self) -> None:
        """Leaves all tasks to batch threads, but those of a run that hangs.

        If run() was not called yet or has not returned, so does what is left of
        it.
        """
        with self._lock:
            self._is_left = True
            if self._in_hand is not None:
                self._busy.add(self._in_hand)
        for queue, tasks in self._take_rest().items():
            queue.schedule_all(tasks, runs_here=False)

    def _schedule_next(self) -> bool:
        """Schedules the tasks of a queue; returns False if there are none."""
        with self._lock:
            if not self._tasks_of:
                return False
            queue = next(iter(self._tasks_of))
            tasks = self._tasks_of.pop(queue)
            self._in_hand = queue
            runs_here = not self._is_left
        has_more = queue.schedule_all(tasks, runs_here=runs_here)
        with self._lock:
            self._in_hand = None
            is_left = self._is_left
            if has_more and not is_left:
                self._busy.add(queue)
        if has_more and is_left:
            queue.schedule_all((), runs_here=False)
        return True

    def _take_rest(self) -> dict[_Queue, list[Any]]:
        """Returns the tasks to schedule, and queues with more to do."""
        with self._lock:
            rest, self._tasks_of = self._tasks_of, {}
            busy, self._busy = self._busy, set()
        for queue in busy:
            rest.setdefault(queue, [])
        return rest
