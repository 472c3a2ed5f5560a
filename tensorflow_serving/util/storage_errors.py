"""Faults of the storage while a version is read, as errors of the family.

Only what is known to be missing is not worth another try: callers look for that
first, and leave all else to this module.

Example:
    with storage_errors.converted(path):
        data = file.read()
"""

import contextlib
from collections.abc import Iterator

from tensorflow_serving.util import errors


@contextlib.contextmanager
def converted(path: str) -> Iterator[None]:
    """Turns an OSError of a block that reads files into UNAVAILABLE.

    Args:
      path: The version, or the file, that is named in addition.
    """
    try:
        yield
    except OSError as error:
        raise errors.UnavailableError(f"{unreadable(error)}: {path}") from None


def unreadable(error: OSError) -> errors.UnavailableError:
    """Returns the error for files that the storage does not give now."""
    return errors.UnavailableError(
        f"Files of a version must be readable; got {error}"
    )
