"""A limit for log lines of one kind, which a fault may cause with each call."""

import re
from typing import Final

# At most this many lines of one kind, within this many seconds.
_MAX_LINES: Final = 10
_WINDOW_SECONDS: Final = 10.0
# How many kinds are remembered.
_MAX_KINDS: Final = 1_000

_NUMBER = re.compile(r"[0-9]+")


def kind(line: str) -> str:
    """Returns the text that all lines have which differ in numbers only."""
    return _NUMBER.sub("0", line)


class LineLimit:
    """Lets ten lines of a kind pass in ten seconds, and counts the others.

    Lines that differ in nothing but numbers are of one kind, such as those
    about each batch of a model that fails. A line that is the very same passes
    once. Not thread-safe.
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
        key = kind(line)
        window = self._windows.get(key)
        if window is None or not 0 <= now - window.start < _WINDOW_SECONDS:
            num_left_out = window.num_left_out if window else 0
            if window is None and len(self._windows) >= _MAX_KINDS:
                self._windows.clear()
            self._windows[key] = _Window(line, now)
            if num_left_out:
                return f"{line} (left out before: {num_left_out} of this kind)"
            return line
        if line in window.lines or len(window.lines) >= _MAX_LINES:
            window.num_left_out += 1
            return None
        window.lines.add(line)
        return line

    def seconds_to_counts(self, now: float) -> float | None:
        """Returns how long until counts() may have some; None if it will not.

        A window has its time although no line was left out so far: admit()
        wakes nobody when it leaves one out.
        """
        starts = [
            window.start
            for window in self._windows.values()
            if window.num_left_out or 0 <= now - window.start < _WINDOW_SECONDS
        ]
        if not starts:
            return None
        left = min(starts) + _WINDOW_SECONDS - now
        return min(max(left, 0.0), _WINDOW_SECONDS)

    def counts(self, now: float) -> list[str]:
        """Returns a line for each kind whose lines were left out, once.

        Lines of a kind may never come again, and then admit() cannot say it.

        Args:
          now: See admit().
        """
        lines = []
        for window in self._windows.values():
            if window.num_left_out and now - window.start >= _WINDOW_SECONDS:
                lines.append(
                    f"{window.first_line} (left out since: "
                    f"{window.num_left_out} of this kind)"
                )
                window.num_left_out = 0
        return lines


class _Window:
    """The lines of a kind since a time."""

    __slots__ = ("first_line", "lines", "num_left_out", "start")

    def __init__(self, line: str, start: float) -> None:
        self.start = start
        self.first_line = line
        # Those that passed.
        self.lines = {line}
        self.num_left_out = 0
