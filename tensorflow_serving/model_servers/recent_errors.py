"""The newest errors of calls, for those who look for what is wrong.

Example:
    errors = recent_errors.RecentErrors()
    listeners = call_events.Listeners([errors])
    errors.newest()
"""

import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.model_servers import call_events
from tensorflow_serving.util import errors, line_limit

_MAX_ERRORS: Final = 50


@dataclasses.dataclass(frozen=True, slots=True)
class RecentError:
    """An error, and how often it came."""

    code: str
    text: str
    # Empty if the call names no model, or one that is not served.
    model: str
    # Such as "Predict", and "GRPC" or "REST".
    method: str
    entrypoint: str
    # How many calls got it since it was first kept.
    number: int
    # When it came last, in seconds since 1970.
    time: float


class RecentErrors:
    """Keeps errors that differ, as a listener of call_events. Thread-safe.

    One that comes again is counted, so that a flood of one error does not wash
    away the others; also one that differs in numbers only, such as that of the
    row at fault. The newest text is the one that is kept.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        """Starts without errors.

        Args:
          wall_clock: Returns seconds since 1970.
        """
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        # The newest error last, by what makes it another one than others.
        # Guarded by _lock.
        self._errors: collections.OrderedDict[tuple[str, ...], RecentError] = (
            collections.OrderedDict()
        )

    def newest(self) -> Sequence[RecentError]:
        """Returns the errors, the newest first."""
        with self._lock:
            return list(reversed(self._errors.values()))

    def succeeded(
        self,
        subject: call_events.Subject,
        tasks: batched_function.Tasks,
        timing: run_timing.RunTiming,
    ) -> None:
        """See call_events.Listener."""

    def failed(
        self,
        subject: call_events.Subject,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """See call_events.Listener."""
        self._keep(subject, error, len(tasks))

    def refused(
        self, call: call_events.Refused, error: errors.ServingError
    ) -> None:
        """See call_events.Listener."""
        self._keep(call, error, 1)

    def _keep(
        self,
        call: call_events.Subject | call_events.Refused,
        error: errors.ServingError,
        number: int,
    ) -> None:
        text = errors.short_text(error)
        call_key = (call.model, call.method, call.entrypoint)
        key = (error.code.name, line_limit.kind(text), *call_key)
        with self._lock:
            if before := self._errors.pop(key, None):
                number += before.number
            self._errors[key] = RecentError(
                error.code.name,
                text,
                *call_key,
                number=number,
                time=self._wall_clock(),
            )
            if len(self._errors) > _MAX_ERRORS:
                self._errors.popitem(last=False)
