"""One version of a model after another, for as long as somebody wants them."""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from typing import Protocol


class Log(Protocol):
    """The log of a server, such as that of a Served."""

    def wait_for_log(self, pattern: str) -> int:
        """See ServerProcess.wait_for_log()."""


class VersionCycle:
    """Puts copies of one export in place, each as a new version.

        cycle = VersionCycle("default", source, base_path)
        with Served([..., base_path], work) as server:
            cycle.swap(server)

    Version 1 is there from the start. Copies take no room: their files are
    those of the export. Not thread-safe.
    """

    def __init__(self, name: str, source: str, base_path: str) -> None:
        """Makes the folder of the model, and puts version 1 in it.

        Args:
          name: The name of the servable.
          source: The folder of the export, on the same disk as base_path.
          base_path: The folder that the server looks at.
        """
        self._name = name
        self._source = source
        self._base_path = base_path
        # The newest version.
        self.version = 0
        os.mkdir(base_path)
        self._put()

    def swap(self, server: Log) -> float:
        """Replaces the version by the next one, and removes it.

        Returns:
          The seconds from putting the next one in place until it is available.

        Raises:
          DeadlineExceededError: The server did not do its part in a minute.
        """
        self._put()
        start = time.monotonic()
        server.wait_for_log(self._line(self.version, "AVAILABLE"))
        seconds = time.monotonic() - start
        server.wait_for_log(self._line(self.version - 1, "END"))
        shutil.rmtree(self._path(self.version - 1))
        return seconds

    @contextlib.contextmanager
    def swapping(
        self, server: Log, interval_seconds: float
    ) -> Iterator[Sequence[float]]:
        """Swaps on a thread in the with block; the last swap is completed.

        Args:
          server: The server.
          interval_seconds: The least time from one version to the next.

        Yields:
          The seconds that each swap took; see swap(). It grows.
        """
        is_over = threading.Event()
        seconds: list[float] = []

        def swap() -> None:
            due = 0.0
            while not is_over.wait(max(0.0, due - time.monotonic())):
                due = time.monotonic() + interval_seconds
                seconds.append(self.swap(server))

        with futures.ThreadPoolExecutor(1) as threads:
            swaps = threads.submit(swap)
            try:
                yield seconds
            finally:
                is_over.set()
            swaps.result()

    def _put(self) -> None:
        """Moves the next version into place in one step."""
        self.version += 1
        staged = os.path.join(self._base_path, "staged")
        shutil.copytree(self._source, staged, copy_function=os.link)
        os.rename(staged, self._path(self.version))

    def _path(self, version: int) -> str:
        return os.path.join(self._base_path, f"{version:08d}")

    def _line(self, version: int, state: str) -> str:
        return f"{{name: {self._name} version: {version}}} is {state}"
