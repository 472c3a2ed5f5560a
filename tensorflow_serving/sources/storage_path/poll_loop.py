"""The thread of a source, and the times at which it polls."""

import math
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from tensorflow_serving.sources.storage_path import tracked_version
from tensorflow_serving.util import clock as clock_lib

# A servable that there is always a reason to poll soon is polled this often.
_SECONDS_BETWEEN_HURRIES: Final = tracked_version.SETTLE_SECONDS


class PollLoop:
    """Has servables polled when they are due, each at a time of its own.

    The thread runs while a servable has a time. It is started by whoever has a
    reason to poll, and ends when nothing is left to wait for.

    Thread-safe.
    """

    def __init__(
        self, poll: Callable[[], None], clock: clock_lib.Clock, name: str
    ) -> None:
        """Starts without a thread.

        Args:
          poll: Called on the thread when a servable is due; polls what
            take_due() returns.
          clock: Says what time it is.
          name: The name of the thread.
        """
        self._poll = poll
        self._clock = clock
        self._name = name
        # There is a new first time, or the loop is closed. Wakes the thread.
        self._news = threading.Condition(threading.Lock())
        # All guarded by _news.
        self._due_times: dict[str, float] = {}
        # The times that hurry() has set last.
        self._hurries: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._is_running = False
        self._is_closed = False

    def start_over(self, names: Iterable[str]) -> None:
        """Has these servables polled at once, and no others."""
        with self._news:
            self._due_times = dict.fromkeys(names, self._clock.now())
            self._wake()

    def hurry(self, name: str) -> None:
        """Has a servable polled at once, but not again and again."""
        with self._news:
            time = max(
                self._clock.now(),
                self._hurries.get(name, -math.inf) + _SECONDS_BETWEEN_HURRIES,
            )
            self._hurries[name] = time
            self._set_by(name, time)
            self._wake()

    def poll_by(self, name: str, time: float) -> None:
        """Has a servable polled at a time, if it is not due before.

        For whoever has polled it: a thread that waits is not woken.
        """
        with self._news:
            self._set_by(name, time)

    def take_due(self) -> Sequence[str]:
        """Returns which servables are due; they no longer have a time."""
        with self._news:
            now = self._clock.now()
            due = [
                name for name, time in self._due_times.items() if time <= now
            ]
            for name in due:
                del self._due_times[name]
            return due

    def clear(self, names: Iterable[str]) -> None:
        """Takes the times of servables away.

        To be called before they are polled: what comes meanwhile sets others.
        """
        with self._news:
            for name in names:
                self._due_times.pop(name, None)

    def forget(self, name: str) -> None:
        """Forgets a servable that is not polled any longer."""
        with self._news:
            self._due_times.pop(name, None)
            self._hurries.pop(name, None)

    def close(self) -> None:
        """Begins no further poll, without waiting for one. Idempotent."""
        with self._news:
            self._is_closed = True
            self._news.notify_all()

    def join(self) -> None:
        """Waits for the thread, after close()."""
        with self._news:
            thread = self._thread
        if thread is not None:
            thread.join()

    def _set_by(self, name: str, time: float) -> None:
        """Sets a time, if there is none before; needs the lock."""
        self._due_times[name] = min(time, self._due_times.get(name, math.inf))

    def _wake(self) -> None:
        """Has the thread look at the times, or starts it; needs the lock."""
        self._news.notify_all()
        if not self._is_running and not self._is_closed:
            self._is_running = True
            self._thread = threading.Thread(target=self._run, name=self._name)
            self._thread.start()

    def _run(self) -> None:
        """Runs on the thread."""
        while self._wait_until_due():
            self._poll()

    def _wait_until_due(self) -> bool:
        """Returns whether to poll, when it is time to."""
        with self._news:
            while not self._is_closed and self._due_times:
                time = min(self._due_times.values())
                if self._clock.now() >= time:
                    return True
                self._clock.wait_until(self._news, time)
            self._is_running = False
            return False
