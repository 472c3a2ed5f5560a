"""Output ports: where source adapters and source routers put versions out."""

import threading
from typing import Generic, TypeVar

from typing_extensions import override

from tensorflow_serving.core import source
from tensorflow_serving.util import errors

T = TypeVar("T")


class OutputPort(source.Source[T], Generic[T]):
    """A source for its owner to speak through, once somebody listens.

    Thread-safe.
    """

    def __init__(self) -> None:
        """Makes a port that is not connected."""
        self._lock = threading.Lock()
        # The port was connected or closed. Wakes wait_for_callback().
        self._changed = threading.Condition(self._lock)
        # All guarded by _lock.
        self._callback: source.AspiredVersionsCallback[T] | None = None
        self._is_closed = False

    @override
    def set_aspired_versions_callback(
        self, callback: source.AspiredVersionsCallback[T]
    ) -> None:
        with self._lock:
            if self._callback is not None:
                raise errors.FailedPreconditionError(
                    "The source already has a target."
                )
            self._callback = callback
            self._changed.notify_all()

    def wait_for_callback(self) -> source.AspiredVersionsCallback[T] | None:
        """Waits until the port is connected; returns None once it is closed."""
        with self._lock:
            while self._callback is None and not self._is_closed:
                self._changed.wait()
            return None if self._is_closed else self._callback

    def close(self) -> None:
        """Ends all waiting, for good. Idempotent."""
        with self._lock:
            self._is_closed = True
            self._changed.notify_all()
