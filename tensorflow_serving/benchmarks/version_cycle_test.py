"""Tests for version_cycle, with a server that is made up here."""

import os
import queue
import threading

from absl.testing import absltest

from tensorflow_serving.benchmarks import version_cycle
from tensorflow_serving.util import errors


class VersionCycleTest(absltest.TestCase):
    """Versions that replace each other."""

    def setUp(self) -> None:
        """Makes an export of one file."""
        super().setUp()
        self.source = self.create_tempdir("source").full_path
        with open(os.path.join(self.source, "export.meta"), "w") as file:
            file.write("content")
        folder = self.create_tempdir().full_path
        self.base_path = os.path.join(folder, "served")
        self.cycle = version_cycle.VersionCycle(
            "m", self.source, self.base_path
        )

    def test_versions_replace_each_other_until_it_is_over(self) -> None:
        """The one before goes at its end; the last swap is complete."""
        self.assertEqual(os.listdir(self.base_path), ["00000001"])
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        with self.cycle.swapping(lines.put, interval_seconds=0.0) as seconds:
            for line in (
                "{name: m version: 2} is AVAILABLE",
                "{name: m version: 1} is END",
                "{name: m version: 3} is AVAILABLE",
            ):
                self.assertEqual(lines.get(timeout=60.0), line)
        self.assertEqual(len(seconds), self.cycle.version - 1)
        self.assertEqual(
            os.listdir(self.base_path), [f"{self.cycle.version:08d}"]
        )
        self.assertEqual(os.listdir(self.source), ["export.meta"])

    def test_server_that_does_not_load_is_an_error(self) -> None:
        """An error of the thread is raised when the swaps are over."""
        is_asked = threading.Event()

        def fail(line: str) -> None:
            is_asked.set()
            raise errors.DeadlineExceededError(line)

        with (
            self.assertRaises(errors.DeadlineExceededError),
            self.cycle.swapping(fail, interval_seconds=0.0),
        ):
            is_asked.wait()


if __name__ == "__main__":
    absltest.main()
