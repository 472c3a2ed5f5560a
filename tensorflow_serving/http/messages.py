"""Requests and responses of HTTP, whole ones."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final

from typing_extensions import Self

from tensorflow_serving.util import errors

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
_STATUSES: Final = {
    errors.StatusCode.OK: 200,
    errors.StatusCode.CANCELLED: 499,
    errors.StatusCode.INVALID_ARGUMENT: 400,
    errors.StatusCode.DEADLINE_EXCEEDED: 504,
    errors.StatusCode.NOT_FOUND: 404,
    errors.StatusCode.ALREADY_EXISTS: 409,
    errors.StatusCode.PERMISSION_DENIED: 403,
    errors.StatusCode.UNAUTHENTICATED: 401,
    errors.StatusCode.RESOURCE_EXHAUSTED: 429,
    errors.StatusCode.FAILED_PRECONDITION: 400,
    errors.StatusCode.ABORTED: 409,
    errors.StatusCode.OUT_OF_RANGE: 400,
    errors.StatusCode.UNIMPLEMENTED: 501,
    errors.StatusCode.UNAVAILABLE: 503,
}
_OTHER_STATUS: Final = 500


@dataclasses.dataclass(slots=True)
class Notes:
    """The outcome of a request, for those who want it; see Options.on_end."""

    # The error that the response tells of.
    error: errors.ServingError | None = None
    # Whatever the handler wants to be found.
    call: object = None

    def keep(self, error: errors.ServingError) -> None:
        """Keeps an error without its traceback.

        The frames of that would keep the body of the request, and each other,
        until the next collection of garbage.
        """
        error.__context__ = None
        self.error = error.with_traceback(None)


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A request, once all of it is there."""

    method: str
    # As it was sent, with percent signs and without a query.
    path: str
    # By lower-case name; of several of a name the last one.
    headers: Mapping[str, str]
    # Without its compression.
    body: bytes
    notes: Notes = dataclasses.field(default_factory=Notes)

    def with_body(self, body: bytes) -> Self:
        """Returns the request with its body; the notes stay the same ones."""
        # A fifth of the time of dataclasses.replace(), for each request.
        return type(self)(
            self.method, self.path, self.headers, body, self.notes
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """A response; it is compressed on its way if the client wants that."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


# Makes the response to a request that failed.
ErrorResponse = Callable[[errors.ServingError], Response]


class BodyTooLargeError(errors.ResourceExhaustedError):
    """The body of a request is larger than the limit. Permanent."""


class HeadTooLargeError(errors.ResourceExhaustedError):
    """The head of a request is larger than the limit. Permanent."""


_TOO_LARGE: Final[Mapping[type, int]] = {
    BodyTooLargeError: 413,
    HeadTooLargeError: 431,
}


def status(error: errors.ServingError) -> int:
    """Returns the status of HTTP for an error."""
    return _TOO_LARGE.get(type(error)) or _STATUSES.get(
        error.code, _OTHER_STATUS
    )
