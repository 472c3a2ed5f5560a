"""Tests for version_cycle, with a log that is written here."""

import os
import threading

from absl.testing import absltest

from tensorflow_serving.benchmarks import version_cycle, version_log
from tensorflow_serving.core import servable


class _Server:
    """Says at once that a version took the place of another one."""

    def __init__(self, base_path: str, log: version_log.VersionLog) -> None:
        self._base_path = base_path
        self._log = log
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        newest = 0
        while not self._closed.wait(0.001):
            found = [int(n) for n in os.listdir(self._base_path) if n.isdigit()]
            if max(found, default=0) > newest:
                before, newest = newest, max(found)
                self._say(newest, "AVAILABLE")
                self._say(before, "END")

    def _say(self, version: int, state: str) -> None:
        self._log.take(f"Servable {{name: m version: {version}}} is {state}")


class VersionCycleTest(absltest.TestCase):
    """Versions that take each other's place."""

    def setUp(self) -> None:
        """Makes an export of one file, and a server."""
        super().setUp()
        self.source = self.create_tempdir("source").full_path
        with open(os.path.join(self.source, "export.meta"), "w") as file:
            file.write("content")
        self.base_path = self.create_tempdir("base").full_path
        self.log = version_log.VersionLog()
        self.cycle = version_cycle.VersionCycle(
            "m", self.source, self.base_path, self.log
        )
        server = _Server(self.base_path, self.log)
        self.addCleanup(server.close)

    def test_version_takes_the_place_of_the_one_before(self) -> None:
        """Which is removed then; the export is still there."""
        self.cycle.put()
        self.cycle.wait()
        self.assertEqual(os.listdir(self.base_path), ["00000001"])
        self.assertEqual(self.cycle.num_swaps, 0)
        self.cycle.put()
        self.cycle.wait()
        self.assertEqual(os.listdir(self.base_path), ["00000002"])
        self.assertEqual(self.cycle.num_swaps, 1)
        self.assertEqual(os.listdir(self.source), ["export.meta"])

    def test_versions_come_until_they_are_not_wanted(self) -> None:
        """The last one is waited for; it goes on where it stopped."""
        self.cycle.put()
        self.cycle.wait()
        for _ in range(2):
            before = self.cycle.num_swaps
            with self.cycle.running(interval_seconds=0.0):
                self.log.wait_for(
                    servable.ServableId("m", before + 3),
                    servable.ManagerState.AVAILABLE,
                )
            self.assertGreaterEqual(self.cycle.num_swaps, before + 2)
            self.assertEqual(
                os.listdir(self.base_path),
                [f"{self.cycle.num_swaps + 1:08d}"],
            )


if __name__ == "__main__":
    absltest.main()
