"""Methods that block, on threads of their own."""

import concurrent.futures
import contextlib
import functools
import threading
import time
from typing import Final

from google.protobuf import message

from tensorflow_serving.rpc import call, gate
from tensorflow_serving.rpc import observer as observer_lib
from tensorflow_serving.util import errors

# How many calls may wait at the same time, each on a thread.
MAX_WAITING: Final = 64
# How long a thread may take to end once its call has its answer.
_END_SECONDS: Final = 0.5


class BlockingMethods:
    """A fixed number of threads, each of which answers one call at a time.

    A call of a method that may wait has a thread of its own.

    Thread-safe.
    """

    def __init__(
        self,
        num_threads: int,
        observer: observer_lib.Observer | None = None,
    ) -> None:
        """Starts nothing yet.

        Args:
          num_threads: How many calls run at the same time.
          observer: Gets the ends of calls; None: nobody wants to know.
        """
        self._num_threads = num_threads
        self._observer = observer
        self._pool = concurrent.futures.ThreadPoolExecutor(
            num_threads, thread_name_prefix="rpc"
        )
        # The last call has ended. Wakes close().
        self._ended = threading.Condition()
        # All guarded by _ended.
        self._num_running = 0
        self._waiting: set[call.Unwanted] = set()
        self._is_draining = False

    def start(self) -> None:
        """Starts all threads: later, under load, that may not be possible.

        Raises:
          ResourceExhaustedError: The system has no more threads. Transient.
        """
        started = threading.Barrier(self._num_threads + 1)
        try:
            for _ in range(self._num_threads):
                self._pool.submit(started.wait)
        except RuntimeError as error:
            started.abort()
            raise errors.ResourceExhaustedError(
                "num_threads must be no more than the system allows; got "
                f"{self._num_threads}: {error}"
            ) from None
        started.wait()

    def begin(
        self,
        path: str,
        method: call.BlockingMethod,
        request_class: type[message.Message],
        each: call.Call,
    ) -> None:
        """Has a call answered by a method, on one of the threads.

        Args:
          path: The name of the method on the wire.
          method: See BlockingMethod.
          request_class: Its message.
          each: The call.
        """
        answer = self._answering(path, method, request_class)
        self._pool.submit(self._run, answer, each)

    def begin_waiting(
        self,
        path: str,
        method: call.WaitingMethod,
        request_class: type[message.Message],
        each: call.Call,
    ) -> None:
        """Has a call answered by a method that may wait, on a new thread.

        Args:
          path: The name of the method on the wire.
          method: See WaitingMethod.
          request_class: Its message.
          each: The call. It is refused with RESOURCE_EXHAUSTED if MAX_WAITING
            are waiting, or the system has no more threads.
        """
        unwanted = call.Unwanted()
        each.on_cancelled = functools.partial(
            _end, unwanted, errors.CancelledError("The caller has left.")
        )
        answer = self._answering(
            path, lambda request: method(request, unwanted), request_class
        )
        try:
            self._start_waiting(answer, each, unwanted)
        except errors.ResourceExhaustedError as error:
            each.fail(error)
            if self._observer is not None:
                self._observer.call_answered(path, each, 0.0, error)

    def drain(self) -> None:
        """Has calls of methods that wait end, from now on."""
        with self._ended:
            self._is_draining = True
            waiting = list(self._waiting)
        for unwanted in waiting:
            _end(unwanted, gate.stopping_error())

    def close(self) -> bool:
        """Starts no more calls; returns whether none is running.

        Those that have their answer get a moment to end.
        """
        # Without waiting: what outlasted the grace may never end.
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._ended:
            return self._ended.wait_for(
                lambda: not self._num_running, _END_SECONDS
            )

    def _answering(
        self,
        path: str,
        method: call.BlockingMethod,
        request_class: type[message.Message],
    ) -> call.AsyncMethod:
        """Returns what answers a call that comes now, and reports its end."""
        return functools.partial(
            self._answer, path, method, request_class, time.monotonic()
        )

    def _answer(
        self,
        path: str,
        method: call.BlockingMethod,
        request_class: type[message.Message],
        start_time: float,
        each: call.Call,
    ) -> None:
        end: errors.ServingError | None = None
        try:
            each.reply(method(call.parse(request_class, each.request)))
        except errors.ServingError as error:
            end = error
            raise
        except BaseException as error:
            end = gate.shown_error(error)
            raise
        finally:
            if self._observer is not None:
                seconds = time.monotonic() - start_time
                self._observer.call_answered(path, each, seconds, end)

    def _start_waiting(
        self, method: call.AsyncMethod, each: call.Call, unwanted: call.Unwanted
    ) -> None:
        with self._ended:
            if len(self._waiting) >= MAX_WAITING:
                raise gate.too_many_calls_error(MAX_WAITING)
            self._waiting.add(unwanted)
            is_draining = self._is_draining
        if is_draining:
            _end(unwanted, gate.stopping_error())
        thread = threading.Thread(
            target=self._run_waiting,
            args=(method, each, unwanted),
            name="rpc_waiting",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            with self._ended:
                self._waiting.discard(unwanted)
            raise errors.ResourceExhaustedError(
                f"The system has no more threads ({error}); try again later."
            ) from None

    def _run_waiting(
        self, method: call.AsyncMethod, each: call.Call, unwanted: call.Unwanted
    ) -> None:
        try:
            self._run(method, each)
        finally:
            with self._ended:
                self._waiting.discard(unwanted)

    def _run(self, method: call.AsyncMethod, each: call.Call) -> None:
        if not each.is_active:
            return
        with self._ended:
            self._num_running += 1
        try:
            gate.begin(method, each)
        finally:
            with self._ended:
                self._num_running -= 1
                self._ended.notify_all()


def _end(unwanted: call.Unwanted, reason: errors.ServingError) -> None:
    """Tells a method, if it is the first to do so, that nobody waits for it."""
    with contextlib.suppress(concurrent.futures.InvalidStateError):
        unwanted.set_exception(reason)
