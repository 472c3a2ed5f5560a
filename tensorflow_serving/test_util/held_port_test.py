"""Tests for held_port."""

import socket

from absl.testing import absltest

from tensorflow_serving.test_util import held_port


class HeldPortTest(absltest.TestCase):
    """A port, and servers that want it."""

    def test_server_can_listen_on_a_held_port(self) -> None:
        """Clients reach the server, not the holder."""
        with held_port.hold() as port, socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("", port))
            server.listen()
            with socket.create_connection(("127.0.0.1", port)) as client:
                accepted, address = server.accept()
                with accepted:
                    self.assertEqual(address, client.getsockname())

    def test_held_ports_differ(self) -> None:
        """Two servers do not get in each other's way."""
        with held_port.hold() as first, held_port.hold() as second:
            self.assertNotEqual(first, second)


if __name__ == "__main__":
    absltest.main()
