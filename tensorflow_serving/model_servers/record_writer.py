"""A thread that writes records of calls, so that no call waits for storage.

Example:
    with RecordWriter(max_waiting_bytes=64 << 20) as writer:
        if not writer.put(files, len(data), lambda: files.write(data)):
            ...too much waits already: the record is lost...
"""

import dataclasses
import math
import threading
from collections.abc import Callable
from typing import Final, Protocol

from absl import logging
from typing_extensions import Self

from tensorflow_serving.util import clock as clock_lib

# How long the first record waits for others: many small writes, and as many
# changes between threads, would cost the calls more than the records do.
_LINGER_SECONDS: Final = 0.1
# A record takes about so much beside its messages.
_RECORD_BYTES: Final = 500


class Sink(Protocol):
    """A place to which records are written.

    All methods are called on the thread of a RecordWriter, and may block. What
    fails is counted and logged there, not raised.
    """

    @property
    def end_time(self) -> float:
        """When to call settle() though there is no record; infinite: never."""

    def settle(self) -> None:
        """Finishes what was written, and does what it is time for."""

    def close(self) -> None:
        """Ends what was begun; a later record begins anew. Idempotent."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Record:
    """A record that waits to be written."""

    sink: Sink
    num_bytes: int
    write: Callable[[], None]


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    """The end of a sink, which comes after its records."""

    sink: Sink


class RecordWriter:
    """Writes records on a thread of its own, which the first of them starts.

    Records wait in memory, up to a number of bytes; later ones are refused.
    That is what happens while storage is slow or hangs.

    A context manager that closes itself. Thread-safe; no method but run_once()
    and close() waits for storage.
    """

    def __init__(
        self,
        max_waiting_bytes: int,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        *,
        starts_thread: bool = True,
    ) -> None:
        """Makes a writer without a thread.

        Args:
          max_waiting_bytes: How many bytes of records may wait, those that are
            being written among them.
          clock: The one of the sinks.
          starts_thread: False if the caller runs run_once() instead.
        """
        self._max_waiting_bytes = max_waiting_bytes
        self._clock = clock
        self._starts_thread = starts_thread
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        # There is something to do before the time that the thread waits for.
        self._news = threading.Condition(self._lock)
        # All guarded by _lock.
        self._waiting: list[_Record | _End] = []
        self._num_waiting_bytes = 0
        self._is_closed = False
        # The sinks that have not been ended. Only used by the thread.
        self._sinks: dict[Sink, None] = {}

    def put(
        self, sink: Sink, num_bytes: int, write: Callable[[], None]
    ) -> bool:
        """Has a record written soon; returns False if too much waits already.

        Args:
          sink: Gets the record; is settled after it.
          num_bytes: The size of the record.
          write: Writes it to the sink, on the thread.

        Raises:
          RuntimeError: The system has no thread.
        """
        record = _Record(sink, num_bytes + _RECORD_BYTES, write)
        with self._lock:
            num_waiting_bytes = self._num_waiting_bytes + record.num_bytes
            if self._is_closed or num_waiting_bytes > self._max_waiting_bytes:
                return False
            self._start()
            self._num_waiting_bytes = num_waiting_bytes
            self._waiting.append(record)
            if len(self._waiting) == 1 or self._is_urgent:
                self._news.notify()
        return True

    def end(self, sink: Sink) -> None:
        """Has a sink closed once the records before this are written."""
        with self._lock:
            self._waiting.append(_End(sink))
            self._news.notify()

    def run_once(self) -> None:
        """Writes what waits, and settles all sinks; for one thread."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            if isinstance(each, _End):
                self._sinks.pop(each.sink, None)
                _guarded(each.sink.close)
                continue
            self._sinks[each.sink] = None
            _guarded(each.write)
            with self._lock:
                self._num_waiting_bytes -= each.num_bytes
        for sink in self._sinks:
            _guarded(sink.settle)

    def close(self) -> None:
        """Writes what waits, then closes all sinks. Idempotent."""
        with self._lock:
            self._is_closed = True
            self._news.notify()
        if self._thread is not None:
            self._thread.join()
        else:
            self._finish()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    @property
    def _is_urgent(self) -> bool:
        """Whether there is little room for more; needs the lock."""
        return 2 * self._num_waiting_bytes > self._max_waiting_bytes

    def _start(self) -> None:
        """Starts the thread if there is none; needs the lock."""
        if self._starts_thread and self._thread is None:
            thread = threading.Thread(target=self._run, name="write_records")
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        """Runs on the thread."""
        while self._wait():
            self.run_once()
        self._finish()

    def _wait(self) -> bool:
        """Waits until there is something to do; returns False at the end."""
        with self._lock:
            # A record comes, or the time of a sink.
            self._wait_until(
                min((sink.end_time for sink in self._sinks), default=math.inf),
                lambda: bool(self._waiting),
            )
            # More records may follow it.
            self._wait_until(
                self._clock.now() + _LINGER_SECONDS, lambda: self._is_urgent
            )
            return not self._is_closed

    def _wait_until(self, deadline: float, is_over: Callable[[], bool]) -> None:
        """Waits for a condition, a time, or the end; needs the lock."""
        while not (self._is_closed or is_over()):
            if self._clock.now() >= deadline:
                return
            self._clock.wait_until(self._news, deadline)

    def _finish(self) -> None:
        """Writes what waits, and closes all sinks."""
        self.run_once()
        for sink in self._sinks:
            _guarded(sink.close)
        self._sinks.clear()


def _guarded(function: Callable[[], None]) -> None:
    """Calls a function whose fault must not end the thread."""
    try:
        function()
    except Exception:
        logging.exception("Records could not be written; going on")
