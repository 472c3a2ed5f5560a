"""Tests for worker, in this process; supervisor_test has real workers."""

import faulthandler
import os
import signal
import socket
import unittest.mock

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import worker as worker_lib
from tensorflow_serving.util import errors, signals


class WorkerTest(parameterized.TestCase):
    """The side of a worker process."""

    def setUp(self) -> None:
        """Makes the socket, and lets a test change the environment."""
        super().setUp()
        self.enter_context(unittest.mock.patch.dict(os.environ))
        self.supervisor, theirs = socket.socketpair()
        self.addCleanup(self.supervisor.close)
        theirs.set_inheritable(True)
        self.fd = theirs.detach()

    def _worker(self) -> worker_lib.Worker:
        os.environ[worker_lib.SOCKET_VARIABLE] = str(self.fd)
        worker = worker_lib.Worker.from_environment()
        assert worker is not None
        self.addCleanup(worker.close)
        return worker

    def test_without_supervisor_there_is_no_worker(self) -> None:
        """A program that somebody starts by hand is not a worker."""
        os.close(self.fd)
        self.assertIsNone(worker_lib.Worker.from_environment())

    def test_process_is_a_worker_once(self) -> None:
        """Programs that it starts inherit neither variable nor socket."""
        self._worker()
        self.assertIsNone(worker_lib.Worker.from_environment())
        self.assertFalse(os.get_inheritable(self.fd))

    def test_ready_is_one_byte(self) -> None:
        """The supervisor reads it."""
        self._worker().ready()
        self.assertEqual(len(self.supervisor.recv(10)), 1)

    def test_heartbeat_is_one_byte(self) -> None:
        """It is another one than that of a worker that is ready."""
        worker = self._worker()
        worker.ready()
        worker.heartbeat()
        self.assertEqual(
            self.supervisor.recv(10), worker_lib.READY + worker_lib.HEARTBEAT
        )

    def test_heartbeat_does_not_block(self) -> None:
        """A heartbeat returns at once when the supervisor does not read."""
        worker = self._worker()
        for _ in range(100_000):
            worker.heartbeat()
        self.supervisor.close()
        worker.heartbeat()
        worker.close()
        worker.heartbeat()

    def test_abort_writes_the_stacks(self) -> None:
        """The supervisor ends a worker like this whose heartbeats stop."""
        with self._worker():
            self.assertTrue(faulthandler.is_enabled())

    def test_close_is_no_reason_to_stop(self) -> None:
        """The thread ends without a signal; a second close is no error."""
        with self._worker() as worker:
            worker.ready()
        worker.close()

    def test_end_of_the_supervisor_is_sigterm(self) -> None:
        """A supervisor that ends is a SIGTERM, even if it left bytes unread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.addCleanup(signal.set_wakeup_fd, -1)
        termination = signals.Termination()
        self.addCleanup(termination.close)
        with self._worker() as worker:
            worker.ready()
            self.supervisor.close()
            self.assertEqual(termination.wait(), "SIGTERM")
            worker.ready()

    @parameterized.named_parameters(
        ("no_number", "x"), ("negative", "-1"), ("closed", "999999")
    )
    def test_variable_without_socket_is_an_error(self, value: str) -> None:
        """It names the variable."""
        os.close(self.fd)
        os.environ[worker_lib.SOCKET_VARIABLE] = value
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            f"SOCKET must be the socket of a supervisor; got {value}",
        ):
            worker_lib.Worker.from_environment()


if __name__ == "__main__":
    absltest.main()
