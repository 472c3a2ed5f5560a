"""Decides whether a call may begin: how many run, and whether a stop began."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from absl import logging

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors

CallT = TypeVar("CallT", bound=call_lib.AnyCall)

# A stop waits until no call has arrived for this long.
_PAUSE_SECONDS = 0.02


class Gate:
    """Sees every call when it comes, and refuses it if need be.

    Thread-safe.
    """

    def __init__(self, max_concurrent_calls: int) -> None:
        """Sets how many calls may run at the same time; 0: any number."""
        self._max_concurrent_calls = max_concurrent_calls
        # Both are written by one thread and read by another.
        self._last_time = 0.0
        self._is_refusing = False
        self._lock = threading.Lock()
        # Calls to refuse once the port is closed, and then None; guarded by
        # _lock.
        self._held: list[call_lib.Call] | None = []

    def admits(self, call: call_lib.Call, num_running: int) -> bool:
        """Returns whether a call may begin; if not, it is dealt with.

        Args:
          call: The call, whose request may not have been read yet.
          num_running: How many calls have no reply yet, without this one.
        """
        self._last_time = time.monotonic()
        if self._is_refusing:
            self._refuse(call)
            return False
        if 0 < self._max_concurrent_calls <= num_running:
            call.fail(too_many_calls_error(self._max_concurrent_calls))
            return False
        return True

    def refuse(self) -> None:
        """Refuses all calls from now on, but does not answer them yet."""
        self._is_refusing = True

    def answer_refusals(self) -> None:
        """Answers what was refused; to be called when the port is closed."""
        with self._lock:
            held, self._held = self._held or [], None
        for call in held:
            _answer_refusal(call)

    def wait_for_a_pause(self, max_seconds: float) -> None:
        """Returns once no call came for a moment, or after that time."""
        start = time.monotonic()
        deadline = start + max_seconds
        pause_end = start + _PAUSE_SECONDS
        while (now := time.monotonic()) < min(pause_end, deadline):
            time.sleep(min(pause_end, deadline) - now)
            pause_end = self._last_time + _PAUSE_SECONDS

    def _refuse(self, call: call_lib.Call) -> None:
        with self._lock:
            if self._held is not None:
                self._held.append(call)
                return
        _answer_refusal(call)


def begin(method: Callable[[CallT], None], call: CallT) -> None:
    """Begins a call; what the method raises is the reply."""
    try:
        method(call)
    except errors.ServingError as error:
        call.fail(error)
    # Not even a SystemExit of a service ends the thread of all calls.
    except BaseException as error:
        logging.exception("A method failed")
        call.fail(shown_error(error))


def notify(on_cancelled: Callable[[], None] | None) -> None:
    """Notifies a service that a caller left; its exceptions are logged."""
    if on_cancelled is not None:
        try:
            on_cancelled()
        except BaseException:  # see begin()
            logging.exception("A service failed on a call that left")


def too_many_calls_error(most: int) -> errors.ResourceExhaustedError:
    """Returns the error of a call beyond the limit."""
    return errors.ResourceExhaustedError(
        f"Too many concurrent calls (limit {most}); try again later."
    )


def stopping_error() -> errors.UnavailableError:
    """Returns the error of a call that a stop leaves without an answer."""
    return errors.UnavailableError("The server is shutting down.")


def shown_error(error: BaseException) -> errors.ServingError:
    """Returns what a caller may know of an unexpected exception."""
    if isinstance(error, MemoryError):
        return errors.ResourceExhaustedError(
            "There is not enough memory for this call; try again later."
        )
    return errors.InternalError(
        "the server failed on this call; its log has the reason"
    )


def _answer_refusal(call: call_lib.Call) -> None:
    call.fail(stopping_error())
