"""Tests for supervisor, with real processes that do what the test says."""

import concurrent.futures
import os
import signal
import socket
import subprocess
import sys
import unittest.mock

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import supervisor as supervisor_lib
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_PUPPET = os.path.join(os.path.dirname(__file__), "puppet_worker")


class _Puppet:
    """The test's end of the connection to a worker."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile()
        self.pid = int(self.read())

    def read(self) -> str:
        """Waits for a line; it is empty at the end of the process."""
        return self._lines.readline().strip()

    def send(self, order: str) -> None:
        """Gives an order."""
        self._connection.sendall(f"{order}\n".encode())

    def kill(self) -> None:
        """Ends the process like kill -9."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ends the process if it still runs."""
        self._lines.close()
        self._connection.close()


class _PuppetTestCase(absltest.TestCase):
    """What workers connect to."""

    def setUp(self) -> None:
        """Listens."""
        super().setUp()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        self.command = [_PUPPET, str(self.listener.getsockname()[1])]

    def _accept(self) -> _Puppet:
        """Returns the next worker that starts."""
        connection, _ = self.listener.accept()
        connection.settimeout(30)
        puppet = _Puppet(connection)
        self.addCleanup(puppet.close)
        return puppet

    def _check_alive(self, worker: _Puppet) -> None:
        worker.send("answer")
        self.assertEqual(worker.read(), "done")


class SupervisorTest(_PuppetTestCase):
    """A supervisor of two workers, with a clock that the test moves."""

    def setUp(self) -> None:
        """Makes the supervisor and threads for what blocks."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.threads = self.enter_context(
            concurrent.futures.ThreadPoolExecutor()
        )
        self.supervisor = supervisor_lib.Supervisor(self.command, 2, self.clock)
        # After the connections are closed, and with them all workers.
        self.addCleanup(self.supervisor.stop, 0)
        self.addCleanup(self.listener.close)

    def _start(self) -> tuple[_Puppet, _Puppet]:
        """Returns two workers that are ready."""
        start = self.threads.submit(self.supervisor.start)
        workers = (self._accept(), self._accept())
        for worker in workers:
            worker.send("ready")
            self.assertEqual(worker.read(), "done")
        start.result()
        return workers

    def test_start_returns_once_all_are_ready(self) -> None:
        """Not before the last one; and each worker is a process."""
        start = self.threads.submit(self.supervisor.start)
        workers = [self._accept(), self._accept()]
        pids = {os.getpid(), *(each.pid for each in workers)}
        self.assertEqual(len(pids), 3)
        for worker in workers:
            self.assertFalse(start.done())
            worker.send("ready")
        start.result()

    def test_worker_is_the_leader_of_a_session(self) -> None:
        """Ctrl-C in the terminal of the supervisor is not for it."""
        for worker in self._start():
            self.assertEqual(os.getsid(worker.pid), worker.pid)

    def test_child_of_a_worker_is_no_worker(self) -> None:
        """Even if it inherits what can be inherited."""
        worker, _ = self._start()
        worker.send("is_child_a_worker")
        self.assertEqual(worker.read(), "False")

    def test_killed_worker_is_restarted(self) -> None:
        """After 0.1 s, not before; the other one is not touched."""
        first, second = self._start()
        with self.assertLogs(level="WARNING") as log:
            first.kill()
            self.clock.settle(threads=1)
        self.assertIn(f"Worker {first.pid} ended with SIGKILL", log.output[0])
        self.clock.advance_micros(99_999)
        self.clock.settle(threads=1)
        self._check_alive(second)
        self.clock.advance_micros(1)
        third = self._accept()
        third.send("ready")
        self.supervisor.wait_until_ready()
        self._check_alive(third)
        self._check_alive(second)

    def test_restart_that_gets_not_ready_is_a_death(self) -> None:
        """The delay doubles, whatever the exit code."""
        first, _ = self._start()
        first.kill()
        for delay_micros in (100_000, 200_000, 400_000):
            self.clock.settle(threads=1)
            self.clock.advance_micros(delay_micros - 1)
            self.clock.settle(threads=1)
            self.clock.advance_micros(2)
            worker = self._accept()
            worker.send("exit 0")

    def test_minute_of_being_ready_makes_delays_short_again(self) -> None:
        """The time counts from when the worker was ready."""
        worker, _ = self._start()
        for _ in range(3):
            self.clock.advance_micros(61_000_000)
            worker.kill()
            self.clock.settle(threads=1)
            # More than 100,000, as sums of floats are not exact.
            self.clock.advance_micros(100_001)
            worker = self._accept()
            worker.send("ready")
            self.supervisor.wait_until_ready()

    def test_worker_that_ends_before_it_is_ready_fails_the_start(self) -> None:
        """All others are stopped, ready or not."""
        start = self.threads.submit(self.supervisor.start)
        first, second = self._accept(), self._accept()
        first.send("ready")
        self.assertEqual(first.read(), "done")
        second.send("exit 5")
        self.assertEqual(first.read(), "SIGTERM")
        self.assertFalse(start.done())
        first.send("exit 0")
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "ready; got exit code 5"
        ):
            start.result()
        self.assertEqual(first.read(), "")

    def test_program_that_is_none_fails_the_start(self) -> None:
        """The error names it."""
        supervisor = supervisor_lib.Supervisor(["/no/such/program"], 2)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "ready; got .*/no/such/program"
        ):
            supervisor.start()

    def test_stop_ends_a_start(self) -> None:
        """With an error, as the workers were never ready."""
        start = self.threads.submit(self.supervisor.start)
        workers = [self._accept(), self._accept()]
        stop = self.threads.submit(self.supervisor.stop, 60)
        for worker in workers:
            self.assertEqual(worker.read(), "SIGTERM")
            worker.send("exit 1")
        with self.assertRaises(errors.CancelledError):
            start.result()
        self.assertTrue(stop.result())

    def test_stop_waits_for_all_to_drain(self) -> None:
        """True if they exit with 0; they are told once."""
        workers = self._start()
        stop = self.threads.submit(self.supervisor.stop, 60)
        for worker in workers:
            self.assertEqual(worker.read(), "SIGTERM")
        again = self.threads.submit(self.supervisor.stop, 60)
        for worker in workers:
            self.assertFalse(stop.done())
            self.assertFalse(again.done())
            # A second SIGTERM would have ended it.
            self._check_alive(worker)
            worker.send("exit 0")
            self.assertEqual(worker.read(), "")
        self.assertTrue(stop.result())
        self.assertTrue(again.result())
        self.assertTrue(self.supervisor.stop(0))

    def test_stop_tells_of_a_worker_that_failed_to_drain(self) -> None:
        """Here, with the exit code 1."""
        workers = self._start()
        stop = self.threads.submit(self.supervisor.stop, 60)
        for worker, code in zip(workers, (0, 1), strict=True):
            self.assertEqual(worker.read(), "SIGTERM")
            worker.send(f"exit {code}")
        self.assertFalse(stop.result())

    def test_worker_that_stays_is_killed(self) -> None:
        """5 s after the grace, with what it has started; not before."""
        workers = self._start()
        for worker in workers:
            worker.send("start_child")
            self.assertEqual(worker.read(), "done")
        stop = self.threads.submit(self.supervisor.stop, 60)
        for worker in workers:
            self.assertEqual(worker.read(), "SIGTERM")
        self.clock.settle(threads=1)
        self.clock.advance_micros(64_999_999)
        self.clock.settle(threads=1)
        for worker in workers:
            self._check_alive(worker)
        self.clock.advance_micros(1)
        for worker in workers:
            self.assertEqual(worker.read(), "")
        self.assertFalse(stop.result())

    def test_stop_does_not_wait_for_a_restart(self) -> None:
        """The clock stands still here, so that it would wait for ever."""
        first, second = self._start()
        first.kill()
        self.clock.settle(threads=1)
        stop = self.threads.submit(self.supervisor.stop, 60)
        self.assertEqual(second.read(), "SIGTERM")
        second.send("exit 0")
        self.assertTrue(stop.result())
        with self.assertRaises(errors.CancelledError):
            self.supervisor.wait_until_ready()

    def test_stop_without_start_is_no_error(self) -> None:
        """There is nothing to stop."""
        self.assertTrue(self.supervisor.stop(0))

    def test_number_of_workers_is_at_least_one(self) -> None:
        """None would serve nothing."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "num_workers must be at least 1; got 0"
        ):
            supervisor_lib.Supervisor(self.command, 0)


class ProgramTest(_PuppetTestCase):
    """A program that is supervisor and worker, as a server is."""

    def setUp(self) -> None:
        """Starts it, in a session like that of a terminal."""
        super().setUp()
        program = subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.program = self.enter_context(program)
        self.addCleanup(program.kill)
        self.addCleanup(self.listener.close)
        self.workers = [self._accept(), self._accept()]

    def _read(self) -> str:
        """Waits for a line of the output."""
        assert self.program.stdout is not None
        return str(self.program.stdout.readline()).strip()

    def _make_ready(self) -> None:
        for worker in self.workers:
            worker.send("ready")
            self.assertEqual(worker.read(), "done")
        self.assertEqual(self._read(), "ready")

    def _drain(self) -> None:
        for worker in self.workers:
            self.assertEqual(worker.read(), "SIGTERM")
        for worker in self.workers:
            self._check_alive(worker)
            worker.send("exit 0")
            self.assertEqual(worker.read(), "")

    def test_workers_drain_when_the_supervisor_is_killed(self) -> None:
        """By kill -9; nothing is left of them."""
        self._make_ready()
        self.program.kill()
        self.assertEqual(self.program.wait(), -signal.SIGKILL)
        self._drain()

    def test_workers_drain_on_ctrl_c(self) -> None:
        """Of which they get nothing but the SIGTERM of the supervisor."""
        self._make_ready()
        os.killpg(self.program.pid, signal.SIGINT)
        self._drain()
        self.assertEqual(self.program.wait(), 0)

    def test_ctrl_c_ends_a_start(self) -> None:
        """The workers are stopped before the supervisor ends."""
        os.killpg(self.program.pid, signal.SIGINT)
        self._drain()
        self.assertNotEqual(self.program.wait(), 0)

    def test_output_of_workers_is_that_of_the_supervisor(self) -> None:
        """What they print is not lost."""
        self._make_ready()
        for worker in self.workers:
            worker.send("print hello")
            self.assertEqual(self._read(), "hello")


class OwnCommandTest(parameterized.TestCase):
    """The command of this program, with more flags."""

    @parameterized.parameters(
        ([], ["--more"]),
        (["a.py", "--port=0", "b"], ["a.py", "--port=0", "b", "--more"]),
        (["-m", "a", "--", "--b"], ["-m", "a", "--more", "--", "--b"]),
    )
    def test_flags_are_added(self, given: list[str], wanted: list[str]) -> None:
        """After the others, of which the last one counts."""
        with unittest.mock.patch.object(sys, "orig_argv", ["python", *given]):
            self.assertEqual(
                supervisor_lib.own_command(["--more"]),
                [sys.executable, *wanted],
            )


if __name__ == "__main__":
    absltest.main()
