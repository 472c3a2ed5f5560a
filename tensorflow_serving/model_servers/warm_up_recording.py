"""Records requests of callers, to warm up later versions with them.

Example:
    recording = WarmUpRecording(writer, Options("/recorded", num_records=10))
    recorders = call_records.Recorders([recording])

The first requests of each signature of a version that it answers become a file

    FOLDER/MODEL/VERSION/assets.extra/tf_serving_warmup_requests

which has the same path below the folder of a version that is to replay it.
"""

import collections
import dataclasses
import functools
import io
import math
import os
import threading
import urllib.parse
from collections.abc import Callable
from typing import Final

from absl import logging

from tensorflow_serving.apis import prediction_logs
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    call_events,
    call_records,
    record_writer,
)
from tensorflow_serving.servables.tensorflow import warm_up_requests
from tensorflow_serving.util import errors, tf_record

# A larger request is left out, and so is one for which there is no more room.
_MAX_RECORD_BYTES: Final = 16 << 20
_MAX_VERSION_BYTES: Final = 64 << 20
_MAX_TOTAL_BYTES: Final = 256 << 20


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a WarmUpRecording.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # The folder of the files, which must be there.
    folder: str
    # How many requests of each signature to record.
    num_records: int

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(1, num_records=self.num_records)


class WarmUpRecording:
    """Records the first requests of each signature. Thread-safe.

    The file of a version is written soon after a signature has all of its
    requests, and when the version ends. It never takes the place of one with
    more requests, which another process or an earlier one has written.
    """

    def __init__(
        self, writer: record_writer.RecordWriter, options: Options
    ) -> None:
        """Has recorded nothing yet.

        Args:
          writer: Writes the files; closed by the caller.
          options: See Options.
        """
        self._writer = writer
        self._options = options
        self._lock = threading.Lock()
        # Both guarded by _lock. The versions that have a recorder, and the
        # bytes of all of their requests.
        self._versions: dict[servable.ServableId, _Version] = {}
        self._num_bytes = 0

    def find(
        self, subject: call_events.Subject
    ) -> call_records.Recorder | None:
        """See call_records.Source."""
        with self._lock:
            if not self._wants(subject):
                return None
        return _Recorder(functools.partial(self._take, subject))

    def end(self, servable_id: servable.ServableId) -> None:
        """Writes the file of a version, which gets no more calls."""
        with self._lock:
            version = self._versions.pop(servable_id, None)
            if version is None:
                return
            self._num_bytes -= version.num_bytes
        self._writer.end(version.file)

    def _wants(self, subject: call_events.Subject) -> bool:
        """Returns whether to take a call of a signature; needs the lock."""
        servable_id = servable.ServableId(subject.model, subject.version)
        version = self._versions.get(servable_id)
        if version is None:
            version = _Version(
                _File(
                    os.path.join(
                        self._options.folder,
                        _folder_name(subject.model),
                        str(subject.version),
                        warm_up_requests.PATH,
                    )
                )
            )
            self._versions[servable_id] = version
        return (
            version.num_calls[_key(subject)] < self._options.num_records
            and version.num_calls.total() < warm_up_requests.MAX_RECORDS
        )

    def _take(
        self, subject: call_events.Subject, record: call_records.Record
    ) -> bool:
        """Takes a call, unless there are enough; returns whether it did."""
        size = record.num_bytes
        with self._lock:
            if not self._wants(subject):
                return False
            version = self._versions[
                servable.ServableId(subject.model, subject.version)
            ]
            version.num_calls[_key(subject)] += 1
            fits = (
                size <= _MAX_RECORD_BYTES
                and version.num_bytes + size <= _MAX_VERSION_BYTES
                and self._num_bytes + size <= _MAX_TOTAL_BYTES
            )
            if fits:
                version.num_bytes += size
                self._num_bytes += size
            is_last = not self._wants(subject)
        file = version.file
        if fits:
            self._writer.put(file, size, functools.partial(file.add, record))
        else:
            logging.warning(
                "A request of model %s is too large, beside those that are "
                "kept, for a warm-up; left out",
                subject.model,
            )
        if is_last:
            self._writer.put(file, 0, file.write_soon)
        return True


@dataclasses.dataclass
class _Version:
    """The requests of a version; all guarded by the lock of its owner."""

    file: "_File"
    # How many calls were taken, also those that are too large, by _key().
    num_calls: collections.Counter[tuple[str, str]] = dataclasses.field(
        default_factory=collections.Counter
    )
    num_bytes: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Recorder:
    """Takes calls of a subject until one is not taken."""

    take: Callable[[call_records.Record], bool]

    def succeeded(
        self, num_calls: int, record: Callable[[int], call_records.Record]
    ) -> None:
        """See call_records.Recorder."""
        for index in range(num_calls):
            if not self.take(record(index)):
                return


class _File:
    """The file of a version; a record_writer.Sink."""

    # It is written after the calls that make it complete, or when it is closed.
    end_time: Final = math.inf

    def __init__(self, path: str) -> None:
        self._path = path
        self._content = io.BytesIO()
        self._num_records = 0
        self._is_due = False
        self._is_written = True

    def add(self, record: call_records.Record) -> None:
        """Adds the request of a call, without who asked for it and when."""
        tf_record.write(
            self._content,
            prediction_logs.encode(
                record.subject.method, None, record.messages().request
            ),
        )
        self._num_records += 1
        self._is_written = False

    def write_soon(self) -> None:
        """Has settle() write the file, for all who ask for it until then."""
        self._is_due = True

    def settle(self) -> None:
        """Writes the requests that there are so far, if that is due."""
        if self._is_due:
            self.close()

    def close(self) -> None:
        """Writes the requests that there are so far."""
        self._is_due = False
        if self._is_written:
            return
        try:
            self._write()
        except OSError as error:
            logging.error(
                "Requests for a warm-up cannot be written to %s: %s",
                self._path,
                errors.reason(error),
            )

    def _write(self) -> None:
        num_present = _num_records(self._path)
        if num_present > self._num_records:
            logging.info(
                "Leaving %s as it is, with %d requests; there are %d new ones",
                self._path,
                num_present,
                self._num_records,
            )
            return
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        path = f"{self._path}.{os.getpid()}"
        with open(path, "wb") as file:
            file.write(self._content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(path, self._path)
        self._is_written = True
        logging.info(
            "Recorded %d requests for a warm-up: %s",
            self._num_records,
            self._path,
        )


def _key(subject: call_events.Subject) -> tuple[str, str]:
    return (subject.signature, subject.method)


def _folder_name(model: str) -> str:
    """Returns the name of a model as one of a folder, whatever is in it."""
    name = urllib.parse.quote(model, safe="")
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _num_records(path: str) -> int:
    """Returns how many records a file has; 0 if there is none."""
    try:
        with open(path, "rb") as file:
            return sum(1 for _ in tf_record.read(file))
    except (FileNotFoundError, errors.DataLossError):
        return 0
