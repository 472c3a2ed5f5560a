"""Threads that work for a manager, and do not keep its program from ending."""

import queue
import threading
from collections.abc import Callable
from typing import Protocol

from absl import logging


class Workers(Protocol):
    """Something that runs tasks on other threads than that of the caller.

    The executors of concurrent.futures are such workers too.
    """

    def submit(self, task: Callable[[], object], /) -> object:
        """Has a task run; returns at once."""

    def shutdown(self) -> None:
        """Takes no further tasks; those that wait are still run."""


class WorkerThreads:
    """Workers with daemon threads, which run tasks first in, first out.

    A task that never ends holds its own thread, and neither shutdown() nor the
    end of the program. A finalizer may call submit(), because that needs no
    lock.

    Thread-safe.
    """

    def __init__(self, name: str, num_threads: int) -> None:
        """Starts the threads."""
        # None ends one thread.
        self._tasks: queue.SimpleQueue[Callable[[], object] | None] = (
            queue.SimpleQueue()
        )
        self._num_threads = num_threads
        for _ in range(num_threads):
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, task: Callable[[], object], /) -> None:
        """See Workers."""
        self._tasks.put(task)

    def shutdown(self) -> None:
        """See Workers. Returns at once."""
        for _ in range(self._num_threads):
            self._tasks.put(None)

    def _work(self) -> None:
        """Runs on each of the threads."""
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except BaseException:
                logging.exception("A task of a manager failed; going on")
            # Waiting for the next one must not keep what it holds.
            del task
