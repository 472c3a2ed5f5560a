"""News of models, for those who wait for them and for subscribers.

Example:
    news = ModelNews(lock)
    with news.subscribe(lambda name: ...):
        news.publish(["m"])
"""

import threading
from collections.abc import Callable, Iterable

from tensorflow_serving.rpc import call
from tensorflow_serving.util import event_bus


class ModelNews:
    """Publishes that models or their states have changed; see ServedModels.

    Subscribers are called before waits are woken, so that a condition can be
    about what a subscriber keeps.

    Thread-safe.
    """

    def __init__(self, lock: threading.RLock) -> None:
        """Has no news yet.

        Args:
          lock: Held while conditions of waits are looked at, which may take it
            themselves.
        """
        self._bus = event_bus.EventBus[str]()
        # Something was published, or _is_closed has changed. Wakes all waits.
        self._published = threading.Condition(lock)
        self._is_closed = False  # guarded by the lock

    @property
    def is_closed(self) -> bool:
        """Whether close() was called."""
        return self._is_closed

    def publish(self, names: Iterable[str]) -> None:
        """Says that something has changed; not to be called with the lock.

        Args:
          names: The models of which subscribers learn.
        """
        for name in names:
            self._bus.publish(name)
        with self._published:
            self._published.notify_all()

    def wait_until(
        self,
        is_over: Callable[[], bool],
        timeout_seconds: float,
        unwanted: call.Unwanted | None = None,
    ) -> bool:
        """Waits for a condition on models or states; returns whether it holds.

        Args:
          is_over: Asked again after each change; once this object is closed,
            its answer does not matter.
          timeout_seconds: How long to wait at most; 0 for any time.
          unwanted: Ends the wait once it is done; None: nothing else does.
        """
        if unwanted is not None:
            unwanted.add_done_callback(lambda _: self.publish(()))
        with self._published:
            return self._published.wait_for(
                lambda: (
                    self._is_closed
                    or (unwanted is not None and unwanted.done())
                    or is_over()
                ),
                timeout_seconds or None,
            )

    def subscribe(
        self, callback: Callable[[str], None]
    ) -> event_bus.Subscription:
        """Calls back with the name of a model whenever there is news of it."""
        return self._bus.subscribe(lambda event: callback(event.event))

    def close(self) -> None:
        """Ends all waits, now and later. Idempotent."""
        with self._published:
            self._is_closed = True
            self._published.notify_all()
