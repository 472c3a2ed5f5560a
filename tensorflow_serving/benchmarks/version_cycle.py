"""One version of a model after another, for as long as somebody wants them."""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures


class VersionCycle:
    """Puts copies of one export in place, each as a new version.

        cycle = VersionCycle("default", source, base_path)
        with served.model_server(work, ...) as server:
            with cycle.swapping(server.wait_for_log, interval_seconds=1.0):
                ...

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

    @contextlib.contextmanager
    def swapping(
        self, wait_for_log: Callable[[str], object], interval_seconds: float
    ) -> Iterator[Sequence[float]]:
        """Swaps on a thread in the with block; the last swap is completed.

        Each puts the next version in place, and removes the one before.

        Args:
          wait_for_log: Returns once a line of the server's log matches, or
            raises DeadlineExceededError, which ends the swaps.
          interval_seconds: The least time from one version to the next.

        Yields:
          The seconds from putting each version in place until it is available.
          It grows.
        """
        is_over = threading.Event()
        seconds: list[float] = []

        def swap() -> None:
            due = 0.0
            while not is_over.wait(max(0.0, due - time.monotonic())):
                due = time.monotonic() + interval_seconds
                seconds.append(self._swap(wait_for_log))

        with futures.ThreadPoolExecutor(1) as threads:
            swaps = threads.submit(swap)
            try:
                yield seconds
            finally:
                is_over.set()
            swaps.result()

    def _swap(self, wait_for_log: Callable[[str], object]) -> float:
        self._put()
        start = time.monotonic()
        wait_for_log(self._line(self.version, "AVAILABLE"))
        seconds = time.monotonic() - start
        wait_for_log(self._line(self.version - 1, "END"))
        shutil.rmtree(self._path(self.version - 1))
        return seconds

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
