"""A file that grows by whole lines, and that others move out of the way.

Example:
    file = appended_file.AppendedFile("/var/log/calls.log")
    num_written = file.append(lines)
"""

import os
import select
import stat
import sys
from typing import Final

from absl import logging

from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

# A pipe may take a part of a larger block, with lines of others behind it.
_PIPE_BYTES: Final = select.PIPE_BUF
_FILE_BYTES: Final = 16 << 10
# How often to look whether the file has been moved.
_LOOK_SECONDS: Final = 1.0


class AppendedFile:
    """Appends blocks of lines to a file, each with one write.

    Lines of several processes do not mix. A file that is moved or removed, as
    logrotate does, is made anew within about a second; there is no signal to
    send. What cannot be written, because a disk is full or nobody reads a pipe,
    is left out, and the reason is logged.

    Not thread-safe.
    """

    def __init__(
        self, path: str, clock: clock_lib.Clock = clock_lib.MONOTONIC
    ) -> None:
        """Opens the file.

        Args:
          path: A file, which is made if there is none, or a named pipe that
            somebody reads. Empty: standard error.
          clock: Tells when to look whether the file has been moved.

        Raises:
          InvalidArgumentError: It cannot be written. Permanent.
        """
        self._path = path
        self._clock = clock
        try:
            self._fd = _open(path) if path else os.dup(sys.stderr.fileno())
            self._is_regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError as error:
            raise errors.InvalidArgumentError(
                f"path must be a file that can be written; got {path} "
                f"({errors.reason(error)})"
            ) from None
        self._next_look_time = clock.now() + _LOOK_SECONDS
        # Whether the last line is not whole.
        self._is_torn = False

    @property
    def block_bytes(self) -> int:
        """The largest block that is written as a whole."""
        return _FILE_BYTES if self._is_regular else _PIPE_BYTES

    def append(self, block: bytes, wait_seconds: float = 0.0) -> int:
        """Appends lines; returns how many of them.

        Args:
          block: Whole lines.
          wait_seconds: How long to wait for whoever reads a pipe.
        """
        self._look()
        try:
            if not self._is_ready(wait_seconds):
                return 0
            data = b"\n" + block if self._is_torn else block
            num_bytes = os.write(self._fd, data)
        except OSError as error:
            logging.warning(
                "%s cannot be written: %s",
                self._path or "Standard error",
                errors.reason(error),
            )
            return 0
        written = data[:num_bytes]
        self._is_torn = not written.endswith(b"\n")
        return written.count(b"\n") - (len(data) - len(block))

    def close(self) -> None:
        """Closes the file. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _is_ready(self, wait_seconds: float) -> bool:
        """Returns whether a write would not wait for a reader."""
        if self._is_regular:
            return True
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        return bool(poll.poll(wait_seconds * 1000))

    def _look(self) -> None:
        """Opens the file again if it is another one, or none, by now."""
        now = self._clock.now()
        if not self._path or now < self._next_look_time:
            return
        self._next_look_time = now + _LOOK_SECONDS
        try:
            if os.path.samestat(os.stat(self._path), os.fstat(self._fd)):
                return
        except OSError:
            pass  # it is gone
        try:
            fd = _open(self._path)
        except OSError as error:
            logging.warning(
                "%s cannot be opened again, and the file that had its name "
                "goes on: %s",
                self._path,
                errors.reason(error),
            )
            return
        os.close(self._fd)
        self._fd = fd
        self._is_torn = False


def require(path: str, flag: str) -> None:
    """Checks a path without making a file.

    Args:
      path: See AppendedFile.
      flag: Where it comes from, for the error.

    Raises:
      InvalidArgumentError: It cannot be written. Permanent.
    """
    place = path if os.path.lexists(path) else os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.access(place, os.W_OK):
        raise errors.InvalidArgumentError(
            f"--{flag} must be a file that can be written, in a folder that is "
            f"there; got {path}"
        )


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    # Neither a named pipe without a reader nor a full one holds us up.
    return os.open(path, flags | os.O_NONBLOCK, 0o666)
