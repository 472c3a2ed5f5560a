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

    def __init__(
        self, name: str, num_threads: int, *, grows: bool = False
    ) -> None:
        """Starts the threads.

        Args:
          name: The name of each thread.
          num_threads: How many there are.
          grows: Whether there is one more once all are busy, so that no task
            waits for another. Then whoever submits tasks limits them.
        """
        self._name = name
        self._grows = grows
        # None ends one thread, which puts it back for the next one.
        self._tasks: queue.SimpleQueue[Callable[[], object] | None] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        self._num_idle = num_threads  # guarded by _lock
        for _ in range(num_threads):
            self._start_thread()

    def submit(self, task: Callable[[], object], /) -> None:
        """See Workers."""
        self._tasks.put(task)

    def shutdown(self) -> None:
        """See Workers. Returns at once."""
        self._tasks.put(None)

    def _work(self) -> None:
        """Runs on each of the threads."""
        while (task := self._tasks.get()) is not None:
            self._be_busy()
            try:
                task()
            except BaseException:
                logging.exception("A task of a manager failed; going on")
            # Waiting for the next one must not keep what it holds.
            del task
            with self._lock:
                self._num_idle += 1
        self._tasks.put(None)

    def _be_busy(self) -> None:
        """Notes that this thread has a task; starts another if need be."""
        with self._lock:
            self._num_idle -= 1
            if not self._grows or self._num_idle:
                return
            self._num_idle += 1
        try:
            self._start_thread()
        except RuntimeError as error:
            logging.warning("Tasks must wait for one another: %s", error)
            with self._lock:
                self._num_idle -= 1

    def _start_thread(self) -> None:
        threading.Thread(
            target=self._work, name=self._name, daemon=True
        ).start()
