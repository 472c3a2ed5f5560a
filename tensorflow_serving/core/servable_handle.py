"""Handles: a servable that cannot be unloaded while it is in use."""

import threading
from typing import Any, Generic, TypeVar

from absl import logging

from tensorflow_serving.core import servable
from tensorflow_serving.util import clock as clock_lib

T = TypeVar("T")

# How often it is said that an unload waits.
_SECONDS_BETWEEN_WARNINGS = 5.0


class ServableHandle(Generic[T]):
    """Keeps a version loaded until it is closed.

        with manager.get_servable_handle(request, Classifier) as handle:
            handle.servable.classify(images)

    Hold it for one request or batch: an unload waits for it. Two handles are
    equal if they are of the same version of the same object.

    A context manager that closes itself. One thread at a time may use it.
    """

    __slots__ = ("_id", "_servable", "_shared")

    def __init__(self, shared: "SharedServable") -> None:
        """For SharedServable.acquire()."""
        self._shared: SharedServable | None = shared
        self._id = shared.id
        self._servable: T = shared.servable

    @property
    def id(self) -> servable.ServableId:
        """Which version it is."""
        return self._id

    @property
    def servable(self) -> T:
        """The servable; not to be used after close()."""
        assert self._shared is not None, "a closed handle has no servable"
        return self._servable

    def close(self) -> None:
        """Lets go of the servable. Idempotent."""
        shared, self._shared = self._shared, None
        if shared is not None:
            del self._servable
            shared.release()

    def __enter__(self) -> "ServableHandle[T]":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the handle."""
        self.close()

    def __eq__(self, other: object) -> bool:
        """Whether both are open and of the same object."""
        return (
            isinstance(other, ServableHandle)
            and self._id == other._id
            and self._shared is not None
            and self._shared is other._shared
        )

    def __hash__(self) -> int:
        """Goes with __eq__."""
        return hash(self._id)


class SharedServable:
    """A loaded version, which counts its handles.

    Thread-safe.
    """

    def __init__(
        self, servable_id: servable.ServableId, servable_object: object
    ) -> None:
        """Takes a servable that is loaded."""
        self.id = servable_id
        # Any: what it is, only its users know.
        self.servable: Any = servable_object
        self._lock = threading.Lock()
        # The last handle of a retired servable was closed. Wakes retire().
        self._released = threading.Condition(self._lock)
        self._num_handles = 0  # guarded by _lock
        self._is_retired = False  # guarded by _lock

    def acquire(self) -> ServableHandle[object] | None:
        """Returns a new handle; None if the servable is retired."""
        with self._lock:
            if self._is_retired:
                return None
            self._num_handles += 1
        return ServableHandle(self)

    def release(self) -> None:
        """Takes note that a handle was closed."""
        with self._lock:
            self._num_handles -= 1
            if self._is_retired and not self._num_handles:
                self._released.notify_all()

    @property
    def num_handles(self) -> int:
        """How many handles are open."""
        with self._lock:
            return self._num_handles

    def retire(self, clock: clock_lib.Clock) -> None:
        """Gives out no more handles; returns once the last one is closed.

        Says every few seconds that it waits. To be called once nobody finds the
        servable any more.
        """
        start = clock.now()
        warning_time = start + _SECONDS_BETWEEN_WARNINGS
        with self._lock:
            self._is_retired = True
        while num_handles := self._wait(clock, warning_time):
            if clock.now() < warning_time:
                continue
            logging.warning(
                "Unloading %s waits for %d open handles, since %.0f s",
                self.id,
                num_handles,
                clock.now() - start,
            )
            warning_time += _SECONDS_BETWEEN_WARNINGS
        self.servable = None

    def _wait(self, clock: clock_lib.Clock, deadline: float) -> int:
        """Waits for the last handle; returns how many there are still."""
        with self._lock:
            if self._num_handles:
                clock.wait_until(self._released, deadline)
            return self._num_handles
