"""A line for each call, written by a thread of its own.

Example:
    with access_log.AccessLog(access_log.Options(Format.JSON)) as log:
        log.add(calls)
"""

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

from typing_extensions import Self

from tensorflow_serving.model_servers import (
    access_log_lines,
    call_sampler,
    metric_families,
)
from tensorflow_serving.util import appended_file

# How many lines wait to be written; those beyond are dropped, and counted.
_MAX_WAITING: Final = 20_000
# How long lines wait for others, so that the thread seldom wakes.
_PAUSE_SECONDS: Final = 0.05
# How long a pipe that nobody reads is waited for, and how long the end of the
# thread.
_WAIT_SECONDS: Final = 0.5
_END_SECONDS: Final = 2.0

_Call = TypeVar("_Call")


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an AccessLog."""

    style: access_log_lines.Format
    # See AppendedFile; empty: standard error.
    path: str = ""
    # The share of the calls that succeed which get a line, from 0 to 1.
    sampling_rate: float = 1.0
    max_waiting: int = _MAX_WAITING


@dataclasses.dataclass(frozen=True)
class Counts:
    """The lines so far."""

    num_written: int = 0
    # There was no room, because calls came faster than their lines could be
    # written, or because they could not be written.
    num_dropped: int = 0


class AccessLog:
    """Writes lines about calls, or counts those that it cannot write.

    Nobody who adds calls waits: lines wait in memory, as many as the options
    allow. A context manager that closes itself. Thread-safe.
    """

    def __init__(self, options: Options) -> None:
        """Opens the file, and starts the thread.

        Raises:
          InvalidArgumentError: The file cannot be written. Permanent.
        """
        self._options = options
        self._sampler = call_sampler.CallSampler(options.sampling_rate)
        self._file = appended_file.AppendedFile(options.path)
        self._lock = threading.Lock()
        # There are calls, or this is closed. Wakes the thread.
        self._news = threading.Condition(self._lock)
        # All guarded by _lock.
        self._waiting: list[access_log_lines.Calls] = []
        self._num_waiting = 0
        self._is_closed = False
        self._num_written = 0
        self._num_dropped = 0
        # A daemon: a standard error that takes nothing can hold it forever.
        self._thread = threading.Thread(
            target=self._run, name="access_log", daemon=True
        )
        self._thread.start()

    def sample(self, calls: Sequence[_Call]) -> Sequence[_Call]:
        """Returns those of some calls that succeeded which get a line."""
        if self._options.sampling_rate >= 1.0:
            return calls
        return [calls[index] for index in self._sampler.choose(len(calls))]

    def add(self, calls: access_log_lines.Calls) -> None:
        """Has lines written soon."""
        num_lines = len(calls.values)
        with self._lock:
            room = self._options.max_waiting - self._num_waiting
            if num_lines > room or self._is_closed:
                self._num_dropped += num_lines
                return
            if not self._waiting:
                self._news.notify()
            self._waiting.append(calls)
            self._num_waiting += num_lines

    def counts(self) -> Counts:
        """Returns how many lines there were so far."""
        with self._lock:
            return Counts(self._num_written, self._num_dropped)

    def family(self) -> metric_families.Family:
        """Returns these counts as a metric."""
        counts = self.counts()
        found = metric_families.Family(
            "tensorflow_serving_access_log_lines_total",
            "counter",
            "Lines of the access log, by whether they could be written.",
            ("outcome",),
        )
        found.add(("written",), counts.num_written)
        found.add(("dropped",), counts.num_dropped)
        return found

    def close(self) -> None:
        """Writes what waits, if that can be written; idempotent."""
        with self._lock:
            self._is_closed = True
            self._news.notify()
        self._thread.join(_END_SECONDS)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _run(self) -> None:
        """Runs on the thread."""
        while waiting := self._take():
            for block, num_lines in self._blocks(waiting):
                num_written = self._file.append(
                    block, 0.0 if self._is_closed else _WAIT_SECONDS
                )
                with self._lock:
                    self._num_written += num_written
                    self._num_dropped += num_lines - num_written
        self._file.close()

    def _take(self) -> list[access_log_lines.Calls]:
        """Returns what waits; nothing once there will be nothing more."""
        with self._lock:
            self._news.wait_for(lambda: self._waiting or self._is_closed)
            self._news.wait_for(lambda: self._is_closed, _PAUSE_SECONDS)
            taken, self._waiting = self._waiting, []
            self._num_waiting = 0
            return taken

    def _blocks(
        self, waiting: list[access_log_lines.Calls]
    ) -> Iterator[tuple[bytes, int]]:
        """Yields lines in blocks that are written as a whole."""
        limit = self._file.block_bytes
        block: list[bytes] = []
        num_bytes = 0
        for calls in waiting:
            for line in access_log_lines.lines(calls, self._options.style):
                data = f"{line}\n".encode("ascii")
                if num_bytes + len(data) > limit and block:
                    yield b"".join(block), len(block)
                    block, num_bytes = [], 0
                block.append(data)
                num_bytes += len(data)
        yield b"".join(block), len(block)
