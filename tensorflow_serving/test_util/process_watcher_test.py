"""Tests for process_watcher, with processes that count and then wait."""

import subprocess
import sys

import psutil
from absl.testing import absltest

from tensorflow_serving.test_util import process_watcher

# Takes 0.2 s of the CPU and prints a line; ends when its input does.
_BUSY = """
import sys, time
while time.process_time() < 0.2:
    pass
print(flush=True)
sys.stdin.read()
"""
# Does so in a child.
_PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {_BUSY!r}])
print(flush=True)
sys.stdin.read()
"""


class ProcessWatcherTest(absltest.TestCase):
    """The usage of a process and its children."""

    def _start(self, script: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.enter_context(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def test_process_counts(self) -> None:
        """A process that works takes CPU time and memory."""
        usage = process_watcher.ProcessWatcher(self._start(_BUSY).pid).usage()
        self.assertGreaterEqual(usage.cpu_seconds, 0.15)
        self.assertGreater(usage.resident_bytes, 2**20)
        # Its standard streams, at least.
        self.assertGreaterEqual(usage.num_descriptors, 3)
        self.assertEqual(usage.num_threads, 1)

    def test_child_counts(self) -> None:
        """A child that runs counts with its memory."""
        process = self._start(_PARENT)
        usage = process_watcher.ProcessWatcher(process.pid).usage()
        self.assertGreaterEqual(usage.cpu_seconds, 0.15)
        alone = psutil.Process(process.pid).memory_info().rss
        self.assertGreater(usage.resident_bytes, alone + 2**20)
        self.assertGreaterEqual(usage.num_descriptors, 6)
        self.assertEqual(usage.num_threads, 2)

    def test_child_that_has_ended_counts(self) -> None:
        """The CPU time of a child that has ended still counts."""
        script = _PARENT.replace(
            "subprocess.run([",
            "subprocess.run(stdin=subprocess.DEVNULL, args=[",
        )
        process = self._start(script)
        assert process.stdout is not None
        process.stdout.readline()
        usage = process_watcher.ProcessWatcher(process.pid).usage()
        self.assertGreaterEqual(usage.cpu_seconds, 0.15)
        self.assertFalse(psutil.Process(process.pid).children())


if __name__ == "__main__":
    absltest.main()
