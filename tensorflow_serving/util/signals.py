"""Waiting for the signal that ends a program."""

import contextlib
import os
import select
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
        self._received, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        signal.set_wakeup_fd(self._wakeup)
        for each in _TERMINATION:
            signal.signal(each, _ignore)

    def wait(self) -> str:
        """Blocks until a signal came; returns its name."""
        while (name := self._read()) is None:
            pass
        return name

    def wait_or_woken(self, timeout_seconds: float) -> str | None:
        """Blocks until a signal came, wake() was called, or the time is over.

        Returns:
          The name of the signal; None if it was something else.
        """
        readable, _, _ = select.select(
            [self._received], [], [], max(0.0, timeout_seconds)
        )
        return self._read() if readable else None

    def wake(self) -> None:
        """Ends wait_or_woken(), now or when it is next called.

        Thread-safe. Does not block.
        """
        with contextlib.suppress(BlockingIOError):  # it will wake up anyway
            os.write(self._wakeup, b"\0")

    def _read(self) -> str | None:
        """Returns the next signal if it is one of those, or None."""
        number = os.read(self._received, 1)[0]
        if number not in _TERMINATION:
            return None
        if not self._ignores_the_next:
            for each in _TERMINATION:
                signal.signal(each, signal.SIG_DFL)
        return signal.Signals(number).name


def _ignore(number: int, frame: types.FrameType | None) -> None:
    """Does nothing; the signal is in the pipe already."""
