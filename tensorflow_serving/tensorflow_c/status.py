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
_SHAPE: Final = r"\[[\d,]*\]"
_NAME: Final = r"[\w./:-]+"
# The name of a feature is that which the model looks for in Examples.
_FEATURE: Final = r"Name: <unknown>, (?:Feature|Key): [^,]+"
# Causes that say nothing but shapes, or name parts of the graph.
_WITHOUT_VALUES: Final = re.compile(
    r"required broadcastable shapes|"
    rf"Incompatible shapes: {_SHAPE} vs\. {_SHAPE}|"
    rf"Matrix size-incompatible: In\[0\]: {_SHAPE}, In\[1\]: {_SHAPE}|"
    r"ConcatOp : Dimension \d+ in both shapes must be equal: "
    rf"shape\[\d+\] = {_SHAPE} vs\. shape\[\d+\] = {_SHAPE}|"
    rf"You must feed a value for placeholder tensor '{_NAME}' with dtype \w+"
    r"( and shape \[[\d,?]*\])?|"
    rf"Error while reading resource variable {_NAME} from Container: "
    rf"{_NAME}\. This could mean that the variable was uninitialized\. .*|"
    rf"Attempting to use uninitialized value {_NAME}|"
    rf"{_FEATURE} \(data type: \w+\) is required but could not be found\.|"
    rf"{_FEATURE}, Index: \d+\.\s+Data types don't match\. "
    r"Data type: \w+ but expected type: \w+|"
    rf"{_FEATURE}, Index: \d+\.\s+Number of \w+ values != expected\.\s+"
    rf"Values size: \d+ but output shape: {_SHAPE}|"
    r"Table not initialized\.?"
)
# How texts with values begin, and what they say.
_MEANINGS: Final = {
    "Could not parse example input": "a serialized Example is not one",
    "Dimension -": "a dimension is negative",
    "Input to reshape": "a tensor has too few or too many values",
    "Integer division by zero": "an integer is divided by zero",
    "Invalid character found in base64": "a string is not base64",
    "Invalid pattern": "a regular expression is not valid",
    "Name: ": "an Example does not have the features of the model",
    "OOM when allocating": "there is not enough memory for a tensor",
    "StringToNumberOp": "a string is not a number",
    "Unknown image file format": "an image has an unknown format",
    "assertion failed": "an assertion of the model does not hold",
    "indices": "an index is out of range",
}
_UNKNOWN: Final = "TensorFlow's text may hold values, and is left out"


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

    def check(self, *, hides_values: bool = False) -> None:
        """Raises the error with the code of the status, unless it is OK.

        Args:
          hides_values: Whether its text must have no values; see
            to_run_error().

        Raises:
          ServingError: What went wrong, in one line.
        """
        code = self._functions.TF_GetCode(self.pointer)
        if code != errors.StatusCode.OK:
            message = self._functions.TF_Message(self.pointer)
            convert = to_run_error if hides_values else to_error
            raise convert(code, message.decode(errors="replace"))

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
    cause = _cause(message)
    if cause:
        return errors.from_code(code, cause)
    return errors.from_code(code, type(errors.from_code(code, "")).__name__)


def to_run_error(code: int, message: str) -> errors.ServingError:
    """Returns the error of a run on values that are nobody's business.

    TensorFlow writes values into its texts: "StringToNumberOp could not
    correctly convert string: <the string>". Those of a batch belong to several
    callers, each of whom would read the values of others. So the text has the
    cause in words of its own, or as it is if that is about shapes or about
    the graph.

    Args:
      code: A canonical code other than OK.
      message: What TensorFlow says, in any number of lines.
    """
    cause = _cause(message)
    if not _WITHOUT_VALUES.fullmatch(cause):
        known = [
            meaning
            for beginning, meaning in _MEANINGS.items()
            if cause.startswith(beginning)
        ]
        cause = known[0] if known else _UNKNOWN
    text = f"The model failed on this call: {cause.rstrip('.')}."
    return errors.from_code(code, text)


def _cause(message: str) -> str:
    """Returns the line that says what went wrong, or an empty text."""
    for line in message.splitlines():
        text = line.strip()
        if text and not _WRAPPING.search(text):
            return _NUMBERED.sub("", text)[:_MAX_CHARACTERS]
    return ""
