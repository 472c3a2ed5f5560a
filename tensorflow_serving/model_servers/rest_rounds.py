"""The way of tasks from the event loop of the REST API to queues, and back.

Example:
    with RestRounds() as rounds:
        rounds.schedule(queue, task)  # on the event loop
        ...
        rounds.call_soon(function, outputs)  # on any thread, at the task's end

Threads that take turns for every call spend more on that than on the call. So
the event loop and the thread that runs tasks change places once for many: the
calls that came together go on together, and are answered together.
"""

import asyncio
import collections
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from typing_extensions import Self

from tensorflow_serving.batching import batched_function, task_round
from tensorflow_serving.servables.tensorflow import served_model
from tensorflow_serving.util import errors, leader_thread

# How long a task waits for others that come; and for room in its queue, if
# there are others; and its end for other ends.
_COLLECT_SECONDS: Final = 0.01
# How soon to look again whether there is room.
_ROOM_SECONDS: Final = 0.001

_Queue = served_model.Queue
_Tasks = list[batched_function.FunctionTask]


class RestRounds:
    """Schedules the tasks of an event loop, a round of them at a time.

    A round ends when nothing more has come. A thread schedules its tasks, and
    runs quick batches itself: see TaskRound. If a run holds it up, another one
    takes its place.

    A context manager that starts the thread and ends it. schedule() is for one
    event loop, call_soon() for any thread.
    """

    def __init__(self) -> None:
        """Has no thread yet."""
        self._thread = leader_thread.LeaderThread(self._serve, "rest_rounds")
        self._lock = threading.Lock()
        # There is something for the thread to do.
        self._news = threading.Condition(self._lock)
        # Guarded by _lock: the tasks that no round of the thread has; whether
        # it waits for tasks; and whether it is to end.
        self._waiting: dict[_Queue, _Waiting] = {}
        self._is_idle = True
        self._is_closed = False
        # The tasks that the thread schedules; only for the thread.
        self._round = task_round.TaskRound()
        # Only for the event loop: the tasks that it collects, and how many
        # there were when it last looked.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._collected: dict[_Queue, _Tasks] = {}
        self._num_tasks = 0
        self._num_seen = 0
        self._begin_time = 0.0
        # Ends of tasks that the event loop has not handled, and whether it has
        # been woken for them.
        self._ended: collections.deque[tuple[Callable[[Any], None], Any]] = (
            collections.deque()
        )
        self._is_woken = False
        # When the thread last woke the loop, or began to be busy; only for it.
        self._wake_time = 0.0

    def start(self) -> None:
        """Starts the thread.

        Raises:
          RuntimeError: The system has no more threads.
        """
        self._thread.start()

    def schedule(
        self, queue: served_model.Queue, task: batched_function.FunctionTask
    ) -> None:
        """Has a task wait in a queue, once no more tasks come.

        The task ends there, also if it is refused.

        Args:
          queue: The queue.
          task: Its context says with has_left whether its caller has left, so
            that it need not run.
        """
        if not self._num_tasks:
            self._loop = asyncio.get_running_loop()
            self._begin_time = time.monotonic()
            self._num_seen = 0
            self._loop.call_soon(self._hand_over_or_wait)
        self._num_tasks += 1
        self._collected.setdefault(queue, []).append(task)

    def call_soon(self, function: Callable[[Any], None], value: Any) -> None:
        """Has the event loop call a function, with others of this moment."""
        self._ended.append((function, value))
        # The thread wakes it when it has ended more.
        if not self._thread.is_leading:
            self._wake()

    def close(self) -> None:
        """Has the thread end once it has nothing to do; does not wait."""
        with self._lock:
            self._is_closed = True
            self._news.notify()

    def __enter__(self) -> Self:
        """Starts the thread, and returns itself."""
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _hand_over_or_wait(self) -> None:
        """Hands the round over if the event loop brought no more tasks.

        What has been read since the last look has its turn after this one; so
        there are two looks at least.
        """
        assert self._loop is not None
        waits = time.monotonic() < self._begin_time + _COLLECT_SECONDS
        if waits and self._num_seen < self._num_tasks:
            self._num_seen = self._num_tasks
            self._loop.call_soon(self._hand_over_or_wait)
            return
        collected, self._collected, self._num_tasks = self._collected, {}, 0
        with self._lock:
            for queue, tasks in collected.items():
                self._waiting.setdefault(queue, _Waiting()).tasks.extend(tasks)
            if self._is_idle:
                self._is_idle = False
                self._news.notify()

    def _wake(self) -> None:
        if not self._is_woken and self._loop is not None:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the server has ended
                self._loop.call_soon_threadsafe(self._call_ended)

    def _call_ended(self) -> None:
        self._is_woken = False
        while self._ended:
            function, value = self._ended.popleft()
            function(value)

    def _serve(self, takes_over: bool) -> None:
        """Runs on the thread, or on one that takes its place."""
        if takes_over:
            self._round.leave()
            self._wake_if_ended()
        while self._take_tasks():
            self._thread.begin_step()
            self._round.run()
            if not self._thread.end_step():
                return
            if time.monotonic() >= self._wake_time + _COLLECT_SECONDS:
                self._wake_if_ended()

    def _take_tasks(self) -> bool:
        """Waits for tasks, or room, for a round; returns False at the end."""
        next_round = task_round.TaskRound(self._round)
        with self._lock:
            if next_round.is_empty:
                if not self._waiting:
                    self._wake_if_ended()
                    self._is_idle = not self._is_closed
                    while self._is_idle and not self._is_closed:
                        self._news.wait()
                    self._wake_time = time.monotonic()
                    if not self._waiting:
                        return False
                elif not any(each.is_new for each in self._waiting.values()):
                    self._news.wait(_ROOM_SECONDS)
            queues = [*self._waiting]
        for queue in queues:
            next_round.add(queue, self._take_tasks_of(queue))
        self._round = next_round
        return True

    def _take_tasks_of(self, queue: _Queue) -> _Tasks:
        """Returns tasks that a queue has room for, and ends those left."""
        room = queue.scheduling_capacity()
        with self._lock:
            waiting = self._waiting[queue]
            tasks = waiting.take(room)
            if not waiting.tasks:
                del self._waiting[queue]
        return _of_present(tasks)

    def _wake_if_ended(self) -> None:
        if self._ended:
            self._wake_time = time.monotonic()
            self._wake()


class _Waiting:
    """The tasks of a queue that wait until there is room for them.

    A round may have more of them than the queue takes at once, though it would
    have taken them as they came.
    """

    def __init__(self) -> None:
        self.tasks: collections.deque[batched_function.FunctionTask] = (
            collections.deque()
        )
        # Until then they wait for room.
        self._end_time: float | None = None

    @property
    def is_new(self) -> bool:
        """Whether nobody has looked for room yet."""
        return self._end_time is None

    def take(self, room: int) -> _Tasks:
        """Returns the tasks to schedule, all of them once they waited enough.

        Args:
          room: How many rows the queue is sure to accept.
        """
        now = time.monotonic()
        if self._end_time is None:
            self._end_time = now + _COLLECT_SECONDS
            if len(self.tasks) == 1:
                self._end_time = now  # nothing has held it up
        taken = []
        while self.tasks and (
            now >= self._end_time or self.tasks[0].size <= room
        ):
            room -= self.tasks[0].size
            taken.append(self.tasks.popleft())
        return taken


def _of_present(tasks: _Tasks) -> _Tasks:
    """Returns the tasks whose callers wait for them; ends the others."""
    present = []
    for task in tasks:
        if task.context.has_left:
            task.fail(errors.CancelledError("the caller is gone already"))
        else:
            present.append(task)
    return present
