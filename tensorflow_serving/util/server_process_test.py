"""Tests for server_process, with small programs in the place of servers."""

import signal
import sys

from absl.testing import absltest

from tensorflow_serving.util import errors, server_process

_SERVER = """
import signal
signal.signal(signal.SIGTERM, lambda *_: exit(7))
print("hello")
print("now listening on 0.0.0.0:1234", flush=True)
signal.pause()
"""

# Logs and listens on command; os.write() may be called at any moment.
_OBEDIENT_SERVER = """
import os, signal
signal.signal(signal.SIGUSR1, lambda *_: os.write(2, b"told to log\\n"))
signal.signal(
    signal.SIGUSR2, lambda *_: os.write(1, b"listening on host:1234\\n")
)
os.write(2, b"started\\n")
while True:
    signal.pause()
"""


class ServerProcessTest(absltest.TestCase):
    """A server as a process of its own."""

    def test_port_is_what_the_server_prints(self) -> None:
        """The port is the one that is printed; stop() returns the exit code."""
        with server_process.ServerProcess(
            [sys.executable, "-c", _SERVER]
        ) as server:
            self.assertEqual(server.port, 1234)
            self.assertEqual(server.address, "localhost:1234")
            self.assertEqual(server.stop(), 7)

    def test_server_is_killed_at_the_end(self) -> None:
        """Nothing is left running."""
        with server_process.ServerProcess(
            [sys.executable, "-c", _SERVER]
        ) as server:
            pass
        self.assertEqual(server.wait(), -9)

    def test_server_that_ends_at_once_is_an_error(self) -> None:
        """It names the exit code."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "must listen; got exit code 5"
        ):
            server_process.ServerProcess([sys.executable, "-c", "exit(5)"])

    def test_lines_of_the_log_can_be_waited_for(self) -> None:
        """A wait begins at the start, or where another wait ended."""
        with server_process.ServerProcess(
            [sys.executable, "-c", _OBEDIENT_SERVER],
            collects_log=True,
            waits=False,
        ) as server:
            self.assertEqual(server.wait_for_log("^start"), 1)
            server.send_signal(signal.SIGUSR1)
            self.assertEqual(server.wait_for_log("to log$"), 2)
            server.send_signal(signal.SIGUSR1)
            self.assertEqual(server.wait_for_log("to log$", 2), 3)
            self.assertEqual(server.wait_for_log("to log$"), 2)
            self.assertEqual(
                list(server.log_lines),
                ["started", "told to log", "told to log"],
            )

    def test_lines_go_where_they_are_wanted(self) -> None:
        """Lines are passed on before those who wait for them are woken."""
        lines: list[str] = []
        with server_process.ServerProcess(
            [sys.executable, "-c", _OBEDIENT_SERVER],
            collects_log=True,
            on_log_line=lines.append,
            waits=False,
        ) as server:
            server.wait_for_log("^start")
            self.assertEqual(lines, ["started\n"])

    def test_server_may_begin_to_listen_later(self) -> None:
        """There is a port from then on."""
        with server_process.ServerProcess(
            [sys.executable, "-c", _OBEDIENT_SERVER],
            collects_log=True,
            waits=False,
        ) as server:
            server.wait_for_log("started")
            server.send_signal(signal.SIGUSR2)
            server.wait_until_listening()
            self.assertEqual(server.port, 1234)

    def test_line_that_never_came_is_an_error(self) -> None:
        """It says what was waited for."""
        with server_process.ServerProcess(
            [sys.executable, "-c", "exit('bye')"],
            collects_log=True,
            waits=False,
        ) as server:
            with self.assertRaisesRegex(
                errors.FailedPreconditionError, "'hello'.* got 1 lines and the"
            ):
                server.wait_for_log("hello")
            with self.assertRaisesRegex(
                errors.FailedPreconditionError, "must listen; got exit code 1"
            ):
                server.wait_until_listening()


if __name__ == "__main__":
    absltest.main()
