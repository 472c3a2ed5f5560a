"""A limit for log lines of one kind, which a fault may cause with each call."""

import re
from typing import Final

# At most this many lines of one kind, within this many seconds.
_MAX_LINES: Final = 10
_WINDOW_SECONDS: Final = 10.0
# How many kinds are remembered.
_MAX_KINDS: Final = 1_000

_NUMBER = re.compile(r"[0-9]+")


class LineLimit:
    """Lets ten lines of a kind pass in ten seconds, and counts the others.

    Lines that differ in nothing but numbers are of one kind, such as those
    about each batch of a model that fails. Not thread-safe.
    """

    def __init__(self) -> None:
        """Has seen no line."""
        self._windows: dict[str, _Window] = {}

    def admit(self, line: str, now: float) -> str | None:
        """Returns the line to write; None if there were too many.

        The first line after some that were left out says how many.

        Args:
          line: What is to be logged.
          now: The time in seconds, of a clock that may be set back.
        """
        kind = _NUMBER.sub("0", line)
        window = self._windows.get(kind)
        if window is None or not 0 <= now - window.start < _WINDOW_SECONDS:
            num_left_out = window.num_left_out if window else 0
            if window is None and len(self._windows) >= _MAX_KINDS:
                self._windows.clear()
            self._windows[kind] = _Window(now)
            if num_left_out:
                return f"{line} (left out before: {num_left_out} of this kind)"
            return line
        if window.num_lines >= _MAX_LINES:
            window.num_left_out += 1
            return None
        window.num_lines += 1
        return line


class _Window:
    """The lines of a kind since a time."""

    __slots__ = ("num_left_out", "num_lines", "start")

    def __init__(self, start: float) -> None:
        self.start = start
        self.num_lines = 1
        self.num_left_out = 0
