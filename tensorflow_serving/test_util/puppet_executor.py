"""An executor that runs work when a test says so."""

import collections
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any, ParamSpec, TypeVar

from typing_extensions import override

P = ParamSpec("P")
T = TypeVar("T")


class PuppetExecutor(futures.Executor):
    """Keeps all work until run_next() or run_all() runs it, right there.

    Work whose future was cancelled counts as gone.

    Thread-safe.
    """

    def __init__(self) -> None:
        """Starts without work."""
        # Work arrived, or a thread is through with it; wakes wait_for_work()
        # and shutdown().
        self._changed = threading.Condition()
        # Guarded by _changed.
        self._waiting: collections.deque[
            tuple[futures.Future[Any], Callable[[], Any]]
        ] = collections.deque()
        self._num_running = 0
        self._is_shut_down = False

    @override
    def submit(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> futures.Future[T]:
        """Takes any work.

        Raises:
          RuntimeError: The executor was shut down.
        """
        future = futures.Future[T]()
        with self._changed:
            if self._is_shut_down:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._waiting.append((future, lambda: fn(*args, **kwargs)))
            self._changed.notify_all()
        return future

    @property
    def num_waiting(self) -> int:
        """How much work waits."""
        with self._changed:
            return self._count()

    def wait_for_work(self, num_waiting: int) -> None:
        """Blocks until at least this many submitted functions wait."""
        with self._changed:
            self._changed.wait_for(lambda: self._count() >= num_waiting)

    def run_next(self) -> None:
        """Runs the oldest work that waits, on this thread.

        Raises:
          IndexError: There is none.
        """
        if not self._run_one():
            raise IndexError("work must wait; got none")

    def run_all(self) -> None:
        """Runs what waits, and what that submits in turn, on this thread."""
        while self._run_one():
            pass

    @override
    def shutdown(
        self, wait: bool = True, *, cancel_futures: bool = False
    ) -> None:
        """Takes no more work.

        Args:
          wait: Whether to run all that waits, and to return when other threads
            are through with theirs too; else it can still be run.
          cancel_futures: Whether to cancel all that waits first.
        """
        with self._changed:
            self._is_shut_down = True
            waiting = list(self._waiting)
        if cancel_futures:
            for future, _ in waiting:
                future.cancel()
        if wait:
            self.run_all()
            with self._changed:
                self._changed.wait_for(lambda: not self._num_running)

    def _run_one(self) -> bool:
        """Returns whether there was work."""
        while True:
            with self._changed:
                if not self._waiting:
                    return False
                future, work = self._waiting.popleft()
                self._num_running += 1
            try:
                # False if it was cancelled; then this notifies whoever waits.
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    result = work()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
                return True
            finally:
                with self._changed:
                    self._num_running -= 1
                    self._changed.notify_all()

    def _count(self) -> int:
        return sum(not future.cancelled() for future, _ in self._waiting)
