"""Files of records that end by size and by age, and make room for new ones.

Example:
    files = LogFiles("/var/log/serving/mnist", Options(), count)
    files.write(b"a record")
    files.settle()  # readers see it
    files.close()

A file is written as NAME.tfrecord.open and loses the last part of its name when
it is complete, so that one without it is whole, also after a crash; NAME is
PREFIX-TIME-HOST-PID-NUMBER. One that a crash has left open may end with half a
record.
"""

import contextlib
import dataclasses
import fcntl
import io
import itertools
import math
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

from absl import logging

from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, tf_record

_COMPLETE: Final = ".tfrecord"
_OPEN: Final = ".open"
_TIME: Final = "%Y%m%dT%H%M%SZ"
# The rest of a name after the prefix; times sort as texts do.
_NAME: Final = re.compile(
    rf"-(?P<key>\d{{8}}T\d{{6}}Z-.+-\d+-\d+){re.escape(_COMPLETE)}"
    rf"(?P<is_open>{re.escape(_OPEN)})?"
)
_NOT_OF_NAMES: Final = re.compile(r"[^\w.]")
# Together they have as few writes as large ones need.
_MAX_BUFFERED_BYTES: Final = 1 << 20
_RETRY_SECONDS: Final = 5.0
# The numbers of the files of this process.
_NUMBERS: Final = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of LogFiles.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # When a file is complete: before it is larger, unless by its only record,
    # and after that time.
    max_file_bytes: int = 64 << 20
    max_file_seconds: float = 600.0
    # How large all files of a prefix may be; the oldest go.
    max_total_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(1, max_file_bytes=self.max_file_bytes)
        errors.require_at_least(1, max_file_seconds=self.max_file_seconds)
        errors.require_at_least(
            2 * self.max_file_bytes, max_total_bytes=self.max_total_bytes
        )


class LogFiles:
    """The files of one prefix, as a place for records. Not thread-safe.

    Others may write files of the same prefix: what is deleted are the oldest
    files of all, but none that is being written.

    If the storage fails, records are lost, and counted. No file then has a part
    of one, as far as the storage still allows to take it back. A while later,
    the next record opens another file. So does the next one, at once, after
    somebody has moved or removed the file; what it had goes with it.
    """

    def __init__(
        self,
        prefix: str,
        options: Options,
        count: Callable[[errors.StatusCode, int], None],
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        wall_time: Callable[[], float] = time.time,
    ) -> None:
        """Opens no file yet.

        Args:
          prefix: Paths begin with it.
          options: See Options.
          count: Gets numbers of records: OK for those that readers can see,
            UNAVAILABLE for those that are lost.
          clock: Decides how old a file is.
          wall_time: Returns the seconds since 1970, for names.
        """
        self._prefix = prefix
        self._options = options
        self._count = count
        self._clock = clock
        self._wall_time = wall_time
        self._file: _File | None = None
        self._buffer = io.BytesIO()
        # The records that were given and not counted; those in the buffer.
        self._num_pending = 0
        self._num_buffered = 0
        # When to try again after a failure; 0 if there was none.
        self._retry_time = 0.0

    @property
    def end_time(self) -> float:
        """When settle() ends the file; infinite if there is none."""
        if self._file is None:
            return math.inf
        return self._file.start_time + self._options.max_file_seconds

    def write(self, record: bytes) -> None:
        """Writes a record, at the latest with settle()."""
        if self._clock.now() < self._retry_time:
            self._count(errors.StatusCode.UNAVAILABLE, 1)
            return
        self._num_pending += 1
        with self._failures_counted():
            self._write(record)

    def settle(self) -> None:
        """Has readers see all records, and ends a file whose time is over."""
        with self._failures_counted():
            self._flush()
            if self._clock.now() >= self.end_time:
                self._end()

    def close(self) -> None:
        """Ends the file. Idempotent; the next record opens another one."""
        with self._failures_counted():
            self._flush()
            self._end()

    @contextlib.contextmanager
    def _failures_counted(self) -> Iterator[None]:
        """Counts what is lost if the storage fails in the block."""
        try:
            yield
        except OSError as error:
            lost, self._num_pending = self._num_pending, 0
            self._clear_buffer()
            self._count(errors.StatusCode.UNAVAILABLE, lost)
            self._retry_time = self._clock.now() + _RETRY_SECONDS
            logging.error(
                "Calls cannot be logged to %s-*: %s; they are lost, and the "
                "next try is in %g s",
                self._prefix,
                errors.reason(error),
                _RETRY_SECONDS,
            )

    def _write(self, record: bytes) -> None:
        size = self._buffer.tell() + (self._file.size if self._file else 0)
        framed = len(record) + tf_record.FRAME_BYTES
        if size and size + framed > self._options.max_file_bytes:
            self._flush()
            self._end()
        if self._file is None:
            self._file = self._open()
        tf_record.write(self._buffer, record)
        self._num_buffered += 1
        if self._buffer.tell() >= _MAX_BUFFERED_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._file is None or not self._num_buffered:
            return
        if not self._file.is_in_place():
            self._end()
            self._file = self._open()
        try:
            self._file.write(self._buffer.getvalue())
        except OSError:
            self._end()
            raise
        self._num_pending -= self._num_buffered
        self._count(errors.StatusCode.OK, self._num_buffered)
        self._clear_buffer()

    def _clear_buffer(self) -> None:
        self._buffer = io.BytesIO()
        self._num_buffered = 0

    def _open(self) -> "_File":
        """Opens a file, after old ones made room for it."""
        self._make_room()
        host = _NOT_OF_NAMES.sub("_", socket.gethostname()) or "_"
        stamp = time.strftime(_TIME, time.gmtime(self._wall_time()))
        path = (
            f"{self._prefix}-{stamp}-{host}-{os.getpid()}-"
            f"{next(_NUMBERS):06}{_COMPLETE}"
        )
        return _File(path, self._clock.now())

    def _end(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _make_room(self) -> None:
        """Deletes the oldest files as far as the next one needs their room."""
        found = sorted(self._found(), key=lambda each: each.key)
        largest = self._options.max_file_bytes
        room = self._options.max_total_bytes - largest
        for each in found:
            room -= max(largest, each.size) if each.is_written else each.size
        for each in found:
            if room >= 0:
                return
            if each.is_written:
                continue
            with contextlib.suppress(FileNotFoundError):  # another was first
                os.unlink(each.path)
                logging.info(
                    "Deleted %s: files of this log would have more than "
                    "--request_log_max_total_bytes=%d",
                    each.path,
                    self._options.max_total_bytes,
                )
            room += each.size

    def _found(self) -> Iterator["_Found"]:
        """Yields the files of all who write with this prefix."""
        folder, start = os.path.split(self._prefix)
        with os.scandir(folder) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name.removeprefix(start))
                if match is None or not entry.name.startswith(start):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    yield _Found(
                        entry.path,
                        match["key"],
                        entry.stat().st_size,
                        bool(match["is_open"]) and _is_locked(entry.path),
                    )


@dataclasses.dataclass(frozen=True)
class _Found:
    """A file that is there."""

    path: str
    # Older files have smaller ones.
    key: str
    size: int
    is_written: bool


class _File:
    """A file that is being written."""

    def __init__(self, path: str, start_time: float) -> None:
        self._path = path
        self.start_time = start_time
        # The bytes of whole records.
        self.size = 0
        # Whether there is nothing after them.
        self._is_whole = True
        self._file = io.FileIO(f"{path}{_OPEN}", "x")
        # Says to others that it is being written, for as long as this process
        # lives. Some storage has no locks.
        with contextlib.suppress(OSError):
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def write(self, data: bytes) -> None:
        """Writes whole records, all or none as far as the storage allows."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._is_whole = False
            self._file.truncate(self.size)
            self._is_whole = True
            raise
        self.size += len(data)

    def is_in_place(self) -> bool:
        """Returns whether the file has its name, and can be found by it."""
        try:
            found = os.stat(f"{self._path}{_OPEN}")
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._file.fileno()))

    def close(self) -> None:
        """Makes the file a complete one; one without records goes."""
        with self._file:
            if not self._is_whole:
                return
            if not self.is_in_place():
                logging.warning(
                    "Somebody has moved or removed %s%s while it was written",
                    self._path,
                    _OPEN,
                )
                return
            if not self.size:
                os.unlink(f"{self._path}{_OPEN}")
                return
            # A power failure must not leave a complete file without content.
            os.fsync(self._file.fileno())
        os.rename(f"{self._path}{_OPEN}", self._path)


def _is_locked(path: str) -> bool:
    """Returns whether a process writes a file, as far as can be known."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
