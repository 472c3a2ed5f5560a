"""Tests for worker_set; supervisor_test has real workers."""

import os
import signal
import sys

from absl.testing import absltest

from tensorflow_serving.rpc import worker, worker_process, worker_set

_WAIT = [sys.executable, "-c", "import signal; signal.pause()"]


class WorkerSetTest(absltest.TestCase):
    """Two processes that may be silent for 10 s once they are ready."""

    def setUp(self) -> None:
        """Starts them."""
        super().setUp()
        self.workers = worker_set.WorkerSet(10.0)
        self.processes = [self._start(), self._start()]

    def _start(self) -> worker_process.WorkerProcess:
        self.workers.begin_start()
        process = worker_process.WorkerProcess(_WAIT)
        self.addCleanup(process.reap)
        self.addCleanup(process.send_signal, signal.SIGKILL)
        self.workers.end_start(process)
        return process

    def test_worker_is_ready_once(self) -> None:
        """A worker becomes ready once; later messages are heartbeats."""
        first, _ = self.processes
        self.assertFalse(self.workers.receive(first, worker.HEARTBEAT, 0.0))
        self.assertEqual(self.workers.num_ready, 0)
        self.assertTrue(
            self.workers.receive(first, worker.HEARTBEAT + worker.READY, 1.0)
        )
        self.assertFalse(self.workers.receive(first, worker.READY, 2.0))
        self.assertEqual(self.workers.num_ready, 1)
        self.assertEqual(len(self.workers), 2)

    def test_only_a_silent_worker_that_is_ready_is_ended(self) -> None:
        """Its next deadline is that of SIGKILL."""
        first, second = self.processes
        self.assertIsNone(self.workers.next_silence())
        self.workers.receive(first, worker.READY, 0.0)
        self.assertEqual(self.workers.next_silence(), 10.0)
        self.assertEqual(list(self.workers.end_silent(9.9)), [])
        (line,) = self.workers.end_silent(10.0)
        self.assertRegex(line, f"^Worker {first.pid} must .* it SIGABRT$")
        self.assertEqual(self.workers.next_silence(), 12.0)
        first.wait_for_end()
        self.assertEqual(list(self.workers.end_silent(11.0)), [])
        self.assertIsNone(second.heartbeats)

    def test_heartbeat_and_forgiveness_give_time(self) -> None:
        """A heartbeat is for its worker, and forgiveness for all."""
        for process in self.processes:
            self.workers.receive(process, worker.READY, 0.0)
        self.workers.receive(self.processes[0], worker.HEARTBEAT, 5.0)
        self.assertEqual(self.workers.next_silence(), 10.0)
        self.workers.forgive_silence(8.0)
        self.assertEqual(self.workers.next_silence(), 18.0)
        self.assertEqual(list(self.workers.end_silent(17.9)), [])

    def test_signal_for_one_is_for_a_worker_that_is_ready(self) -> None:
        """One that loads might be ended by it."""
        self.assertFalse(self.workers.send_to_one(signal.SIGHUP))
        first, second = self.processes
        self.workers.receive(second, worker.READY, 0.0)
        self.assertTrue(self.workers.send_to_one(signal.SIGHUP))
        end = os.waitid(os.P_PID, second.pid, os.WEXITED | os.WNOWAIT)
        assert end is not None
        self.assertEqual(end.si_status, signal.SIGHUP)
        self.assertEqual(os.getpgid(first.pid), first.pid)

    def test_process_that_has_ended_is_removed(self) -> None:
        """An ended process is removed; a failed start leaves nothing."""
        ended = worker_process.WorkerProcess([sys.executable, "-c", ""])
        self.workers.begin_start()
        self.workers.end_start(ended)
        self.assertEqual(len(self.workers), 3)
        ended.wait_for_end()
        self.assertEqual(self.workers.remove(ended), 0)
        self.workers.begin_start()
        self.workers.end_start(None)
        self.assertEqual(len(self.workers), 2)


if __name__ == "__main__":
    absltest.main()
