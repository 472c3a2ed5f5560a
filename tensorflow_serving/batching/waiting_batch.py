"""A batch while it waits in a queue, which tasks may leave again."""

import itertools
import math
from typing import Generic

from tensorflow_serving.batching import batch_scheduler


class WaitingBatch(Generic[batch_scheduler.TaskT]):
    """Tasks that wait together, since when, and how long they may.

    A task that is removed stays in the list, without its place, until more than
    half of the list is such. So adding and removing take constant time; times
    and deadlines are looked for when somebody asks.

    Not thread-safe: guarded by the lock of the queue.
    """

    __slots__ = (
        "_deadline_is_gone",
        "_earliest_deadline",
        "_first",
        "_num_watched",
        "_tasks",
        "_times",
        "num_tasks",
        "size",
    )

    def __init__(self) -> None:
        """Makes a batch without tasks."""
        # Those that wait. Only this class changes them.
        self.num_tasks = 0
        self.size = 0
        # Every task that was added, and when. Its place is this batch, unless
        # it was removed.
        self._tasks: list[batch_scheduler.TaskT] = []
        self._times: list[float] = []
        # All tasks before this one were removed.
        self._first = 0
        # All tasks before this one were returned by watch().
        self._num_watched = 0
        # No task that waits has an earlier one, and one of them has this one
        # unless _deadline_is_gone.
        self._earliest_deadline = math.inf
        self._deadline_is_gone = False

    def add(self, task: batch_scheduler.TaskT, now: float) -> bool:
        """Adds a task that no queue holds.

        Returns whether the batch may be due earlier than before: the task is
        the first one, or has an earlier deadline than those before it.
        """
        task.place = self
        self._tasks.append(task)
        self._times.append(now)
        self.num_tasks += 1
        self.size += task.size
        if task.deadline < self._earliest_deadline:
            self._earliest_deadline = task.deadline
            self._deadline_is_gone = False
            return True
        return self.num_tasks == 1

    def remove(self, task: batch_scheduler.TaskT) -> None:
        """Removes a task that waits here."""
        task.place = None
        self.num_tasks -= 1
        self.size -= task.size
        if task.deadline == self._earliest_deadline < math.inf:
            self._deadline_is_gone = True
        if 2 * self.num_tasks < len(self._tasks):
            self._forget_removed_tasks()

    def take(self) -> list[batch_scheduler.TaskT]:
        """Returns the tasks in order, and ends the use of this object.

        The tasks do not form a cycle of references with it any longer.
        """
        tasks, self._tasks = self._tasks, []
        if len(tasks) == self.num_tasks:
            return tasks
        return [task for task in tasks if task.place is self]

    def take_first(self, num_tasks: int) -> list[batch_scheduler.TaskT]:
        """Removes and returns the oldest tasks, up to a number of them."""
        tasks: list[batch_scheduler.TaskT] = []
        index = self._first
        while len(tasks) < min(num_tasks, self.num_tasks):
            task = self._tasks[index]
            if task.place is self:
                tasks.append(task)
            index += 1
        for task in tasks:
            self.remove(task)
        return tasks

    def watch(self) -> list[batch_scheduler.TaskT]:
        """Returns the tasks with deadlines that came since the last call."""
        tasks = self._tasks[self._num_watched :]
        self._num_watched = len(self._tasks)
        return [
            task
            for task in tasks
            if task.place is self and task.deadline < math.inf
        ]

    @property
    def is_watched(self) -> bool:
        """Whether no task came since the last call of watch()."""
        return self._num_watched == len(self._tasks)

    @property
    def first_time(self) -> float:
        """When the oldest task was added; there must be a task."""
        tasks, times, first = self._tasks, self._times, self._first
        while tasks[first].place is not self:
            first += 1
        self._first = first
        return times[first]

    @property
    def earliest_deadline(self) -> float:
        """The first deadline of a task; infinite if there is none."""
        if self._deadline_is_gone:
            self._deadline_is_gone = False
            self._earliest_deadline = min(
                (task.deadline for task in self._tasks if task.place is self),
                default=math.inf,
            )
        return self._earliest_deadline

    def _forget_removed_tasks(self) -> None:
        waits = [task.place is self for task in self._tasks]
        self._num_watched = sum(waits[: self._num_watched])
        self._times = [*itertools.compress(self._times, waits)]
        self._tasks = [*itertools.compress(self._tasks, waits)]
        self._first = 0
