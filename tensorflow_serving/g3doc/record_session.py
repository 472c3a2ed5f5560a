r"""Runs the commands of a section of a page, and draws a picture of them.

    bazel run //tensorflow_serving/g3doc:record_session -- \
        README.md "A minute with it" tensorflow_serving/g3doc/a_minute.svg

The programs are those in the data of this one. Builds are left out, and what
TensorFlow logs about the machine. Between commands it waits until the servers
have been silent for a while, as a reader would. Servers get a SIGTERM at the
end.
"""

import pathlib
import re
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Final

from absl import app

from tensorflow_serving.g3doc import session_picture
from tensorflow_serving.test_util import markdown_session
from tensorflow_serving.util import program

# Longer than a source takes to find a new version.
_SILENCE_SECONDS: Final = 2.0
# Lines of TensorFlow that do not look like a log begin with these.
_NOISE: Final = ("WARNING:", "To enable the following instructions:")
_LOG_LINE: Final = re.compile(r"[IWEF]\d{4} [\d:.]+ +\d+ (\w+\.\w+):\d+\] (.*)")

_Kind = markdown_session.Kind


class _Recorder:
    """The lines of a session with their times. Thread-safe."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        # There is one more line. Wakes who waits for silence.
        self._news = threading.Condition()
        # Guarded by _news.
        self._lines: list[session_picture.Line] = []

    @property
    def lines(self) -> Sequence[session_picture.Line]:
        """The lines so far."""
        with self._news:
            return tuple(self._lines)

    def add(self, kind: markdown_session.Kind, text: str) -> None:
        """Adds a text; a command waits until servers are silent."""
        if kind is _Kind.COMMAND:
            self._wait_for_silence()
        with self._news:
            for line in text.splitlines():
                shown = shown_line(kind, line)
                if shown:
                    seconds = time.monotonic() - self._start
                    self._lines.append(
                        session_picture.Line(seconds, kind, shown)
                    )
            self._news.notify_all()

    def _wait_for_silence(self) -> None:
        with self._news:
            if any(line.kind is _Kind.LOG for line in self._lines):
                while self._news.wait(_SILENCE_SECONDS):
                    pass


def shown_line(kind: markdown_session.Kind, line: str) -> str:
    """Returns a line as the picture shows it; "" if it does not."""
    if kind is _Kind.COMMAND:
        return "" if line.startswith("bazel build ") else line
    match = _LOG_LINE.match(line)
    if kind is _Kind.LOG:
        # Lines of TensorFlow come from other files, or have another form.
        return match[2] if match and match[1].endswith(".py") else ""
    return "" if match or line.startswith(_NOISE) else line


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 4:
        raise app.UsageError(
            "arguments must be a page, a section and a picture; got "
            f"{len(argv) - 1} arguments"
        )
    page, section, picture = argv[1:]
    recorder = _Recorder()
    with tempfile.TemporaryDirectory() as folder:
        markdown_session.run(
            page,
            workspace=pathlib.Path(__file__).parents[2],
            folder=folder,
            sections=[section],
            on_text=recorder.add,
        )
    pathlib.Path(picture).write_text(
        session_picture.svg(recorder.lines), encoding="utf-8"
    )


if __name__ == "__main__":
    program.run(main)
