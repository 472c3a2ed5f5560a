"""One thread that waits for sockets, for time, and for work of other threads.

    loop = EventLoop()
    loop.watch(sock, loop.READ, on_ready)
    loop.call_at(loop.now + 5, on_time)
    while not loop.is_stopped:  # another thread calls loop.post(loop.stop)
        loop.run_once()

Linux: it stands on epoll and eventfd.
"""

import collections
import math
import os
import select
import threading
import time
from collections.abc import Callable
from typing import Final

from absl import logging

from tensorflow_serving.util import deadlines

Callback = Callable[[], None]
# Called with the events that a socket is ready for.
OnReady = Callable[[int], None]

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT

# The longest time that epoll is asked to wait; it has a limit of 24 days.
_MAX_SECONDS = 3600.0


class EventLoop:
    """Calls back what is due, all on the thread that calls run_once().

    A callback that raises is logged, and costs nothing but itself.

    post() and close() are thread-safe; all else is for that thread, and for the
    time before its first round. Between two rounds another thread may take its
    place.
    """

    def __init__(self) -> None:
        """Watches nothing yet."""
        self._epoll = select.epoll()
        self._on_ready: dict[int, OnReady] = {}
        self._timers = deadlines.Deadlines[Callback]()
        # Written by any thread, with single operations, which are atomic.
        self._posted: collections.deque[Callback] = collections.deque()
        self._is_woken = False
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wakeup, READ)
        self._on_ready[self._wakeup] = self._clear_wakeup
        # Keeps a post() that comes late from a descriptor that is closed.
        self._closing_lock = threading.Lock()
        # Whether stop() was called.
        self.is_stopped = False
        # The time at which the present round began.
        self.now = time.monotonic()

    def watch(self, fd: int, events: int, on_ready: OnReady) -> None:
        """Calls back whenever a descriptor is ready; READ, WRITE or both."""
        self._epoll.register(fd, events)
        self._on_ready[fd] = on_ready

    def rewatch(self, fd: int, events: int) -> None:
        """Changes what a descriptor is watched for; 0: for its end only."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Watches a descriptor no longer; to be called before it is closed."""
        self._epoll.unregister(fd)
        del self._on_ready[fd]

    def call_at(self, deadline: float, callback: Callback) -> int:
        """Calls back once, at a time; returns a ticket for cancel()."""
        return self._timers.push(deadline, callback)

    def cancel(self, ticket: int) -> None:
        """Forgets a callback of call_at(), if it was not called yet."""
        self._timers.discard(ticket)

    def post(self, callback: Callback) -> None:
        """Calls back soon. Wakes the thread at most once in a round.

        Without effect once the loop is closed.
        """
        self._posted.append(callback)
        if not self._is_woken:
            self._is_woken = True
            with self._closing_lock:
                if not self._epoll.closed:
                    os.eventfd_write(self._wakeup, 1)

    def stop(self) -> None:
        """Says that no further round is wanted."""
        self.is_stopped = True

    def run_once(self, max_seconds: float = math.inf) -> None:
        """Waits for something that is due, and calls it back.

        Args:
          max_seconds: How long to wait at the most.
        """
        if self._posted:
            max_seconds = 0.0
        for fd, events in self._poll(max_seconds):
            # A callback before this one may have ended it.
            on_ready = self._on_ready.get(fd)
            if on_ready is not None:
                try:
                    on_ready(events)
                except Exception:
                    logging.exception("A socket's callback failed")
        if self._timers:
            for callback in self._timers.pop_expired(self.now):
                self._call(callback)
        # Not those that are posted meanwhile: sockets come first again.
        for _ in range(len(self._posted)):
            self._call(self._posted.popleft())

    def close(self) -> None:
        """Frees what the loop holds, after its last round. Idempotent."""
        with self._closing_lock:
            if not self._epoll.closed:
                self._epoll.close()
                os.close(self._wakeup)

    def _poll(self, max_seconds: float) -> list[tuple[int, int]]:
        timers = self._timers
        if timers:
            max_seconds = min(
                max_seconds, max(0.0, timers.next_deadline - time.monotonic())
            )
        # Rounded up to a millisecond by Python, and so never too early.
        ready = self._epoll.poll(
            None if max_seconds == math.inf else min(max_seconds, _MAX_SECONDS)
        )
        self.now = time.monotonic()
        return ready

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:
            logging.exception("A callback failed")

    def _clear_wakeup(self, events: int) -> None:
        os.eventfd_read(self._wakeup)
        # First: what is posted from now on wakes the thread again.
        self._is_woken = False
