"""Progress of something that takes a while, on standard error."""

import sys
import time
from typing import Protocol, TextIO

import tqdm

_SECONDS_BETWEEN_LINES = 2.0


class ProgressBar(Protocol):
    """The part of the bars of tqdm that is used."""

    total: float | None

    def update(self, n: float = 1) -> object:
        """Says that n more are done."""

    def reset(self, total: float | None = None) -> None:
        """Starts again from 0."""

    def close(self) -> None:
        """Says that nothing more comes."""


class _Lines:
    """A ProgressBar for pipes and files: a line now and then."""

    def __init__(self, what: str, total: float, unit: str, out: TextIO) -> None:
        self.total: float | None = total
        self._what = what
        self._unit = unit
        self._out = out
        self._done = 0.0
        self._line_time = time.monotonic()

    def update(self, n: float = 1) -> object:
        """See ProgressBar."""
        self._done += n
        now = time.monotonic()
        if now - self._line_time >= _SECONDS_BETWEEN_LINES:
            self._line_time = now
            print(
                f"{self._what}: {self._done:.0f} of {self.total or 0:.0f} "
                f"{self._unit}",
                file=self._out,
                flush=True,
            )
        return None

    def reset(self, total: float | None = None) -> None:
        """See ProgressBar."""
        self._done = 0.0
        if total is not None:
            self.total = total

    def close(self) -> None:
        """See ProgressBar."""


def bar(
    what: str, total: float, unit: str, out: TextIO | None = None
) -> ProgressBar:
    """Returns a bar on a terminal, and plain lines elsewhere.

    Nothing is shown of what is done within two seconds, but on a terminal.

    Args:
      what: What is being done.
      total: How many units there are.
      unit: What is counted, in the plural.
      out: Where to write; standard error by default.
    """
    out = out or sys.stderr
    if out.isatty():
        bar: ProgressBar = tqdm.tqdm(
            desc=what, total=total, unit=f" {unit}", file=out, leave=False
        )
        return bar
    return _Lines(what, total, unit, out)
