"""Tests for server_process, with small programs in the place of servers."""

import sys

from absl.testing import absltest

from tensorflow_serving.test_util import server_process
from tensorflow_serving.util import errors

_SERVER = """
import signal
signal.signal(signal.SIGTERM, lambda *_: exit(7))
print("hello")
print("now listening on 0.0.0.0:1234", flush=True)
signal.pause()
"""


class ServerProcessTest(absltest.TestCase):
    """A server as a process of its own."""

    def test_port_is_what_the_server_prints(self) -> None:
        """And stop() returns its exit code."""
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


if __name__ == "__main__":
    absltest.main()
