"""How a function of the C API went; an error is one of this project."""

import re
from typing import Final

from tensorflow_serving.tensorflow_c import library
from tensorflow_serving.util import errors

# Text that a session wraps around the cause: where the graph was built, which
# node ran, and how many errors came at once.
_WRAPPING = re.compile(
    r"Graph execution error|Detected at node|Node: |\d+ root error|"
    r"\[\[|Original stack trace|File \"|\(most recent call last\)"
)
_NUMBERED = re.compile(r"^\(\d+\) (?:[A-Z_]+: )?")
_MAX_CHARACTERS: Final = 1000


class Status:
    """The result of a function of the C API; a TF_Status.

        with Status() as status:
            functions.TF_CloseSession(session, status.pointer)
            status.check()

    May be used again. Not thread-safe.
    """

    __slots__ = ("_functions", "pointer")

    def __init__(self) -> None:
        """Makes one that is OK."""
        self._functions = library.load().functions
        # The pointer that functions of the C API take.
        self.pointer: int | None = self._functions.TF_NewStatus()

    def check(self) -> None:
        """Raises the error with the code of the status, unless it is OK.

        Raises:
          ServingError: What went wrong, in one line.
        """
        code = self._functions.TF_GetCode(self.pointer)
        if code != errors.StatusCode.OK:
            message = self._functions.TF_Message(self.pointer)
            raise to_error(code, message.decode(errors="replace"))

    def close(self) -> None:
        """Frees it. Idempotent."""
        pointer, self.pointer = self.pointer, None
        if pointer is not None:
            self._functions.TF_DeleteStatus(pointer)

    def __enter__(self) -> "Status":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Frees the status."""
        self.close()


# Those that nobody uses; as many as there were runs at the same time.
_idle: list[Status] = []


def acquire() -> Status:
    """Returns a status for a short time, in less of it than it takes to make.

    Give it back with release().
    """
    try:
        return _idle.pop()
    except IndexError:
        return Status()


def release(status: Status) -> None:
    """Takes back what acquire() gave."""
    _idle.append(status)


def to_error(code: int, message: str) -> errors.ServingError:
    """Returns the error with a code and with the cause in TensorFlow's text.

    The cause is the one line that says what went wrong. If there is none, the
    name of the error takes its place.

    Args:
      code: A canonical code other than OK.
      message: What TensorFlow says, in any number of lines.
    """
    for line in message.splitlines():
        text = line.strip()
        if text and not _WRAPPING.search(text):
            cause = _NUMBERED.sub("", text)[:_MAX_CHARACTERS]
            return errors.from_code(code, cause)
    name = type(errors.from_code(code, "")).__name__
    return errors.from_code(code, name)
