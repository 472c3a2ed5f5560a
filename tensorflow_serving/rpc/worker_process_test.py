"""Tests for worker_process; supervisor_test has real workers."""

import os
import signal
import sys
import unittest.mock

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import worker_process

_SEND = """
import os, socket
connection = socket.socket(
    fileno=int(os.environ["TENSORFLOW_SERVING_WORKER_SOCKET"])
)
connection.send(b"hello")
connection.close()
os._exit(7)
"""


class WorkerProcessTest(parameterized.TestCase):
    """A process that is started as a worker is."""

    def test_process_is_read_until_it_ends(self) -> None:
        """Its exit code is known after that."""
        process = worker_process.WorkerProcess([sys.executable, "-c", _SEND])
        self.assertEqual(process.read(), b"hello")
        self.assertEqual(process.read(), b"")
        process.wait_for_end()
        self.assertEqual(process.reap(), 7)

    def test_process_keeps_its_id_until_it_is_reaped(self) -> None:
        """A signal to one that has ended hits nobody else."""
        process = worker_process.WorkerProcess([sys.executable, "-c", ""])
        process.wait_for_end()
        self.assertEqual(os.getpgid(process.pid), process.pid)
        for number in (signal.SIGTERM, signal.SIGKILL):
            process.send_signal(number)
        self.assertEqual(process.reap(), 0)

    def test_command_that_cannot_be_run_is_an_error(self) -> None:
        """It names the command."""
        with self.assertRaisesRegex(OSError, "/no/such/program"):
            worker_process.WorkerProcess(["/no/such/program"])

    @parameterized.parameters(
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "SIGKILL"),
        (-40, "signal 40"),
    )
    def test_end_is_described(self, exit_code: int, text: str) -> None:
        """A signal has its name in the description of an end."""
        self.assertEqual(worker_process.describe(exit_code), text)


class OwnCommandTest(parameterized.TestCase):
    """The command of this program, with more flags."""

    @parameterized.parameters(
        ([], ["--more"]),
        (["a.py", "--port=0", "b"], ["a.py", "--port=0", "b", "--more"]),
        (["-m", "a", "--", "--b"], ["-m", "a", "--more", "--", "--b"]),
    )
    def test_flags_are_added(self, given: list[str], wanted: list[str]) -> None:
        """Flags are added after the others, and the last one counts."""
        with unittest.mock.patch.object(sys, "orig_argv", ["python", *given]):
            self.assertEqual(
                worker_process.own_command(["--more"]),
                [sys.executable, *wanted],
            )


if __name__ == "__main__":
    absltest.main()
