"""Log lines that are written by a thread of their own.

Standard error may be a pipe that nobody reads: then whoever writes to it waits.
The thread that answers calls must not. Nor may a fault that comes with each
call fill a disk: see line_limit.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from typing_extensions import override

from tensorflow_serving.util import line_limit

# How many lines wait to be written; later ones are dropped, and counted.
_MAX_WAITING: Final = 1_000
# How long flush() waits for a standard error that takes nothing.
_FLUSH_SECONDS: Final = 1.0


class BackgroundHandler(logging.Handler):
    """Hands records to another handler, on a daemon thread.

    Leaves out warnings and errors that repeat too often, and writes how many
    they were ten seconds later.
    Never blocks whoever logs. Thread-safe.
    """

    def __init__(
        self,
        target: logging.Handler,
        max_waiting: int = _MAX_WAITING,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Starts the thread.

        Args:
          target: Writes the records.
          max_waiting: How many records may wait.
          clock: Returns the time of records.
        """
        super().__init__(target.level)
        self._target = target
        self._max_waiting = max_waiting
        self._clock = clock
        self._lock = threading.Lock()
        # There is a record. Wakes the thread.
        self._news = threading.Condition(self._lock)
        # Everything is written. Wakes flush().
        self._done = threading.Condition(self._lock)
        self._waiting: list[logging.LogRecord] = []  # guarded by _lock
        self._num_dropped = 0  # guarded by _lock
        self._is_writing = False  # guarded by _lock
        self._limit = line_limit.LineLimit()  # guarded by _lock
        threading.Thread(target=self._write, name="log", daemon=True).start()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        """Has a record written soon, or drops it if too many wait."""
        # Arguments may change before it is written.
        record.msg, record.args = record.getMessage(), None
        with self._lock:
            if record.levelno >= logging.WARNING:
                line = self._limit.admit(record.msg, record.created)
                if line is None:
                    return
                record.msg = line
            if len(self._waiting) >= self._max_waiting:
                self._num_dropped += 1
                return
            self._waiting.append(record)
            self._news.notify()

    @override
    def flush(self) -> None:
        """Returns when everything is written, or after a second."""
        with self._lock:
            self._done.wait_for(
                lambda: not self._waiting and not self._is_writing,
                _FLUSH_SECONDS,
            )

    def _write(self) -> None:
        """Runs on the thread."""
        while True:
            with self._lock:
                self._is_writing = False
                if not self._waiting:
                    self._done.notify_all()
                self._news.wait_for(
                    lambda: self._waiting,
                    self._limit.seconds_to_counts(self._clock()),
                )
                records, self._waiting = self._waiting, []
                counts = self._limit.counts(self._clock())
                num_dropped, self._num_dropped = self._num_dropped, 0
                self._is_writing = True
            if num_dropped:
                counts.append(
                    f"{num_dropped} lines were dropped: they came faster than "
                    "they could be written"
                )
            for record in [*records, *map(_warning, counts)]:
                self._target.handle(record)
            self._target.flush()


def take_over() -> None:
    """Has all handlers of the root logger write in the background."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if not isinstance(handler, BackgroundHandler):
            root.removeHandler(handler)
            root.addHandler(BackgroundHandler(handler))


def flush() -> None:
    """Has everything written that was logged; before os._exit()."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def _warning(text: str) -> logging.LogRecord:
    return logging.LogRecord(
        "log", logging.WARNING, __file__, 0, text, None, None
    )
