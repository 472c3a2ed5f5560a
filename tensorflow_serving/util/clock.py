"""Time as something that is passed in, so that tests decide when it passes."""

import threading
import time
from typing import Final, Protocol


class Clock(Protocol):
    """A monotonic clock in float seconds, and the ways to wait on it."""

    def now(self) -> float:
        """Returns seconds since an arbitrary, fixed moment."""

    def sleep(self, seconds: float) -> None:
        """Blocks the calling thread for that long."""

    def wait_until(
        self, condition: threading.Condition, deadline: float | None
    ) -> None:
        """Waits for a notification, at most until the deadline.

        Like Condition.wait it may return early for no reason; callers look at
        their state again.

        Args:
          condition: Held by the caller; released while waiting.
          deadline: A value of now(); None, or infinity, to wait without end.
        """


class MonotonicClock:
    """The real clock. Thread-safe: it has no state."""

    def now(self) -> float:
        """See Clock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See Clock."""
        time.sleep(seconds)

    def wait_until(
        self, condition: threading.Condition, deadline: float | None
    ) -> None:
        """See Clock."""
        if deadline is None:
            condition.wait()
        else:
            seconds = max(0.0, deadline - self.now())
            condition.wait(min(seconds, threading.TIMEOUT_MAX))


MONOTONIC: Final[Clock] = MonotonicClock()
