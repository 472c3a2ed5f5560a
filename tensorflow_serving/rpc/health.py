"""The standard gRPC health service.

Protocol: https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

import functools
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf import message
from grpc_health.v1 import health_pb2

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors

_SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]
# Any: the module of the messages has no types.
_Status: Any = health_pb2.HealthCheckResponse


class Health:
    """Whether a server serves, for Check and Watch.

    All names are NOT_SERVING at first. A watch gets the state that it begins
    with, and each change; a client that does not read gets the last one only.

    Thread-safe. Nothing blocks, and no lock is held while something is sent.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Takes the full names of the services; "" is always there."""
        # Those that set_serving() is about.
        self.service_names = ("", *names)
        self._lock = threading.Lock()
        # All guarded by _lock.
        self._states = dict.fromkeys(self.service_names, _Status.NOT_SERVING)
        # By name, also those that are unknown; in the order of their beginning.
        self._watches: dict[str, dict[_Watch, None]] = {}
        self._is_draining = False

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(
            _SERVICE,
            async_methods={"Check": self._check},
            stream_methods={"Watch": self._begin_watch},
        )

    def set_serving(self) -> None:
        """Answers SERVING from now on, for all names. Not after drain()."""
        with self._lock:
            if self._is_draining:
                return
        self._set(_Status.SERVING)

    def set_states(self, states: Mapping[str, bool]) -> None:
        """Answers for names whether they serve. Not after drain().

        Args:
          states: Whether each name serves. Names that were not known are known
            from now on; names that are not in here stay as they are.
        """
        for name, is_serving in states.items():
            state = _Status.SERVING if is_serving else _Status.NOT_SERVING
            with self._lock:
                if self._is_draining or self._states.get(name) == state:
                    continue
                self._states[name] = state
                watches = list(self._watches.get(name, ()))
            for watch in watches:
                watch.update(state)

    def forget(self, names: Iterable[str]) -> None:
        """Answers for names as for those that were never known."""
        for name in names:
            with self._lock:
                self._states.pop(name, None)
                watches = list(self._watches.get(name, ()))
            for watch in watches:
                watch.update(_Status.SERVICE_UNKNOWN)

    def drain(self) -> None:
        """Answers NOT_SERVING from now on, and notifies every watch."""
        with self._lock:
            self._is_draining = True
        self._set(_Status.NOT_SERVING)

    def _set(self, state: int) -> None:
        with self._lock:
            self._states = dict.fromkeys(self._states, state)
            watches = [
                watch
                for name in self._states
                for watch in self._watches.get(name, ())
            ]
        for watch in watches:
            watch.update(state)

    def _check(self, call: call_lib.Call) -> None:
        state = self._states.get(_name(call.request))
        if state is None:
            raise errors.NotFoundError(
                "service must be one of this server; got another one"
            )
        call.reply(_Status(status=state))

    def _begin_watch(self, call: call_lib.StreamCall) -> None:
        call.on_request = functools.partial(self._watch, call)
        call.on_requests_end = functools.partial(_require_request, call)
        call.on_drain = call.finish

    def _watch(self, call: call_lib.StreamCall, request: bytes) -> None:
        name = _name(request)
        call.on_request = _refuse_request
        call.on_requests_end = _do_nothing
        watch = _Watch(call)
        with self._lock:
            self._watches.setdefault(name, {})[watch] = None
            state = self._states.get(name, _Status.SERVICE_UNKNOWN)
        call.on_cancelled = functools.partial(self._forget, name, watch)
        call.on_writable = watch.send
        call.on_drain = functools.partial(self._end, name, watch)
        watch.update(state)

    def _end(self, name: str, watch: "_Watch") -> None:
        """Ends a watch, which knows already that the server stops."""
        self._forget(name, watch)
        watch.call.finish()

    def _forget(self, name: str, watch: "_Watch") -> None:
        with self._lock:
            watches = self._watches.get(name, {})
            watches.pop(watch, None)
            if not watches:
                self._watches.pop(name, None)


class _Watch:
    """One call of Watch, and what it does not know yet."""

    def __init__(self, call: call_lib.StreamCall) -> None:
        self.call = call
        self._lock = threading.Lock()
        # Both are guarded by _lock.
        self._unsent: int | None = None
        self._is_sending = False

    def update(self, state: int) -> None:
        """Sends a state, now or when the client reads."""
        with self._lock:
            self._unsent = state
        self.send()

    def send(self) -> None:
        """Sends what the client does not know, if it reads.

        One thread at a time, or an older state might come last.
        """
        while self.call.is_writable:
            with self._lock:
                state = self._unsent
                if state is None or self._is_sending:
                    return
                self._unsent = None
                self._is_sending = True
            try:
                self.call.send(_Status(status=state))
            finally:
                with self._lock:
                    self._is_sending = False


def _name(request: bytes) -> str:
    """Returns the name that a request asks for.

    Raises:
      InvalidArgumentError: It is not a request. Permanent.
    """
    try:
        return str(health_pb2.HealthCheckRequest.FromString(request).service)
    except message.DecodeError:
        raise errors.InvalidArgumentError(
            f"request must be a HealthCheckRequest; got {len(request)} bytes "
            "of something else"
        ) from None


def _require_request(call: call_lib.StreamCall) -> None:
    call.fail(
        errors.UnimplementedError("request must be one message; got none")
    )


def _refuse_request(request: bytes) -> None:
    raise errors.UnimplementedError("request must be one message; got two")


def _do_nothing() -> None:
    """Is what happens at the end of the request of a watch."""
