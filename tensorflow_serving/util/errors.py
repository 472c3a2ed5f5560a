"""The error family: one class for each canonical status code.

The text of every error is safe to show to a client: no stack trace, no dump of
a message, no value of a tensor. It has the form "<what> must be <rule>; got
<value>" where a rule was broken.

Codes and their meaning: https://grpc.io/docs/guides/status-codes/
"""

import enum
from typing import ClassVar, Final


class StatusCode(enum.IntEnum):
    """The canonical codes, with the numbers that gRPC and TensorFlow use."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ServingError(RuntimeError):
    """The errors of this project: a call, a file or a setting is at fault.

    A RuntimeError, because that is what the original's Python code raised.
    """

    code: ClassVar[StatusCode] = StatusCode.UNKNOWN


class CancelledError(ServingError):
    """The caller gave up. Permanent."""

    code = StatusCode.CANCELLED


class UnknownError(ServingError):
    """An error of which nothing more is known. Permanent."""

    code = StatusCode.UNKNOWN


class InvalidArgumentError(ServingError):
    """The request is wrong, whatever the state of the server. Permanent."""

    code = StatusCode.INVALID_ARGUMENT


class DeadlineExceededError(ServingError):
    """The deadline of the caller has passed. Transient."""

    code = StatusCode.DEADLINE_EXCEEDED


class NotFoundError(ServingError):
    """The requested thing does not exist. Permanent."""

    code = StatusCode.NOT_FOUND


class AlreadyExistsError(ServingError):
    """The thing to be made exists already. Permanent."""

    code = StatusCode.ALREADY_EXISTS


class PermissionDeniedError(ServingError):
    """The operation is not offered to callers. Permanent."""

    code = StatusCode.PERMISSION_DENIED


class ResourceExhaustedError(ServingError):
    """Something needed has run out, such as memory. Transient."""

    code = StatusCode.RESOURCE_EXHAUSTED


class FailedPreconditionError(ServingError):
    """The system is not in the state that the operation needs. Permanent."""

    code = StatusCode.FAILED_PRECONDITION


class AbortedError(ServingError):
    """The operation was aborted, for example by a conflict. Transient."""

    code = StatusCode.ABORTED


class OutOfRangeError(ServingError):
    """The operation went past the valid range. Permanent."""

    code = StatusCode.OUT_OF_RANGE


class UnimplementedError(ServingError):
    """The operation is not implemented. Permanent."""

    code = StatusCode.UNIMPLEMENTED


class InternalError(ServingError):
    """A broken invariant: a fault of the server or of its model. Permanent."""

    code = StatusCode.INTERNAL


class UnavailableError(ServingError):
    """The service cannot take the call now; try again. Transient."""

    code = StatusCode.UNAVAILABLE


class DataLossError(ServingError):
    """Data is missing or corrupt. Permanent."""

    code = StatusCode.DATA_LOSS


class UnauthenticatedError(ServingError):
    """The caller has no valid credentials. Permanent."""

    code = StatusCode.UNAUTHENTICATED


_CLASSES: dict[int, type[ServingError]] = {
    error.code: error for error in ServingError.__subclasses__()
}


def from_code(code: int, message: str) -> ServingError:
    """Returns the error for a canonical code other than OK.

    Args:
      code: A number of StatusCode; an unknown one gives an UnknownError.
      message: The text of the error; safe to show to a client.
    """
    return _CLASSES.get(code, UnknownError)(message)


def copy_of(error: ServingError) -> ServingError:
    """Returns an error with the code and the text of another, and no stack.

    The stack of an error lives as long as the error, and with it whatever its
    frames refer to, such as half a model. An error that several threads raise
    must be a copy for each: its stack would be that of all of them.
    """
    return from_code(error.code, str(error))


# The codes of the classes above that say so.
_TRANSIENT_CODES = {
    StatusCode.ABORTED,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.RESOURCE_EXHAUSTED,
    StatusCode.UNAVAILABLE,
}


def is_transient(error: ServingError) -> bool:
    """Returns whether what failed may go well when it is tried again."""
    return error.code in _TRANSIENT_CODES


# More of a text would not fit where clients look for it: gRPC refuses large
# trailers as a whole, the code included.
MAX_TEXT_BYTES: Final = 1024


def short_text(error: ServingError) -> str:
    """Returns the text of an error as UTF-8 can hold it, cut to 1,024 bytes."""
    data = str(error).encode("utf-8", "replace")
    return data[:MAX_TEXT_BYTES].decode("utf-8", "ignore")


def reason(error: Exception) -> str:
    """Returns what the system says of an error, without number and path."""
    return getattr(error, "strerror", None) or str(error)


def require_at_least(least: float, **values: float) -> None:
    """Raises InvalidArgumentError if one of the named values is too small."""
    for name, value in values.items():
        if not value >= least:  # NaN is neither above nor below
            raise InvalidArgumentError(
                f"{name} must be at least {least}; got {value}"
            )
