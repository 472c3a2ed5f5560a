"""Waiting for the signal that ends a program."""

import os
import signal
import types

_TERMINATION = (signal.SIGINT, signal.SIGTERM)


class Termination:
    """SIGTERM and Ctrl-C, once this object exists.

    The first of them is for wait(); the next one ends the program at once,
    unless it is told to ignore that. Make it in the main thread, once in a
    program.
    """

    def __init__(self, *, ignores_the_next: bool = False) -> None:
        """Takes over both signals.

        Args:
          ignores_the_next: For a process that somebody else ends if it takes
            too long, and that may get the first signal twice: from there, and
            with its group.
        """
        self._ignores_the_next = ignores_the_next
        # The system writes to it, whichever thread a signal comes to. A Python
        # handler alone would run only when the main thread next runs Python,
        # which it does not while it waits.
        self._received, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup)
        for each in _TERMINATION:
            signal.signal(each, _ignore)

    def wait(self) -> str:
        """Blocks until a signal came; returns its name."""
        while (number := os.read(self._received, 1)[0]) not in _TERMINATION:
            pass
        if not self._ignores_the_next:
            for each in _TERMINATION:
                signal.signal(each, signal.SIG_DFL)
        return signal.Signals(number).name


def _ignore(number: int, frame: types.FrameType | None) -> None:
    """Does nothing; the signal is in the pipe already."""
