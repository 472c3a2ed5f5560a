"""One version of a model after another, for as long as it is wanted."""

import os
import shutil
import threading

from tensorflow_serving.benchmarks import version_folders, version_log
from tensorflow_serving.core import servable
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_State = servable.ManagerState


class VersionCycle:
    """Puts copies of one export in place, each as a new version.

        cycle = VersionCycle("large", source, base_path, log)
        with cycle.running(interval_seconds=1):
            ...
        cycle.num_swaps

    A copy is put in place when the one before it is available and what that
    took the place of has ended and was removed. Copies take no room: their
    files are those of the export.

    Not thread-safe, but for what it does on its thread while it runs.
    """

    def __init__(
        self,
        name: str,
        source: str,
        base_path: str,
        log: version_log.VersionLog,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Does nothing yet.

        Args:
          name: Of the servable.
          source: The folder of the export, on the disk of base_path.
          base_path: Where versions are put.
          log: The log of the server.
          clock: Decides when the next one comes.
        """
        self._name = name
        self._source = source
        # Where versions are put.
        self.base_path = base_path
        self._log = log
        self._clock = clock
        self._version = 0
        # How many versions took the place of others.
        self.num_swaps = 0

    def put(self) -> None:
        """Puts the next version in place."""
        self._version += 1
        staged = os.path.join(self.base_path, "staged")
        shutil.copytree(self._source, staged, copy_function=os.link)
        version_folders.put(staged, self.base_path, self._version)

    def wait(self) -> None:
        """Waits until the version is there and the one before it is gone.

        Raises:
          DeadlineExceededError: That did not happen within a minute.
        """
        self._log.wait_for(self._id(self._version), _State.AVAILABLE)
        if self._version > 1:
            self._log.wait_for(self._id(self._version - 1), _State.END)
            version_folders.remove(self.base_path, self._version - 1)
            self.num_swaps += 1

    def running(self, interval_seconds: float) -> "_Running":
        """Returns what puts and waits on a thread until it is closed.

        Args:
          interval_seconds: From one version to the next, at least.
        """
        return _Running(self, interval_seconds, self._clock)

    def _id(self, version: int) -> servable.ServableId:
        return servable.ServableId(self._name, version)


class _Running:
    """A context manager that finishes what it has begun."""

    def __init__(
        self,
        cycle: VersionCycle,
        interval_seconds: float,
        clock: clock_lib.Clock,
    ) -> None:
        self._cycle = cycle
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._lock = threading.Lock()
        # It is closed. Wakes the thread.
        self._news = threading.Condition(self._lock)
        self._closed = False  # guarded by _lock
        # Of the thread, until it is joined.
        self._error: errors.ServingError | None = None
        self._thread = threading.Thread(target=self._run, name="version_cycle")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._closed = True
            self._news.notify_all()
        self._thread.join()
        if self._error is not None and exc_info[0] is None:
            raise self._error

    def _run(self) -> None:
        """Runs on the thread."""
        due = self._clock.now()
        try:
            while self._wait_until(due):
                due = self._clock.now() + self._interval_seconds
                self._cycle.put()
                self._cycle.wait()
        except errors.ServingError as error:
            self._error = error

    def _wait_until(self, due: float) -> bool:
        """Returns whether there is one more version to put."""
        with self._lock:
            while not self._closed and self._clock.now() < due:
                self._clock.wait_until(self._news, due)
            return not self._closed
