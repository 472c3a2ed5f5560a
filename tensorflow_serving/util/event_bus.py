"""Events that one part of a program publishes to others."""

import dataclasses
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from absl import logging

from tensorflow_serving.util import clock as clock_lib

E = TypeVar("E")


@dataclasses.dataclass(frozen=True)
class EventAndTime(Generic[E]):
    """An event, and when it was published."""

    event: E
    # Seconds of the clock of the bus.
    time: float


Callback = Callable[[EventAndTime[E]], None]


class EventBus(Generic[E]):
    """Passes each event to each subscriber, on the thread that publishes it.

        with bus.subscribe(lambda event_and_time: ...):
            bus.publish(event)

    All subscribers get the events one after the other and in one order. A
    callback must be quick and must not publish, subscribe or unsubscribe.
    Exceptions are logged and do not reach other subscribers.

    Thread-safe.
    """

    def __init__(self, clock: clock_lib.Clock = clock_lib.MONOTONIC) -> None:
        """Makes a bus without subscribers."""
        self._clock = clock
        # Held while callbacks run: their order is that of the events, and a
        # subscription that is closed is not in use.
        self._lock = threading.Lock()
        # In order of subscription; guarded by _lock.
        self._callbacks: dict[object, Callback[E]] = {}

    def subscribe(self, callback: Callback[E]) -> "Subscription":
        """Calls back for each event until the subscription is closed."""
        subscription = Subscription(self._unsubscribe)
        with self._lock:
            self._callbacks[subscription] = callback
        return subscription

    def publish(self, event: E) -> None:
        """Calls all subscribers, and returns after the last of them."""
        with self._lock:
            event_and_time = EventAndTime(event, self._clock.now())
            for callback in self._callbacks.values():
                try:
                    callback(event_and_time)
                except BaseException:
                    logging.exception("A subscriber failed on an event")

    def _unsubscribe(self, subscription: object) -> None:
        with self._lock:
            self._callbacks.pop(subscription, None)


class Subscription:
    """A subscription to an EventBus; a context manager that ends it."""

    def __init__(self, unsubscribe: Callable[[object], None]) -> None:
        """Use EventBus.subscribe() instead."""
        self._unsubscribe = unsubscribe

    def close(self) -> None:
        """Ends the subscription; waits for a callback that runs. Idempotent."""
        self._unsubscribe(self)

    def __enter__(self) -> "Subscription":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Ends the subscription."""
        self.close()
