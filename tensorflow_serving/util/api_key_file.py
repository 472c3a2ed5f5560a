"""A file with keys of an API, for those who ask for one and those who send it.

    # The team that draws digits.
    0YwYq3m5t1lVd8Hn1b0OqK2s
    # Its key until January.
    Zk3uQm0pXg7bB5aXWfM1tT9e

Each line holds a key. Empty lines count for nothing, as do those that begin
with #. No error quotes a line: it might be a key.
"""

import os
import re
import stat
from collections.abc import Sequence
from typing import Final

from tensorflow_serving.util import errors, file_kind

# The form of a token: https://www.rfc-editor.org/rfc/rfc6750, section 2.1.
_KEY: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_MAX_BYTES: Final = 1 << 20
_COMMENT: Final = "#"


def require_key(key: str, name: str) -> None:
    """Checks the form of a key.

    Args:
      key: The key.
      name: Where it comes from, for the error.

    Raises:
      InvalidArgumentError: It has another form. Permanent.
    """
    if not _KEY.fullmatch(key):
        raise errors.InvalidArgumentError(
            f"{name} must be letters, digits and any of -._~+/, then perhaps "
            "some =; got something else"
        )


def read(path: str, flag: str) -> Sequence[str]:
    """Returns the keys in a file; at least one.

    Args:
      path: A file, not a pipe: it may be read again.
      flag: The flag that named the file, for the error.

    Raises:
      InvalidArgumentError: It cannot be read, or is something else; the text
        names flag and file. Permanent.
    """
    keys = []
    for number, line in enumerate(_text(path, flag).splitlines(), 1):
        key = line.strip()
        if key and not key.startswith(_COMMENT):
            require_key(key, f"--{flag}: key in line {number} of {path}")
            keys.append(key)
    if not keys:
        raise errors.InvalidArgumentError(
            f"--{flag} must hold at least one key, on a line of its own; got "
            f"none: {path}"
        )
    return keys


def is_readable_by_others(path: str) -> bool:
    """Returns whether any user of the machine may read a file."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)


def _text(path: str, flag: str) -> str:
    try:
        # A pipe without a writer would block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise errors.InvalidArgumentError(
                    f"--{flag} must be a file; got {file_kind.describe(mode)}: "
                    f"{path}"
                )
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise errors.InvalidArgumentError(
            f"--{flag} must be a file that can be read; got {path} "
            f"({errors.reason(error)})"
        ) from None
    if len(data) > _MAX_BYTES:
        raise errors.InvalidArgumentError(
            f"--{flag} must have at most {_MAX_BYTES} bytes; got more: {path}"
        )
    # A key is ASCII, as the check of its form says.
    return data.decode("utf-8-sig", "replace")
