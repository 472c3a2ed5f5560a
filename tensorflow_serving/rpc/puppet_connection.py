"""The side of a test that puppet workers connect to; see puppet_worker.py."""

import os
import signal
import socket

from absl.testing import parameterized

_PUPPET = os.path.join(os.path.dirname(__file__), "puppet_worker")

# Longer than anything that a test waits for.
_TIMEOUT_SECONDS = 30


class Puppet:
    """The test's end of the connection to a worker."""

    def __init__(self, connection: socket.socket) -> None:
        """Takes over a connection, on which the worker says who it is."""
        self._connection = connection
        self._lines = connection.makefile()
        self.pid = int(self.read())

    def read(self) -> str:
        """Waits for a line; it is empty at the end of the process."""
        try:
            return self._lines.readline().strip()
        except ConnectionResetError:  # an order was not read
            return ""

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


class PuppetTestCase(parameterized.TestCase):
    """A test of what starts puppet workers."""

    def setUp(self) -> None:
        """Listens for them."""
        super().setUp()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(_TIMEOUT_SECONDS)
        self.command = [_PUPPET, str(self.listener.getsockname()[1])]

    def accept(self) -> Puppet:
        """Returns the next worker that starts."""
        connection, _ = self.listener.accept()
        connection.settimeout(_TIMEOUT_SECONDS)
        puppet = Puppet(connection)
        self.addCleanup(puppet.close)
        return puppet

    def check_alive(self, worker: Puppet) -> None:
        """Fails if the worker does not answer."""
        worker.send("answer")
        self.assertEqual(worker.read(), "done")
