"""Waiting for the signal that ends a program."""

import queue
import signal
import types


class Termination:
    """SIGTERM and Ctrl-C, once this object exists.

    The first of them is for wait(); the next one ends the program at once.
    Make it in the main thread.
    """

    def __init__(self) -> None:
        """Takes over both signals."""
        # A queue whose put() may be called by a signal handler.
        self._received: queue.SimpleQueue[str] = queue.SimpleQueue()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def wait(self) -> str:
        """Blocks until a signal came; returns its name."""
        return self._received.get()

    def _receive(self, number: int, frame: types.FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        self._received.put(signal.Signals(number).name)
