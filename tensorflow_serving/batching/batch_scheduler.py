"""The interface of batch schedulers: tasks go in, batches come out.

A scheduler groups tasks into batches and hands each batch to a callback, on one
of its threads. This module holds the vocabulary; the other modules of the
package hold the schedulers.
"""

import abc
import dataclasses
import enum
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from tensorflow_serving.util import errors

TaskT = TypeVar("TaskT", bound="BatchTask")


class BatchTask:
    """A unit of work that can share a batch with others.

    Subclasses set size, and what else they need. A task can be changed, and is
    scheduled once: after fail() it is over.
    """

    __slots__ = ()

    # How much of a batch the task takes up: rows, for tensors. At least 1.
    size: int
    # When the result is no longer useful, in seconds of the scheduler's clock.
    deadline: float = math.inf
    # All below belong to the queue that holds the task, and are guarded by its
    # lock. The batch in which it waits.
    place: Any = None
    # With which its deadline can be discarded, if it is watched.
    ticket: int | None = None
    # Its parts, if it was split.
    parts: Sequence["BatchTask"] = ()

    def fail(self, error: errors.ServingError) -> None:
        """Ends the task, which the scheduler gave up; called at most once.

        Called without a lock, on any thread; must not block. close() of the
        scheduler waits for it.
        """

    def split(self: TaskT, sizes: Sequence[int]) -> Sequence[TaskT]:
        """Returns tasks of these sizes that do the work of this one.

        Called at most once, when there is room for all of them, with the lock
        of the scheduler held: must be quick and call nobody.

        Args:
          sizes: At least two; their sum is the size of the task.
        """
        raise NotImplementedError


class CloseReason(enum.Enum):
    """Why a batch took no more tasks."""

    FULL = "full"  # no room for one more task
    TIMEOUT = "timeout"  # its first task had waited long enough
    IDLE = "idle"  # a thread had nothing else to do
    DEADLINE = "deadline"  # one of its tasks could not wait any longer
    DRAIN = "drain"  # the queue was closed


_CLOSED = threading.Event()
_CLOSED.set()


class Batch(Generic[TaskT]):
    """Tasks that are processed together.

    A batch is open until close() is called; only an open batch takes tasks.

    Any thread may read and wait; only one at a time may add tasks.
    """

    __slots__ = ("_close_reason", "_closed", "_size", "_take_rest", "_tasks")

    def __init__(self) -> None:
        """Makes an open batch without tasks."""
        self._tasks: list[TaskT] = []
        self._size = 0
        self._closed = threading.Event()
        self._close_reason: CloseReason | None = None
        self._take_rest: Callable[[], Sequence[TaskT]] | None = None

    @classmethod
    def of(
        cls, tasks: list[TaskT], size: int, reason: CloseReason
    ) -> "Batch[TaskT]":
        """Returns a closed batch.

        Args:
          tasks: Its tasks; must not be changed afterwards.
          size: The sum of their sizes.
          reason: Why it is closed.
        """
        batch = cls.__new__(cls)
        batch._tasks = tasks
        batch._size = size
        batch._closed = _CLOSED
        batch._close_reason = reason
        batch._take_rest = None
        return batch

    def __repr__(self) -> str:
        """Returns the number of tasks, their size, and why it is closed."""
        state = "open"
        if self.is_closed:
            state = self._close_reason.name if self._close_reason else "closed"
        return f"<Batch {state}, {len(self._tasks)} tasks of size {self._size}>"

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

    @property
    def close_reason(self) -> CloseReason | None:
        """Why it was closed; None while it is open or if nobody said so."""
        return self._close_reason

    def close(self, reason: CloseReason | None = None) -> None:
        """Ends the time in which tasks can be added. The first call counts."""
        if not self._closed.is_set():
            self._close_reason = reason
            self._closed.set()

    def let_go_with(self, take_rest: Callable[[], Sequence[TaskT]]) -> None:
        """Sets how tasks leave the batch while it is processed.

        Args:
          take_rest: Returns the tasks whose processing has not begun, and
            keeps it from beginning. Must be quick and call nobody.
        """
        self._take_rest = take_rest

    def let_go(self) -> Sequence[TaskT]:
        """Removes and returns the tasks whose processing has not begun.

        The batch still counts them. None leave a batch before whoever processes
        it calls let_go_with().
        """
        return () if self._take_rest is None else self._take_rest()


# Returns how many seconds of the scheduler's clock the model ran, without what
# was done before and after it; None: the whole call counts.
ProcessBatch = Callable[[Batch[TaskT]], float | None]


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Counts of the tasks of a scheduler, waiting now and since its start.

    A task that was split counts as its parts. Every accepted task is enqueued,
    expired, cancelled or in a batch.
    """

    num_enqueued_tasks: int = 0
    # How long the oldest task waits already; 0 if there is none.
    oldest_wait_seconds: float = 0.0
    # How long the oldest batch in hand is processed already; 0 without one.
    oldest_run_seconds: float = 0.0
    # How long the last batches took, on average; 0 before the first.
    typical_run_seconds: float = 0.0
    num_batches_by_size: Mapping[int, int] = dataclasses.field(
        default_factory=dict
    )
    num_batches_by_reason: Mapping[CloseReason, int] = dataclasses.field(
        default_factory=dict
    )
    # Tasks that found no room, or came after their deadline.
    num_refused: int = 0
    # Tasks whose deadline passed while they waited.
    num_expired: int = 0
    # Tasks that were cancelled while they waited.
    num_cancelled: int = 0
    # Whether tasks wait that nobody will take: all batch threads hang.
    is_stuck: bool = False


def expired_error() -> errors.DeadlineExceededError:
    """Returns what a task gets whose deadline passed before it was run."""
    return errors.DeadlineExceededError(
        "The deadline passed before the call could run."
    )


class BatchScheduler(abc.ABC, Generic[TaskT]):
    """Groups tasks into batches and has them processed.

    A context manager that closes itself. Thread-safe; but close() must not be
    called by the callback that processes the batches or by BatchTask.fail(),
    for which it waits.
    """

    @abc.abstractmethod
    def schedule(self, task: TaskT) -> None:
        """Takes over a task, to be processed in a batch. Does not block.

        On an error the task is untouched and still the caller's.

        Raises:
          UnavailableError: There is no room now. Transient.
          InvalidArgumentError: The task fits in no batch. Permanent.
          FailedPreconditionError: The scheduler is closed. Permanent.
          DeadlineExceededError: The deadline of the task has passed. Transient.
        """

    def schedule_all(
        self, tasks: Iterable[TaskT], *, runs_here: bool = True
    ) -> bool:
        """Schedules tasks from a thread that has time to run a batch itself.

        A task that is refused gets the error with fail(). Does not block, but
        may process a batch on the calling thread, if batches are quick.

        Args:
          tasks: Perhaps none.
          runs_here: Whether that may be. If not, other threads see to all that
            waits, also to what the caller would have come back for.

        Returns:
          Whether there is more to do: then call it again soon.
        """
        for task in tasks:
            try:
                self.schedule(task)
            except errors.ServingError as error:
                task.fail(error)
        return False

    def cancel(self, task: TaskT) -> None:
        """Drops a task that waits, with fail(CancelledError).

        Without effect on one that was not accepted or is processed already.
        """

    @abc.abstractmethod
    def num_enqueued_tasks(self) -> int:
        """Returns how many tasks no thread has taken yet."""

    @abc.abstractmethod
    def scheduling_capacity(self) -> int:
        """Returns how many tasks of size 1 are sure to be accepted now."""

    @abc.abstractmethod
    def statistics(self) -> Statistics:
        """Returns a snapshot."""

    @abc.abstractmethod
    def close(self) -> None:
        """Takes no more tasks; returns when all are answered. Idempotent."""

    def __enter__(self) -> "BatchScheduler[TaskT]":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the scheduler."""
        self.close()
