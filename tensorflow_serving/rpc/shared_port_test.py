"""Tests for shared_port, with real sockets."""

import concurrent.futures
import selectors
import socket

import grpc
from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import shared_port
from tensorflow_serving.util import errors


class SharedPortTest(parameterized.TestCase):
    """A port of several processes; here, of several sockets."""

    def _hold(self, address: str) -> shared_port.SharedPort:
        held = shared_port.SharedPort(address)
        self.addCleanup(held.close)
        return held

    def _listen(self, port: int, *options: int) -> socket.socket:
        listener = socket.socket()
        self.addCleanup(listener.close)
        for option in options:
            listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        return listener

    def _connect(self, port: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.addCleanup(connection.close)
        return connection

    def _check_taken(self, address: str) -> None:
        with self.assertRaisesRegex(
            errors.UnavailableError, f"must be free.*; got {address}"
        ):
            shared_port.SharedPort(address)

    def test_port_0_picks_one(self) -> None:
        """Port 0 picks another port each time."""
        ports = {self._hold("127.0.0.1:0").port for _ in range(3)}
        self.assertEqual(len(ports), 3)
        self.assertNotIn(0, ports)

    def test_port_is_the_one_asked_for(self) -> None:
        """It is free again once the first holder is closed."""
        with shared_port.SharedPort("0.0.0.0:0") as first:
            pass
        self.assertEqual(self._hold(f"0.0.0.0:{first.port}").port, first.port)

    def test_every_connection_is_for_a_socket_that_listens(self) -> None:
        """None of 50 is lost to the holder; both listeners get some."""
        port = self._hold("127.0.0.1:0").port
        listeners = [self._listen(port, socket.SO_REUSEPORT) for _ in range(2)]
        for _ in range(50):
            self._connect(port)
        num_accepted = dict.fromkeys(listeners, 0)
        with selectors.DefaultSelector() as selector:
            for listener in listeners:
                selector.register(listener, selectors.EVENT_READ)
            while sum(num_accepted.values()) < 50:
                ready = selector.select(timeout=60)
                self.assertTrue(ready)
                for key, _ in ready:
                    assert isinstance(key.fileobj, socket.socket)
                    self.enter_context(key.fileobj.accept()[0])
                    num_accepted[key.fileobj] += 1
        self.assertGreater(min(num_accepted.values()), 0)

    def test_connection_is_refused_while_nothing_listens(self) -> None:
        """A client that is refused tries again; one that hangs does not."""
        port = self._hold("127.0.0.1:0").port
        with self.assertRaises(ConnectionRefusedError):
            self._connect(port)

    def test_grpc_servers_share_the_port(self) -> None:
        """They bind IPv6 as well if the address is 0.0.0.0."""
        port = self._hold("0.0.0.0:0").port
        threads = self.enter_context(concurrent.futures.ThreadPoolExecutor())
        for _ in range(2):
            server = grpc.server(threads, options=[("grpc.so_reuseport", 1)])
            self.addCleanup(server.stop, None)
            self.assertEqual(server.add_insecure_port(f"0.0.0.0:{port}"), port)
            server.start()
        self._connect(port)

    @parameterized.parameters(False, True)
    def test_second_holder_is_an_error(self, with_listener: bool) -> None:
        """A second holder is an error, whether or not anything listens."""
        port = self._hold("127.0.0.1:0").port
        if with_listener:
            self._listen(port, socket.SO_REUSEPORT, socket.SO_REUSEADDR)
        for _ in range(2):
            self._check_taken(f"127.0.0.1:{port}")
            self._check_taken(f"0.0.0.0:{port}")
        self._listen(port, socket.SO_REUSEPORT)

    @parameterized.parameters(
        (),
        (socket.SO_REUSEADDR,),
        (socket.SO_REUSEPORT,),
        (socket.SO_REUSEADDR, socket.SO_REUSEPORT),
    )
    def test_port_that_is_listened_on_is_an_error(self, *options: int) -> None:
        """A port that is listened on is refused, even if it may be shared."""
        port = self._listen(0, *options).getsockname()[1]
        self._check_taken(f"127.0.0.1:{port}")

    def test_port_is_for_nobody_else(self) -> None:
        """A server that does not share finds it in use."""
        port = self._hold("127.0.0.1:0").port
        with self.assertRaisesRegex(OSError, "in use"):
            self._listen(port, socket.SO_REUSEADDR)

    def test_connections_of_the_last_server_are_not_in_the_way(self) -> None:
        """They linger for a minute; the port is held nevertheless."""
        listener = self._listen(0, socket.SO_REUSEADDR)
        port = listener.getsockname()[1]
        client = self._connect(port)
        accepted = listener.accept()[0]
        # The side that ends a connection first is the one where it lingers.
        accepted.close()
        self.assertEqual(client.recv(1), b"")
        client.close()
        listener.close()
        self._hold(f"127.0.0.1:{port}")
        self._check_taken(f"127.0.0.1:{port}")
        self._listen(port, socket.SO_REUSEPORT, socket.SO_REUSEADDR)
        self._connect(port)

    def test_ipv6_is_for_ipv4_as_well(self) -> None:
        """A port of IPv6 serves IPv4 as well, as it does in gRPC."""
        if not socket.has_dualstack_ipv6():
            self.skipTest("this machine has no IPv6")
        port = self._hold("[::]:0").port
        self._check_taken(f"0.0.0.0:{port}")

    @parameterized.parameters(
        "", "9000", "localhost", "localhost:", "localhost:x", "[::", "::1:0:x"
    )
    def test_what_is_no_address_is_an_error(self, address: str) -> None:
        """The message names what is not an address."""
        with self.assertRaisesRegex(errors.UnavailableError, "got "):
            shared_port.SharedPort(address)

    @parameterized.parameters("127.0.0.1:65536", "192.0.2.1:0")
    def test_address_of_no_machine_or_another_is_an_error(
        self, address: str
    ) -> None:
        """It cannot be listened on here."""
        self._check_taken(address)


if __name__ == "__main__":
    absltest.main()
