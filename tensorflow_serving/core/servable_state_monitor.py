"""The state of each version, and a way to wait until it is available.

bus = EventBus[ServableState]()
with (
    ServableStateMonitor(bus) as monitor,
    AspiredVersionsManager(options, event_bus=bus) as manager,
):
    monitor.wait_until_available([ServableRequest.latest("mnist")], 60)
"""

import collections
import threading
from collections.abc import Iterable, Mapping, Sequence

from tensorflow_serving.core import servable
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, event_bus

# How many versions of a servable are remembered after their end: enough to see
# why the last ones could not be loaded. A server that gets a new version every
# minute for a year would fill its memory if there was no limit.
_MAX_NUM_ENDED_VERSIONS = 32

_END = servable.ManagerState.END

_StateAndTime = event_bus.EventAndTime[servable.ServableState]


class ServableStateMonitor:
    """Remembers the last state of each version that a bus reports.

    It knows what was published since it was made, so make it before the
    manager. Of the versions of a servable that came to an end it remembers the
    32 that did so last.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        event_bus: event_bus.EventBus[servable.ServableState],
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        max_count_log_events: int = 0,
    ) -> None:
        """Subscribes.

        Args:
          event_bus: Where managers and sources publish.
          clock: Times the timeouts of waits.
          max_count_log_events: How many events log() has; 0 for none.

        Raises:
          InvalidArgumentError: max_count_log_events is below 0.
        """
        errors.require_at_least(0, max_count_log_events=max_count_log_events)
        self._clock = clock
        self._lock = threading.Lock()
        # A state has changed, or the monitor was closed. Wakes all waits.
        self._changed = threading.Condition(self._lock)
        # All guarded by _lock.
        # By name and version; what changed last comes last.
        self._states: dict[str, dict[int, _StateAndTime]] = {}
        self._log: collections.deque[_StateAndTime] = collections.deque(
            maxlen=max_count_log_events
        )
        self._is_closed = False
        self._subscription = event_bus.subscribe(self._record)

    def state(
        self, servable_id: servable.ServableId
    ) -> servable.ServableState | None:
        """Returns the state of a version; None if nothing is known of it."""
        state_and_time = self.state_and_time(servable_id)
        return None if state_and_time is None else state_and_time.event

    def state_and_time(
        self, servable_id: servable.ServableId
    ) -> _StateAndTime | None:
        """Returns the state and the time at which it was entered."""
        with self._lock:
            versions = self._states.get(servable_id.name, {})
            return versions.get(servable_id.version)

    def version_states(self, name: str) -> Mapping[int, servable.ServableState]:
        """Returns the states of a servable by version, lowest first."""
        with self._lock:
            return _by_version(self._states.get(name, {}).values())

    def all_states(self) -> Mapping[str, Mapping[int, servable.ServableState]]:
        """Returns all states, by name and version."""
        with self._lock:
            return {
                name: _by_version(versions.values())
                for name, versions in self._states.items()
            }

    def live_states(self) -> Mapping[str, Mapping[int, servable.ServableState]]:
        """Returns all states but END; names without any are left out."""
        with self._lock:
            live = {
                name: _by_version(
                    each
                    for each in versions.values()
                    if each.event.manager_state is not _END
                )
                for name, versions in self._states.items()
            }
        return {name: versions for name, versions in live.items() if versions}

    def forget_failures(self, name: str) -> None:
        """Forgets the versions of a servable that ended with an error.

        Whoever waits for the servable from now on sees only those that follow.
        """
        with self._lock:
            versions = self._states.get(name, {})
            for version, each in [*versions.items()]:
                if each.event.has_failed:
                    del versions[version]

    def log(self) -> Sequence[_StateAndTime]:
        """Returns the last events, oldest first."""
        with self._lock:
            return tuple(self._log)

    def wait_until_available(
        self,
        requests: Sequence[servable.ServableRequest],
        timeout_seconds: float | None,
    ) -> None:
        """Waits until each request can be served.

        Must not be called by a subscriber of the bus.

        Args:
          requests: A certain version must be available itself; for the latest,
            any version of the servable.
          timeout_seconds: None to wait forever.

        Raises:
          DeadlineExceededError: The time is over; the text says what is
            missing, and why. Transient.
          FailedPreconditionError: A certain version came to an end with an
            error that does not pass by itself: one that is permanent, or
            for lack of memory. Permanent.
          CancelledError: The monitor is closed.
        """
        deadline = (
            None
            if timeout_seconds is None
            else self._clock.now() + timeout_seconds
        )
        with self._lock:
            while not self._are_available(requests):
                if deadline is not None and self._clock.now() >= deadline:
                    missing = "; ".join(
                        self._explain(request)
                        for request in requests
                        if not self._is_available(request)
                    )
                    raise errors.DeadlineExceededError(
                        "servables must be AVAILABLE within "
                        f"{timeout_seconds:g} s; got {missing}"
                    )
                self._clock.wait_until(self._changed, deadline)

    def close(self) -> None:
        """Ends the subscription and all waits. Idempotent.

        Not for a subscriber of the bus to call.
        """
        with self._lock:
            self._is_closed = True
            self._changed.notify_all()
        self._subscription.close()

    def __enter__(self) -> "ServableStateMonitor":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the monitor."""
        self.close()

    def _record(self, state_and_time: _StateAndTime) -> None:
        """Runs on the thread that publishes."""
        servable_id = state_and_time.event.id
        with self._lock:
            self._log.append(state_and_time)
            versions = self._states.setdefault(servable_id.name, {})
            versions.pop(servable_id.version, None)
            versions[servable_id.version] = state_and_time
            ended = [
                version
                for version, each in versions.items()
                if each.event.manager_state is _END
            ]
            for version in ended[:-_MAX_NUM_ENDED_VERSIONS]:
                del versions[version]
            self._changed.notify_all()

    def _are_available(
        self, requests: Sequence[servable.ServableRequest]
    ) -> bool:
        """Returns whether to end a wait, or raises why; needs the lock."""
        if self._is_closed:
            raise errors.CancelledError("The monitor is closed.")
        for request in requests:
            if request.version is None:
                continue
            state = self._versions(request).get(request.version)
            if state is None or state.manager_state is not _END:
                continue
            if state.error is not None and not _may_pass(state.error):
                raise errors.FailedPreconditionError(
                    f"servable must be AVAILABLE; got {state}"
                )
        return all(self._is_available(request) for request in requests)

    def _is_available(self, request: servable.ServableRequest) -> bool:
        """Returns whether there is a version for it; needs the lock."""
        return any(
            state.is_available
            for version, state in self._versions(request).items()
            if request.version in (None, version)
        )

    def _explain(self, request: servable.ServableRequest) -> str:
        """Returns how far the version for it is; needs the lock."""
        versions = self._versions(request)
        version = request.version
        if version is None:
            version = max(versions, default=0)
        if version in versions:
            return str(versions[version])
        return f"{request} is unknown"

    def _versions(
        self, request: servable.ServableRequest
    ) -> Mapping[int, servable.ServableState]:
        return _by_version(self._states.get(request.name, {}).values())


def _may_pass(error: errors.ServingError) -> bool:
    """Returns whether a version with an error may become available by itself.

    Lack of memory is transient, but nobody knows whether anyone frees some.
    """
    return errors.is_transient(error) and not isinstance(
        error, errors.ResourceExhaustedError
    )


def _by_version(
    states: Iterable[_StateAndTime],
) -> Mapping[int, servable.ServableState]:
    versions = {each.event.id.version: each.event for each in states}
    return dict(sorted(versions.items()))
