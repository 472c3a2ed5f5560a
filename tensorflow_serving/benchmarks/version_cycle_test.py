"""Tests for version_cycle, with a server that is made up here."""

import os
import queue
import threading
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.benchmarks import version_cycle
from tensorflow_serving.util import errors


class VersionCycleTest(absltest.TestCase):
    """Versions that replace each other."""

    def setUp(self) -> None:
        """Makes an export of one file, and a server that logs every line."""
        super().setUp()
        self.source = self.create_tempdir("source").full_path
        with open(os.path.join(self.source, "export.meta"), "w") as file:
            file.write("content")
        folder = self.create_tempdir().full_path
        self.base_path = os.path.join(folder, "served")
        self.cycle = version_cycle.VersionCycle(
            "m", self.source, self.base_path
        )
        self.server = mock.create_autospec(
            version_cycle.Log, spec_set=True, instance=True
        )

    def test_version_replaces_the_one_before(self) -> None:
        """The version before is removed when the log has its end."""
        self.assertEqual(os.listdir(self.base_path), ["00000001"])
        self.cycle.swap(self.server)
        self.assertEqual(os.listdir(self.base_path), ["00000002"])
        self.assertEqual(
            [call.args[0] for call in self.server.wait_for_log.mock_calls],
            [
                "{name: m version: 2} is AVAILABLE",
                "{name: m version: 1} is END",
            ],
        )
        self.assertEqual(os.listdir(self.source), ["export.meta"])

    def test_swaps_go_on_until_they_are_over(self) -> None:
        """Versions come one after the other; the last swap is complete."""
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.server.wait_for_log.side_effect = lambda line: lines.put(line)
        with self.cycle.swapping(self.server, interval_seconds=0.0) as seconds:
            while lines.get() != "{name: m version: 3} is AVAILABLE":
                pass
        self.assertGreaterEqual(self.cycle.version, 3)
        self.assertEqual(len(seconds), self.cycle.version - 1)
        self.assertEqual(
            os.listdir(self.base_path), [f"{self.cycle.version:08d}"]
        )

    def test_server_that_does_not_load_is_an_error(self) -> None:
        """An error of the thread is raised when the swaps are over."""
        is_asked = threading.Event()

        def fail(line: str) -> int:
            is_asked.set()
            raise errors.DeadlineExceededError(line)

        self.server.wait_for_log.side_effect = fail
        with (
            self.assertRaises(errors.DeadlineExceededError),
            self.cycle.swapping(self.server, interval_seconds=0.0),
        ):
            is_asked.wait()


if __name__ == "__main__":
    absltest.main()
