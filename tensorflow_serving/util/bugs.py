"""Exceptions that nobody expects: they are logged, and not shown to clients."""

from absl import logging

from tensorflow_serving.util import errors


def as_serving_error(what: str, error: BaseException) -> errors.ServingError:
    """Returns an error that may be shown to a client.

    A ServingError is returned as it is. Anything else is a bug of the code that
    raised it: it is logged with its stack, and the text of the InternalError
    names only its class; if it is a MemoryError, it is no bug, and becomes a
    ResourceExhaustedError.

    Args:
      what: The work that failed, such as "loading {name: a version: 1}".
      error: The exception that ended the work.
    """
    if isinstance(error, errors.ServingError):
        return error
    logging.error("%s failed", what[:1].upper() + what[1:], exc_info=error)
    if isinstance(error, MemoryError):
        return errors.ResourceExhaustedError(
            f"There is not enough memory for {what}."
        )
    return errors.InternalError(
        f"{what} failed with a {type(error).__name__}; see the log"
    )
