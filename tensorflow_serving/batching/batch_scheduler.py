"""What every batch scheduler offers: tasks go in, batches come out.

A scheduler groups tasks into batches and hands each batch to a callback, on one
of its threads. This module holds the vocabulary; the other modules of the
package hold the schedulers.
"""

import abc
import threading
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar


class BatchTask(Protocol):
    """A unit of work that can share a batch with others."""

    @property
    def size(self) -> int:
        """How much of a batch the task takes up: rows, for tensors."""


TaskT = TypeVar("TaskT", bound=BatchTask)


class Batch(Generic[TaskT]):
    """Tasks that are processed together.

    A batch is open until close() is called; only an open batch takes tasks.

    Any thread may read and wait; only one at a time may add tasks.
    """

    def __init__(self) -> None:
        """Makes an open batch without tasks."""
        self._tasks: list[TaskT] = []
        self._size = 0
        self._closed = threading.Event()

    def add_task(self, task: TaskT) -> None:
        """Adds a task; the batch must be open."""
        assert not self.is_closed, "a closed batch takes no tasks"
        self._tasks.append(task)
        self._size += task.size

    @property
    def tasks(self) -> Sequence[TaskT]:
        """The tasks, in the order in which they were added."""
        return self._tasks

    @property
    def num_tasks(self) -> int:
        """The number of tasks."""
        return len(self._tasks)

    @property
    def empty(self) -> bool:
        """Whether there are no tasks."""
        return not self._tasks

    @property
    def size(self) -> int:
        """The sum of the sizes of the tasks."""
        return self._size

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._closed.is_set()

    def wait_until_closed(self) -> None:
        """Blocks until close() is called."""
        self._closed.wait()

    def close(self) -> None:
        """Ends the time in which tasks can be added. Idempotent."""
        self._closed.set()


ProcessBatch = Callable[[Batch[TaskT]], None]


class BatchScheduler(abc.ABC, Generic[TaskT]):
    """Groups tasks into batches and has them processed.

    A context manager that closes itself. Thread-safe; but close() must not be
    called by the callback that processes the batches, for which it waits.
    """

    @abc.abstractmethod
    def schedule(self, task: TaskT) -> None:
        """Takes over a task, to be processed in a batch. Does not block.

        On an error the task is untouched and still the caller's.

        Raises:
          UnavailableError: There is no room now. Transient.
          InvalidArgumentError: The task fits in no batch. Permanent.
          FailedPreconditionError: The scheduler is closed. Permanent.
        """

    @abc.abstractmethod
    def num_enqueued_tasks(self) -> int:
        """Returns how many tasks no thread has taken yet."""

    @abc.abstractmethod
    def scheduling_capacity(self) -> int:
        """Returns how many tasks of size 1 are sure to be accepted now."""

    @abc.abstractmethod
    def close(self) -> None:
        """Takes no more tasks; returns when all are processed. Idempotent."""

    def __enter__(self) -> "BatchScheduler[TaskT]":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the scheduler."""
        self.close()
