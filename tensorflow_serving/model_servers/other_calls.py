"""Counts of calls that no model ran, and that no listener gets therefore.

Example:
    other = other_calls.OtherCalls()
    observers = call_observers.Observers([other])
    other.snapshot()

They are calls of status, metadata and reloads, and those that were refused for
their key, their size or a limit. Pages and health are not calls.
"""

import collections
import threading
from collections.abc import Mapping
from typing import Final

from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import call_observers
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors

_GRPC: Final = "GRPC"
_REST: Final = "REST"
_OK: Final = errors.StatusCode.OK.name
# An answer of HTTP whose status stands for no error of this project.
_UNKNOWN: Final = errors.StatusCode.UNKNOWN.name

# The entrypoint, the method, empty for one that there is not, and the status.
Key = tuple[str, str, str]


class OtherCalls:
    """Counts calls, as a call_observers.Observer. Thread-safe."""

    def __init__(self) -> None:
        """Starts with no calls."""
        self._lock = threading.Lock()
        # Guarded by _lock.
        self._num_calls: collections.Counter[Key] = collections.Counter()

    def call_refused(
        self, path: str, metadata: call_lib.Metadata, error: errors.ServingError
    ) -> None:
        """See call_observers.Observer."""
        method = call_observers.grpc_method(path) or ""
        self._count((_GRPC, method, error.code.name))

    def call_answered(
        self,
        path: str,
        call: call_lib.Call,
        seconds: float,
        error: errors.ServingError | None,
    ) -> None:
        """See call_observers.Observer."""
        method = call_observers.grpc_method(path)
        if method is not None:
            self._count((_GRPC, method, error.code.name if error else _OK))

    def of_http(
        self,
        request: messages.Request,
        response: messages.Response | None,
        seconds: float,
    ) -> None:
        """See call_observers.Observer."""
        if request.notes.call is not None:
            return
        status = call_observers.http_status(request, response)
        found = call_observers.rest_target(request)
        if found is not None:
            method, _ = found
            self._count((_REST, method, status or _UNKNOWN))
        elif request.notes.error is not None:
            # Readiness is a page, and has a status without an error.
            self._count((_REST, "", request.notes.error.code.name))

    def snapshot(self) -> Mapping[Key, int]:
        """Returns how many calls there were."""
        with self._lock:
            return dict(self._num_calls)

    def _count(self, key: Key) -> None:
        with self._lock:
            self._num_calls[key] += 1
