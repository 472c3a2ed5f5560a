"""Tests for supervisor, with real processes that do what the test says."""

import concurrent.futures
import os
import signal
import threading
from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import puppet_connection
from tensorflow_serving.rpc import supervisor as supervisor_lib
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors, signals


class _BreakableClock(fake_clock.FakeClock):
    """A clock that fails when a test says so."""

    is_broken = False

    def now(self) -> float:
        """Fails, or returns the time."""
        if self.is_broken:
            raise ZeroDivisionError("the clock is broken")
        return super().now()

    def wait_until(
        self, condition: threading.Condition, deadline: float | None
    ) -> None:
        """Fails, or waits."""
        if self.is_broken:
            raise ZeroDivisionError("the clock is broken")
        super().wait_until(condition, deadline)


class SupervisorTest(puppet_connection.PuppetTestCase):
    """A supervisor of two workers, with a clock that the test moves."""

    def setUp(self) -> None:
        """Makes the supervisor and threads for what blocks."""
        super().setUp()
        self.clock = _BreakableClock()
        self.termination = signals.Termination()
        self.addCleanup(self.termination.close)
        self.threads = self.enter_context(
            concurrent.futures.ThreadPoolExecutor()
        )
        self.supervisor = self._supervisor(self.command)
        # After the connections are closed, and with them all workers.
        self.addCleanup(self.supervisor.stop, 0)
        self.addCleanup(self.listener.close)

    def _supervisor(self, command: list[str]) -> supervisor_lib.Supervisor:
        return supervisor_lib.Supervisor(
            command, supervisor_lib.Options(2), self.termination, self.clock
        )

    def _start(
        self,
    ) -> tuple[puppet_connection.Puppet, puppet_connection.Puppet]:
        """Returns two workers that are ready."""
        start = self.threads.submit(self.supervisor.start)
        workers = (self.accept(), self.accept())
        for worker in workers:
            worker.send("ready")
            self.assertEqual(worker.read(), "done")
        start.result()
        return workers

    def test_start_returns_once_all_are_ready(self) -> None:
        """start() returns after the last of the processes is ready."""
        start = self.threads.submit(self.supervisor.start)
        workers = [self.accept(), self.accept()]
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
        """A child of a worker, whatever it inherits, is not a worker."""
        worker, _ = self._start()
        worker.send("is_child_a_worker")
        self.assertEqual(worker.read(), "False")

    def test_killed_worker_is_restarted(self) -> None:
        """A killed worker is restarted after 0.1 s; the other one goes on."""
        first, second = self._start()
        with self.assertLogs(level="WARNING") as log:
            first.kill()
            self.clock.settle(threads=2)
        self.assertIn(f"Worker {first.pid} ended with SIGKILL", log.output[0])
        self.clock.advance_micros(99_999)
        self.clock.settle(threads=2)
        self.check_alive(second)
        self.clock.advance_micros(1)
        third = self.accept()
        third.send("ready")
        self.supervisor.wait_until_ready()
        self.check_alive(third)
        self.check_alive(second)

    def test_restart_that_gets_not_ready_is_a_death(self) -> None:
        """The delay doubles after each death, whatever the exit code."""
        first, _ = self._start()
        first.kill()
        for delay_micros in (100_000, 200_000, 400_000):
            self.clock.settle(threads=2)
            self.clock.advance_micros(delay_micros - 1)
            self.clock.settle(threads=2)
            self.clock.advance_micros(2)
            worker = self.accept()
            worker.send("exit 0")

    def test_minute_of_being_ready_makes_delays_short_again(self) -> None:
        """The time counts from when the worker was ready."""
        worker, _ = self._start()
        for _ in range(3):
            # The thread that watches heartbeats forgives a leap of time only
            # while it waits.
            self.clock.settle(threads=1)
            self.clock.advance_micros(61_000_000)
            worker.kill()
            self.clock.settle(threads=2)
            # More than 100,000, as sums of floats are not exact.
            self.clock.advance_micros(100_001)
            worker = self.accept()
            worker.send("ready")
            self.supervisor.wait_until_ready()

    def test_worker_that_ends_before_it_is_ready_fails_the_start(self) -> None:
        """All others are stopped, ready or not."""
        start = self.threads.submit(self.supervisor.start)
        first, second = self.accept(), self.accept()
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
        supervisor = self._supervisor(["/no/such/program"])
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "ready; got .*/no/such/program"
        ):
            supervisor.start()

    def test_stop_ends_a_start(self) -> None:
        """A stop ends start() with an error, as no worker was ready."""
        start = self.threads.submit(self.supervisor.start)
        workers = [self.accept(), self.accept()]
        stop = self.threads.submit(self.supervisor.stop, 60)
        for worker in workers:
            self.assertEqual(worker.read(), "SIGTERM")
            worker.send("exit 1")
        with self.assertRaises(errors.CancelledError):
            start.result()
        self.assertTrue(stop.result())

    def test_stop_waits_for_all_to_drain(self) -> None:
        """stop() is True if all exit with 0; each gets one signal."""
        workers = self._start()
        stop = self.threads.submit(self.supervisor.stop, 60)
        for worker in workers:
            self.assertEqual(worker.read(), "SIGTERM")
        again = self.threads.submit(self.supervisor.stop, 60)
        for worker in workers:
            self.assertFalse(stop.done())
            self.assertFalse(again.done())
            # A second SIGTERM would have ended it.
            self.check_alive(worker)
            worker.send("exit 0")
            self.assertEqual(worker.read(), "")
        self.assertTrue(stop.result())
        self.assertTrue(again.result())
        self.assertTrue(self.supervisor.stop(0))

    def test_stop_tells_of_a_worker_that_failed_to_drain(self) -> None:
        """stop() is False if a worker exits with 1."""
        workers = self._start()
        stop = self.threads.submit(self.supervisor.stop, 60)
        for worker, code in zip(workers, (0, 1), strict=True):
            self.assertEqual(worker.read(), "SIGTERM")
            worker.send(f"exit {code}")
        self.assertFalse(stop.result())

    def test_worker_that_stays_is_killed(self) -> None:
        """A worker is killed 2.5 s after the grace with its children."""
        workers = self._start()
        for worker in workers:
            worker.send("start_child")
            self.assertEqual(worker.read(), "done")
        stop = self.threads.submit(self.supervisor.stop, 60)
        for worker in workers:
            self.assertEqual(worker.read(), "SIGTERM")
        self.clock.settle(threads=1)
        self.clock.advance_micros(62_499_999)
        self.clock.settle(threads=1)
        for worker in workers:
            self.check_alive(worker)
        self.clock.advance_micros(1)
        for worker in workers:
            self.assertEqual(worker.read(), "")
        self.assertFalse(stop.result())

    def test_stop_does_not_wait_for_a_restart(self) -> None:
        """The clock stands still here, so it would wait forever."""
        first, second = self._start()
        first.kill()
        self.clock.settle(threads=2)
        stop = self.threads.submit(self.supervisor.stop, 60)
        self.assertEqual(second.read(), "SIGTERM")
        second.send("exit 0")
        self.assertTrue(stop.result())
        with self.assertRaises(errors.CancelledError):
            self.supervisor.wait_until_ready()

    def test_stop_without_start_is_no_error(self) -> None:
        """There is nothing to stop."""
        self.assertTrue(self.supervisor.stop(0))

    def test_worker_that_loads_and_stays_is_killed(self) -> None:
        """That is no clean end, although it had nothing to finish."""
        start = self.threads.submit(self.supervisor.start)
        workers = [self.accept(), self.accept()]
        stop = self.threads.submit(self.supervisor.stop, 60)
        for worker in workers:
            self.assertEqual(worker.read(), "SIGTERM")
        self.clock.settle(threads=1)
        self.clock.advance_micros(62_500_000)
        self.assertFalse(stop.result())
        with self.assertRaises(errors.CancelledError):
            start.result()

    def test_silent_workers_are_aborted_and_restarted(self) -> None:
        """A worker that is silent for 10 s is aborted and restarted."""
        workers = self._start()
        self.clock.settle(threads=1)
        self.clock.advance_micros(9_999_999)
        self.clock.settle(threads=1)
        for worker in workers:
            self.check_alive(worker)
        with self.assertLogs(level="WARNING") as log:
            self.clock.advance_micros(1)
            for worker in workers:
                self.assertEqual(worker.read(), "")
            self.clock.settle(threads=3)
        text = "\n".join(log.output)
        for worker in workers:
            self.assertRegex(
                text, f"Worker {worker.pid} must send a heart.* it SIGABRT"
            )
            self.assertIn(f"Worker {worker.pid} ended with SIGABRT", text)
        self.clock.advance_micros(100_001)
        for _ in workers:
            self.accept().send("ready")
        self.supervisor.wait_until_ready()

    def test_stopped_worker_is_killed_and_restarted(self) -> None:
        """SIGABRT does not reach it; two seconds later, SIGKILL does."""
        stopped, other = self._start()
        os.kill(stopped.pid, signal.SIGSTOP)
        self.clock.settle(threads=1)
        self.clock.advance_micros(10_000_000)
        self.assertEqual(other.read(), "")
        self.clock.settle(threads=2)
        with self.assertLogs(level="WARNING") as log:
            self.clock.advance_micros(2_000_000)
            self.assertEqual(stopped.read(), "")
            self.accept()
            self.clock.settle(threads=2)
        self.assertIn(
            f"Worker {stopped.pid} ended with SIGKILL", log.output[-1]
        )
        self.clock.advance_micros(100_001)
        self.accept()

    def test_pause_of_all_processes_is_not_the_silence_of_one(self) -> None:
        """The supervisor did not run either; each worker has 10 s again."""
        workers = self._start()
        self.clock.settle(threads=1)
        self.clock.advance_micros(60_000_000)
        self.clock.settle(threads=1)
        self.clock.advance_micros(9_999_999)
        self.clock.settle(threads=1)
        for worker in workers:
            self.check_alive(worker)
        self.clock.advance_micros(1)
        for worker in workers:
            self.assertEqual(worker.read(), "")

    def test_worker_that_loads_may_be_silent(self) -> None:
        """It is not ready yet, and a load may take any time."""
        start = self.threads.submit(self.supervisor.start)
        workers = [self.accept(), self.accept()]
        for _ in range(3):
            self.clock.settle(threads=1)
            self.clock.advance_micros(10_000_000)
        for worker in workers:
            self.check_alive(worker)
            worker.send("ready")
        start.result()

    def test_supervisor_gives_up_after_five_restarts(self) -> None:
        """Five restarts without a ready worker end it; the error says how."""
        first, second = self._start()
        wait = self.threads.submit(self.supervisor.wait)
        first.kill()
        for number in range(5):
            self.assertFalse(wait.done())
            self.clock.settle(threads=2)
            self.clock.advance_micros(100_001 << number)
            self.accept().send(f"exit {number}")
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            "ready within 5 restarts; got exit code 4 at the last one",
        ):
            wait.result()
        self.check_alive(second)

    def test_restart_that_is_good_starts_the_count_anew(self) -> None:
        """The supervisor gives up only if nothing works."""
        worker, _ = self._start()
        for number in range(6):
            worker.kill()
            self.clock.settle(threads=2)
            self.clock.advance_micros(100_001 << number)
            worker = self.accept()
            worker.send("ready")
            self.assertEqual(worker.read(), "done")
            self.supervisor.wait_until_ready()

    def test_thread_that_fails_ends_the_wait(self) -> None:
        """A supervisor without it would keep no worker."""
        first, _ = self._start()
        wait = self.threads.submit(self.supervisor.wait)
        self.clock.settle(threads=1)
        self.clock.is_broken = True
        with self.assertLogs(level="ERROR"):
            first.kill()
            with self.assertRaisesRegex(
                errors.FailedPreconditionError, "got Zero.*clock is broken"
            ):
                wait.result()
        self.clock.is_broken = False

    def test_worker_of_a_thread_that_fails_is_killed(self) -> None:
        """Nobody would keep it, or see it end."""
        first, _ = self._start()
        self.clock.settle(threads=1)
        self.clock.is_broken = True
        with self.assertLogs(level="ERROR"):
            first.send("heartbeat")
            while first.read():
                pass
            with self.assertRaises(errors.FailedPreconditionError):
                self.supervisor.wait()
        self.clock.is_broken = False

    def test_number_of_ready_workers_is_logged(self) -> None:
        """Each change of it is one line."""
        with self.assertLogs(level="INFO") as log:
            first, _ = self._start()
            first.kill()
            self.clock.settle(threads=2)
        lines = [line for line in log.output if "are ready" in line]
        self.assertEqual(
            [line.rpartition(":")[2] for line in lines],
            [f"{number} of 2 workers are ready" for number in (1, 2, 1)],
        )

    def test_children_are_waited_for_where_the_parent_did_not(self) -> None:
        """A parent that ignored SIGCHLD has its children ignore it as well."""
        self.addCleanup(
            signal.signal, signal.SIGCHLD, signal.getsignal(signal.SIGCHLD)
        )
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        self._supervisor(self.command)
        self.assertEqual(signal.getsignal(signal.SIGCHLD), signal.SIG_DFL)

    @parameterized.parameters(
        ({"num_workers": 0}, "num_workers must be at least 1; got 0"),
        (
            {"num_workers": 1, "max_failed_restarts": 0},
            "max_failed_restarts must be at least 1; got 0",
        ),
        (
            {"num_workers": 1, "heartbeat_timeout_seconds": -1.0},
            "heartbeat_timeout_seconds must be at least 0; got -1.0",
        ),
    )
    def test_options_are_checked(
        self, options: dict[str, Any], text: str
    ) -> None:
        """The error names the option and its value."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            supervisor_lib.Options(**options)


if __name__ == "__main__":
    absltest.main()
