"""A method with streams of messages that does what a test says."""

import queue
import threading
from collections.abc import Callable

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors


class Requests:
    """The requests of a client, sent when the test says so."""

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def __iter__(self) -> "Requests":
        """Returns itself."""
        return self

    def __next__(self) -> bytes:
        """Waits for the next request."""
        request = self._requests.get()
        if request is None:
            raise StopIteration
        return request

    def send(self, request: bytes) -> None:
        """Sends a request."""
        self._requests.put(request)

    def end(self) -> None:
        """Ends the requests."""
        self._requests.put(None)


class PuppetChat:
    """The calls of a method, and what its callbacks were called with."""

    def __init__(self) -> None:
        self.calls: queue.Queue[call_lib.StreamCall] = queue.Queue()
        # The callbacks in order: requests, and names of the others.
        self.news: queue.Queue[bytes | str] = queue.Queue()
        # Released each time a call becomes writable.
        self.writable = threading.Semaphore(0)
        # Called when no call is at hand.
        self.on_idle: Callable[[], None] | None = None
        # The threads of all of this.
        self.threads: set[int] = set()

    def begin(self, call: call_lib.StreamCall) -> None:
        """Begins a call."""
        self.threads.add(threading.get_ident())
        if ("mood", "bad") in list(call.metadata):
            raise errors.NotFoundError("no such chat")
        if ("mood", "worse") in list(call.metadata):
            raise SystemExit("secret")
        call.on_request = self._record
        call.on_requests_end = lambda: self._record("end")
        call.on_cancelled = lambda: self.news.put("cancelled")
        call.on_writable = self._on_writable
        call.on_drain = lambda: self.news.put("drain")
        self.calls.put(call)

    def when_idle(self) -> None:
        """Works, once."""
        on_idle, self.on_idle = self.on_idle, None
        if on_idle is not None:
            self.threads.add(threading.get_ident())
            on_idle()

    def _record(self, news: bytes | str) -> None:
        self.threads.add(threading.get_ident())
        self.news.put(news)
        if news == b"raise":
            raise errors.AbortedError("enough")
        if news == b"break":
            raise ZeroDivisionError("secret")

    def _on_writable(self) -> None:
        self.threads.add(threading.get_ident())
        self.writable.release()
