"""Handles: a servable that cannot be unloaded while it is in use."""

import collections
import sys
import types
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from absl import logging

from tensorflow_serving.core import servable

T = TypeVar("T")

# At most this many places are listed where open handles were taken.
_MAX_PLACES: Final = 3


class ServableHandle(Generic[T]):
    """Keeps a version loaded until it is closed.

        with manager.get_servable_handle(request, Classifier) as handle:
            handle.servable.classify(images)

    Hold it for one request or batch: an unload waits for it. Two handles are
    equal if they are of the same version of the same object. One that is
    dropped without close() closes itself, and the log says where it was taken.

    A context manager that closes itself. One thread at a time may use it.
    """

    __slots__ = ("_id", "_place", "_servable", "_shared")

    def __init__(self, shared: "SharedServable", place: "_Place") -> None:
        """Is called by SharedServable.acquire()."""
        self._shared: SharedServable | None = shared
        self._place = place
        self._id = shared.id
        self._servable: T = shared.servable

    def __repr__(self) -> str:
        """Returns the version, and whether the handle is open."""
        state = "closed" if self._shared is None else "open"
        return f"<ServableHandle {state}, {self._id}>"

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
            shared.release(self._place)

    def __enter__(self) -> "ServableHandle[T]":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the handle."""
        self.close()

    def __del__(self) -> None:
        """Closes a handle that its owner forgot."""
        if self._shared is not None:
            self._shared.forget(self._place)

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
    """A loaded version, which knows its open handles.

    The garbage collector may drop a handle while its thread is anywhere, inside
    of this class too. So there is no lock: each change is one step of a
    built-in container, and whoever adds or removes a handle looks afterwards
    whether the servable is retired, as whoever retires it looks afterwards
    whether there are handles.

    Thread-safe.
    """

    def __init__(
        self, servable_id: servable.ServableId, servable_object: object
    ) -> None:
        """Takes a servable that is loaded."""
        self.id = servable_id
        # Any: what it is, only its users know.
        self.servable: Any = servable_object
        # One for each open handle.
        self._open: set[_Place] = set()
        # The places of handles that were dropped; not in the log yet.
        self._forgotten: collections.deque[_Place] = collections.deque()
        self._is_retired = False
        # Whom to notify once a retired servable has no handle.
        self._callbacks: list[Callable[[], object]] = []

    def acquire(self) -> ServableHandle[object] | None:
        """Returns a new handle; None if the servable is retired."""
        place = _Place.of_caller()
        self._open.add(place)
        if self._is_retired:
            self.release(place)
            return None
        if self._forgotten:
            self.log_forgotten()
        return ServableHandle(self, place)

    def release(self, place: "_Place") -> None:
        """Removes a handle that was closed."""
        self._open.discard(place)
        if self._is_retired:
            self._notify()

    def forget(self, place: "_Place") -> None:
        """Removes a handle that was dropped. May be called by a finalizer."""
        self._forgotten.append(place)
        self.release(place)

    @property
    def num_handles(self) -> int:
        """How many handles are open."""
        return len(self._open)

    def retire(self, on_released: Callable[[], object]) -> None:
        """Gives out no further handles, and calls back after the last one.

        To be called once nobody finds the servable. Calls back from here if
        there is no handle, else from the thread that closes the last one.

        Args:
          on_released: Must not block, nor need a lock: a finalizer may call it.
        """
        self._callbacks.append(on_released)
        self._is_retired = True
        self._notify()

    def places(self) -> str:
        """Returns where some of the open handles were taken."""
        texts = sorted({str(place) for place in list(self._open)})
        return ", ".join(texts[:_MAX_PLACES])

    def log_forgotten(self) -> None:
        """Logs which handles were dropped since the last time."""
        while self._forgotten:
            logging.warning(
                "A handle on %s was dropped without being closed; it was taken "
                "at %s",
                self.id,
                self._forgotten.popleft(),
            )

    def _notify(self) -> None:
        """Calls back, each callback once, if there is no handle."""
        while not self._open and self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return  # another thread was quicker
            self.servable = None
            callback()


class _Place:
    """Where a handle was taken; equal to nothing but itself."""

    __slots__ = ("_code", "_line")

    def __init__(self, code: types.CodeType, line: int) -> None:
        self._code = code
        self._line = line

    @classmethod
    def of_caller(cls) -> "_Place":
        """Returns the place outside of core that called."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get(
            "__name__", ""
        ).startswith("tensorflow_serving.core."):
            frame = frame.f_back
        return cls(frame.f_code, frame.f_lineno)

    def __str__(self) -> str:
        """Returns what logs show."""
        return f"{self._code.co_filename}:{self._line}"
