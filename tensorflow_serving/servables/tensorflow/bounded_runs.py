"""Runs a few functions at the same time, and for a bounded time only."""

import functools
import threading
from collections.abc import Callable
from typing import Any

from typing_extensions import Self

from tensorflow_serving.core import worker_threads
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors


class BoundedRuns:
    """Functions that run on threads of their own, as many as there are threads.

        with BoundedRuns("warm-up", 2, timeout_seconds=60) as runs:
            for request in requests:
                runs.submit(request.run)
            runs.wait()

    Nothing begins after the time; what runs then may take as long again. That
    is the end for those who wait, though not for the functions: a thread cannot
    be broken off, but does not keep the program from ending.

    A context manager that closes itself. One thread submits and waits.
    """

    def __init__(
        self,
        name: str,
        num_threads: int,
        timeout_seconds: float,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Starts the threads, and the time.

        Args:
          name: What is run, such as "warm-up"; threads and errors have it.
          num_threads: How many functions run at the same time.
          timeout_seconds: When nothing begins any longer.
          clock: Measures the time.
        """
        self._name = name
        self._num_threads = num_threads
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._end = clock.now() + timeout_seconds
        self._workers = worker_threads.WorkerThreads(name, num_threads)
        self._lock = threading.Lock()
        # A function has ended. Wakes the thread that waits.
        self._ended = threading.Condition(self._lock)
        self._num_running = 0  # guarded by _lock

    def submit(self, function: Callable[[], Any]) -> None:
        """Has a function run once a thread is free, and waits for that.

        Raises:
          DeadlineExceededError: The time is over.
        """
        self._wait_for(self._num_threads - 1, self._end)
        if self._clock.now() >= self._end:
            raise errors.DeadlineExceededError(
                f"{self._name} must take at most {self._timeout_seconds:g} s; "
                "the rest is left out"
            )
        with self._lock:
            self._num_running += 1
        self._workers.submit(functools.partial(self._run, function))

    def wait(self) -> bool:
        """Waits for what runs; returns whether all of it has ended."""
        return self._wait_for(0, self._end + self._timeout_seconds)

    def close(self) -> None:
        """Ends the threads, as soon as their functions end. Idempotent."""
        self._workers.shutdown()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _wait_for(self, num_running: int, deadline: float) -> bool:
        """Waits until at most that many run; returns whether it is so."""
        with self._lock:
            while self._num_running > num_running:
                if self._clock.now() >= deadline:
                    return False
                self._clock.wait_until(self._ended, deadline)
        return True

    def _run(self, function: Callable[[], Any]) -> None:
        """Runs on one of the threads."""
        try:
            function()
        finally:
            with self._lock:
                self._num_running -= 1
                self._ended.notify()
