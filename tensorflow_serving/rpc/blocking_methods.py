"""Methods that block, on threads of their own."""

import concurrent.futures
import functools
import threading
import time
from collections.abc import Callable

from google.protobuf import message

from tensorflow_serving.rpc import call, gate
from tensorflow_serving.rpc import observer as observer_lib
from tensorflow_serving.util import errors


class BlockingMethods:
    """A fixed number of threads, each of which answers one call at a time.

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
        self._lock = threading.Lock()
        self._num_running = 0  # guarded by _lock

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
        answer = functools.partial(_answer, method, request_class)
        if self._observer is not None:
            answer = functools.partial(
                _answer_observed,
                answer,
                functools.partial(self._observer.call_answered, path),
                time.monotonic(),
            )
        self._pool.submit(self._run, answer, each)

    def close(self) -> bool:
        """Starts no more calls; returns whether none is running."""
        # Without waiting: what outlasted the grace may never end.
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            return not self._num_running

    def _run(self, method: call.AsyncMethod, each: call.Call) -> None:
        if not each.is_active:
            return
        with self._lock:
            self._num_running += 1
        try:
            gate.begin(method, each)
        finally:
            with self._lock:
                self._num_running -= 1


def _answer(
    method: call.BlockingMethod,
    request_class: type[message.Message],
    each: call.Call,
) -> None:
    each.reply(method(call.parse(request_class, each.request)))


def _answer_observed(
    answer: call.AsyncMethod,
    report: Callable[[call.Call, float, errors.ServingError | None], None],
    start_time: float,
    each: call.Call,
) -> None:
    """Answers a call, and reports how that went."""
    end: errors.ServingError | None = gate.internal_error()
    try:
        answer(each)
        end = None
    except errors.ServingError as error:
        end = error
        raise
    finally:
        report(each, time.monotonic() - start_time, end)
