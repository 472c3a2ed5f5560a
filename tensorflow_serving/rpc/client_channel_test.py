"""Tests for client_channel, with servers that say one thing."""

import os
import socket
import threading
from unittest import mock

import grpc
from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import client_channel
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

# Longer than anything takes here, unless it is to run out.
_LONG_SECONDS = 30.0


class AddressTest(parameterized.TestCase):
    """Tests of the checks of an address before any connection."""

    @parameterized.parameters(
        ("localhost:1", True),
        ("127.0.0.2:1", True),
        ("[::1]:1", True),
        ("ipv6:[::1]:1", True),
        ("dns:///localhost:1", True),
        ("unix:/tmp/socket", True),
        ("10.0.0.1:1", False),
        ("example.com:1", False),
    )
    def test_loopback_and_unix_sockets_are_local(
        self, address: str, expected: bool
    ) -> None:
        """An address may have any form and still be local."""
        self.assertEqual(client_channel.is_local(address), expected)

    @parameterized.parameters(
        ("", "must be a host and a port, "),
        ("http://x:1", "without http://"),
        ("x:1/", "must have no / at its end"),
        ("x", "must have a port after the host"),
        ("::1", "must have a port after the host"),
        (":9000", "must have a host"),
        ("x:70000", "must have a port from 1 to 65535"),
        ("x:0", "must have a port from 1 to 65535"),
        ("x:http", "must have a port from 1 to 65535"),
    )
    def test_each_mistake_has_a_text_of_its_own(
        self, address: str, text: str
    ) -> None:
        """The flag, the address and an example are in it."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            f"^--server .*{text}.*localhost:9000; got '{address}'$",
        ):
            client_channel.require_address(address, "--server")

    @parameterized.parameters(
        "x:1", "[::1]:65535", "127.0.0.1:9000", "unix:/x", "dns:///x:1"
    )
    def test_good_address_passes(self, address: str) -> None:
        """Nothing is looked up."""
        client_channel.require_address(address, "--server")

    def test_proxy_is_that_of_grpc_for_remote_hosts_only(self) -> None:
        """Exceptions of no_proxy count, as they do for gRPC."""
        environment = {"http_proxy": "http://127.0.0.1:1", "no_proxy": ".b"}
        with mock.patch.dict(os.environ, environment, clear=True):
            self.assertEqual(
                client_channel.proxy_variable("host.a:1"), "http_proxy"
            )
            self.assertIsNone(client_channel.proxy_variable("host.b:1"))
            self.assertIsNone(client_channel.proxy_variable("localhost:1"))
            self.assertIn(
                "http_proxy", client_channel.diagnose("host.a:1", _LONG_SECONDS)
            )


class ChannelTest(absltest.TestCase):
    """Channels that are used."""

    def test_proxy_does_not_stand_before_a_local_server(self) -> None:
        """A proxy that does not exist is never asked."""
        server = self.enter_context(server_lib.Server("127.0.0.1:0", []))
        server.start()
        with (
            mock.patch.dict(os.environ, http_proxy="http://127.0.0.1:1"),
            client_channel.insecure(f"localhost:{server.port}") as channel,
        ):
            grpc.channel_ready_future(channel).result(_LONG_SECONDS)


class DiagnoseTest(parameterized.TestCase):
    """Why a server could not be reached."""

    def _answer(self, answer: bytes | None) -> str:
        """Starts a server of one connection; returns its address.

        Args:
          answer: Sent before it closes; None says nothing until the client
            leaves.
        """
        listener = self.enter_context(socket.create_server(("127.0.0.1", 0)))

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                if answer is None:
                    connection.recv(1)
                else:
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)
        return f"127.0.0.1:{listener.getsockname()[1]}"

    @parameterized.parameters(
        (b"", "may want TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP/1"),
        (b"\x15\x03\x01\x00\x02\x02\x16", "wants TLS"),
        (b"\0\0\0\4\0\0\0\0\0", "was not ready in time"),
        (b"SSH-2.0-x\r\n", "does not speak HTTP/2"),
    )
    def test_first_bytes_tell_what_a_server_is(
        self, answer: bytes, text: str
    ) -> None:
        """A server of another kind is named."""
        self.assertIn(
            text, client_channel.diagnose(self._answer(answer), _LONG_SECONDS)
        )

    def test_server_that_says_nothing_is_not_waited_for(self) -> None:
        """The time for an answer runs out."""
        self.assertIn(
            "does not answer", client_channel.diagnose(self._answer(None), 0.05)
        )

    def test_refused_connection_means_that_nothing_listens(self) -> None:
        """A refused connection, also to a socket file, means no listener."""
        for address in ("127.0.0.1:1", "unix:/no/such/socket"):
            self.assertIn(
                "nothing listens there",
                client_channel.diagnose(address, _LONG_SECONDS),
            )

    def test_unknown_host_is_told_from_a_server_that_is_down(self) -> None:
        """The resolver's text follows."""
        with mock.patch.object(
            socket, "getaddrinfo", side_effect=socket.gaierror(-2, "unknown")
        ):
            self.assertEqual(
                client_channel.diagnose("nosuch.invalid:1", _LONG_SECONDS),
                "its host is not known: unknown",
            )


if __name__ == "__main__":
    absltest.main()
