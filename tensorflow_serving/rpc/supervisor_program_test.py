"""Tests for supervisor in programs that are supervisor and worker."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import heartbeats, puppet_connection
from tensorflow_serving.rpc import supervisor as supervisor_lib
from tensorflow_serving.rpc import worker as worker_lib

_CONTAINER = ("unshare", "--map-root-user", "--pid", "--fork", "--kill-child")


class ProgramTest(puppet_connection.PuppetTestCase):
    """A program that is supervisor and worker, as a server is."""

    def _start_program(
        self, *arguments: str, prefix: tuple[str, ...] = ()
    ) -> None:
        """Starts it, in a session like that of a terminal."""
        program = subprocess.Popen(
            [*prefix, *self.command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.program = self.enter_context(program)
        self.addCleanup(program.kill)
        self.addCleanup(self.listener.close)
        self.workers = [self.accept(), self.accept()]

    def _read(self) -> str:
        """Waits for a line of the output."""
        assert self.program.stdout is not None
        return str(self.program.stdout.readline()).strip()

    def _wait_for_log(self, *texts: str) -> None:
        """Reads the log until each text was in one of its lines."""
        missing = set(texts)
        assert self.program.stderr is not None
        while missing:
            line = self.program.stderr.readline()
            self.assertNotEqual(line, "", f"the log has no {missing}")
            missing = {text for text in missing if text not in line}

    def _make_ready(self) -> None:
        for worker in self.workers:
            worker.send("ready")
            self.assertEqual(worker.read(), "done")
        self.assertEqual(self._read(), "ready")

    def _drain(self) -> None:
        for worker in self.workers:
            self.assertEqual(worker.read(), "SIGTERM")
        for worker in self.workers:
            self.check_alive(worker)
            worker.send("exit 0")
            self.assertEqual(worker.read(), "")

    def test_workers_drain_when_the_supervisor_is_killed(self) -> None:
        """Workers of a supervisor that was killed drain, and none is left."""
        self._start_program()
        self._make_ready()
        self.program.kill()
        self.assertEqual(self.program.wait(), -signal.SIGKILL)
        self._drain()

    @parameterized.parameters("answer", "hang")
    def test_workers_that_load_end_when_the_supervisor_is_killed(
        self, order: str
    ) -> None:
        """Workers that load end at once, even if no Python can run."""
        self._start_program()
        for worker in self.workers:
            # If the test fails, nothing else would end it.
            self.addCleanup(_kill, os.pidfd_open(worker.pid))
            worker.send(order)
        self.program.kill()
        for worker in self.workers:
            while worker.read():
                pass

    def test_workers_that_hang_end_when_the_supervisor_is_killed(self) -> None:
        """Workers that are ready end, even if no Python can run."""
        self._start_program()
        self._make_ready()
        for worker in self.workers:
            self.addCleanup(_kill, os.pidfd_open(worker.pid))
            worker.send("hang")
            self.assertEqual(worker.read(), "hangs")
        self.program.kill()
        for worker in self.workers:
            while worker.read():
                pass

    def test_worker_that_hangs_has_as_long_as_one_without_heartbeats(
        self,
    ) -> None:
        """The 12 s of a real worker are more than puppets wait for."""
        self.assertEqual(
            worker_lib.ALONE_SIGNAL,
            supervisor_lib.Options(1).heartbeat_timeout_seconds
            + heartbeats.ABORT_SECONDS,
        )

    def test_workers_drain_on_ctrl_c(self) -> None:
        """They get nothing but the SIGTERM of the supervisor."""
        self._start_program()
        self._make_ready()
        os.killpg(self.program.pid, signal.SIGINT)
        self._drain()
        self.assertEqual(self.program.wait(), 0)

    def test_worker_that_does_not_drain_makes_the_exit_code_1(self) -> None:
        """Whoever started the program learns that calls were lost."""
        self._start_program()
        self._make_ready()
        self.program.send_signal(signal.SIGTERM)
        for worker, code in zip(self.workers, (0, 1), strict=True):
            self.assertEqual(worker.read(), "SIGTERM")
            worker.send(f"exit {code}")
        self.assertEqual(self.program.wait(), 1)

    @parameterized.parameters("SIGINT", "SIGTERM")
    def test_signal_ends_a_start(self, name: str) -> None:
        """The workers are stopped before the supervisor ends, with 0."""
        self._start_program()
        self.program.send_signal(signal.Signals[name])
        self._drain()
        self.assertEqual(self.program.wait(), 0)
        self._wait_for_log(f"got {name} before")

    def test_output_of_workers_is_that_of_the_supervisor(self) -> None:
        """Nothing that they print is lost."""
        self._start_program()
        self._make_ready()
        for worker in self.workers:
            worker.send("print hello")
            self.assertEqual(self._read(), "hello")

    def test_stacks_of_a_silent_worker_are_in_the_log(self) -> None:
        """One that hangs can be repaired then."""
        self._start_program("0.1")
        self.workers[0].send("ready")
        self._wait_for_log(
            f"Worker {self.workers[0].pid} must send a heartbeat every 0.1 s",
            "Fatal Python error: Aborted",
            "puppet_worker.py",
            f"Worker {self.workers[0].pid} ended with SIGABRT",
        )

    def test_program_that_ignores_the_end_of_children_works(self) -> None:
        """Whoever started it did; a worker is restarted all the same."""
        with _ignored(signal.SIGCHLD):
            self._start_program()
        self._make_ready()
        self.workers[0].kill()
        self.workers[0] = self.accept()
        self.workers[0].send("ready")
        self.assertEqual(self.workers[0].read(), "done")
        self.program.send_signal(signal.SIGTERM)
        self._drain()
        self.assertEqual(self.program.wait(), 0)

    def test_first_process_of_a_container_waits_for_orphans(self) -> None:
        """It knows how its own workers ended, too, and ends on a signal."""
        if shutil.which(_CONTAINER[0]) is None or subprocess.call(
            [*_CONTAINER, "true"], stderr=subprocess.DEVNULL
        ):
            self.skipTest("this machine makes no process number 1")
        self._start_program(prefix=_CONTAINER)
        self._make_ready()
        self.workers[1].send("leave_orphan")
        self.assertEqual(self.workers[1].read(), "done")
        self.workers[0].send("exit 7")
        self._wait_for_log(
            "which had lost its parent, has ended", "ended with exit code 7"
        )
        self.workers[0] = self.accept()
        children = f"/proc/{self.program.pid}/task/{self.program.pid}/children"
        os.kill(int(pathlib.Path(children).read_text()), signal.SIGTERM)
        self._drain()
        self.assertEqual(self.program.wait(), 0)


class LostSocketTest(puppet_connection.PuppetTestCase):
    """A worker whose supervisor has closed its files, and has not ended yet.

    The system closes them first when a process ends.
    """

    def setUp(self) -> None:
        """Starts a worker whose supervisor is the test."""
        super().setUp()
        self.socket, theirs = socket.socketpair()
        self.addCleanup(self.socket.close)
        with theirs:
            fd = theirs.fileno()
            self.process = self.enter_context(
                subprocess.Popen(
                    self.command,
                    env={**os.environ, worker_lib.SOCKET_VARIABLE: str(fd)},
                    pass_fds=[fd],
                )
            )
        self.addCleanup(self.process.kill)
        self.addCleanup(self.listener.close)
        self.worker = self.accept()

    def test_worker_that_loads_ends(self) -> None:
        """It does so whatever it makes of a SIGTERM."""
        self.socket.close()
        self.assertEqual(self.worker.read(), "")
        self.assertEqual(self.process.wait(), -signal.SIGKILL)

    def test_worker_that_is_ready_has_a_limited_time_to_drain(self) -> None:
        """It is ended after that, if nobody has set another limit."""
        self.worker.send("ready")
        self.assertEqual(self.worker.read(), "done")
        self.socket.close()
        self.assertEqual(self.worker.read(), "SIGTERM")
        self.assertEqual(self.worker.read(), "")
        self.assertEqual(self.process.wait(), -signal.SIGALRM)


@contextlib.contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Has programs that are started ignore a signal."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


def _kill(pidfd: int) -> None:
    """Kills a process, unless it has ended."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)


if __name__ == "__main__":
    absltest.main()
