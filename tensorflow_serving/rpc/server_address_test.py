"""Tests for server: the addresses that it listens on."""

import contextlib
import os
import pathlib
import socket
import tempfile
from typing import Any

import grpc
from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import (
    echo_service,
    grpcio_lane,
    lane,
    wire_lane,
)
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_DEFAULTS = server_lib.Options()
_HELLO = echo_service.message("hello")
_SECONDS = 60.0


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


class ServerAddressTest(parameterized.TestCase):
    """Servers with an echo service, in the wire lane."""

    lane_class: type[lane.Lane] = wire_lane.WireLane

    def setUp(self) -> None:
        """Makes a folder for sockets."""
        super().setUp()
        # With a short name: the system allows 107 characters for a path.
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "socket")

    def _start(
        self, *addresses: str, options: server_lib.Options = _DEFAULTS
    ) -> server_lib.Server:
        server: server_lib.Server = self.enter_context(
            server_lib.Server(
                addresses,
                [echo_service.EchoService().service()],
                options,
                self.lane_class,
            )
        )
        server.start()
        return server

    def _check_served(self, address: str) -> None:
        with grpc.insecure_channel(address) as channel:
            echo: Any = channel.unary_unary(echo_service.ECHO)
            self.assertEqual(
                echo(_HELLO, timeout=_SECONDS, wait_for_ready=True), _HELLO
            )

    def _check_not_free(self, address: str, text: str = ".*") -> None:
        with self.assertRaisesRegex(
            errors.UnavailableError, rf"^address must be free, .*{text}"
        ):
            self._start(address)

    def _require_ipv6(self) -> None:
        if not _has_ipv6():
            self.skipTest("this machine must have IPv6; it does not")

    # TCP.

    def test_address_of_ipv4_is_served(self) -> None:
        """A client of this machine finds it."""
        server = self._start("127.0.0.1:0")
        self.assertGreater(server.port, 0)
        self.assertIn(f"ports [{server.port}]", repr(server))
        self._check_served(f"127.0.0.1:{server.port}")

    def test_address_of_ipv6_is_served(self) -> None:
        """It is written in brackets, because it has colons."""
        self._require_ipv6()
        server = self._start("[::1]:0")
        self._check_served(f"[::1]:{server.port}")

    @parameterized.parameters(":0", "[::]:0")
    def test_address_without_a_host_is_for_both_families(
        self, address: str
    ) -> None:
        """All addresses of the machine have the same port."""
        self._require_ipv6()
        server = self._start(address)
        for host in ("127.0.0.1", "[::1]", "localhost"):
            self._check_served(f"{host}:{server.port}")

    def test_localhost_is_served_in_its_families(self) -> None:
        """Clients may use the name or an address of it."""
        server = self._start("localhost:0")
        self._check_served(f"localhost:{server.port}")
        families = {
            family
            for family, *_ in socket.getaddrinfo(
                "localhost", server.port, type=socket.SOCK_STREAM
            )
        }
        if socket.AF_INET in families:
            self._check_served(f"127.0.0.1:{server.port}")
        if socket.AF_INET6 in families and _has_ipv6():
            self._check_served(f"[::1]:{server.port}")

    def test_several_addresses_are_served(self) -> None:
        """The port is that of the first one."""
        server = self._start("127.0.0.1:0", f"unix:{self.path}")
        self._check_served(f"127.0.0.1:{server.port}")
        self._check_served(f"unix:{self.path}")

    def test_port_is_free_after_a_stop(self) -> None:
        """A port is free after a stop, even with remains of connections."""
        server = self._start("127.0.0.1:0")
        self._check_served(f"127.0.0.1:{server.port}")
        server.stop(_SECONDS)
        again = self._start(f"127.0.0.1:{server.port}")
        self._check_served(f"127.0.0.1:{again.port}")

    def test_port_is_free_after_a_start_that_failed(self) -> None:
        """An address that cannot be taken leaves nothing of the others."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            taken_port = taken.getsockname()[1]
            with self.assertRaises(errors.UnavailableError):
                self._start(f"unix:{self.path}", f"127.0.0.1:{taken_port}")
        self._start(f"unix:{self.path}", f"127.0.0.1:{taken_port}")

    @parameterized.parameters(
        "", "localhost", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000"
    )
    def test_address_that_is_none_is_an_error(self, address: str) -> None:
        """The error has the address."""
        self._check_not_free(address, f"got {address} \\(")

    def test_address_of_another_machine_is_an_error(self) -> None:
        """An address for documentation, which no machine has, is refused."""
        self._check_not_free("192.0.2.1:0")

    def test_port_may_be_shared_if_all_say_so(self) -> None:
        """A server that does not say so cannot have it."""
        options = server_lib.Options(reuse_port=True)
        first = self._start("127.0.0.1:0", options=options)
        address = f"127.0.0.1:{first.port}"
        second = self._start(address, options=options)
        self.assertEqual(first.port, second.port)
        self._check_not_free(address)
        first.stop(_SECONDS)
        self._check_served(address)

    # UNIX sockets.

    def test_path_is_served(self) -> None:
        """A path has no port, and nothing of it is left after a stop."""
        server = self._start(f"unix:{self.path}")
        self.assertEqual(server.port, 0)
        self._check_served(f"unix:{self.path}")
        server.stop(_SECONDS)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), [])

    def test_path_of_a_server_is_not_free(self) -> None:
        """The first server goes on, and the second may have it after that."""
        server = self._start(f"unix:{self.path}")
        self._check_not_free(f"unix:{self.path}")
        self._check_served(f"unix:{self.path}")
        server.stop(_SECONDS)
        self._start(f"unix:{self.path}")
        self._check_served(f"unix:{self.path}")

    def test_path_of_a_server_is_taken_over_by_request(self) -> None:
        """The first server goes on without it, and leaves it at its end."""
        if self.lane_class is not wire_lane.WireLane:
            self.skipTest("the server of grpcio removes any socket at its end")
        options = server_lib.Options(takes_over_sockets=True)
        servers = [
            self._start(f"unix:{self.path}", options=options) for _ in range(2)
        ]
        self._check_served(f"unix:{self.path}")
        servers[0].stop(_SECONDS)
        self._check_served(f"unix:{self.path}")
        servers[1].stop(_SECONDS)
        self.assertEqual(os.listdir(os.path.dirname(self.path)), [])

    def test_socket_that_was_left_is_replaced(self) -> None:
        """Its server was killed, and so its lock is free."""
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(self.path)
        pathlib.Path(f"{self.path}.lock").touch()
        self._start(f"unix:{self.path}")
        self._check_served(f"unix:{self.path}")

    def test_file_is_not_replaced(self) -> None:
        """Somebody may need what is in it."""
        file = pathlib.Path(self.path)
        file.write_text("precious", encoding="ascii")
        self._check_not_free(f"unix:{self.path}")
        self.assertEqual(file.read_text(encoding="ascii"), "precious")
        self.assertEqual(os.listdir(os.path.dirname(self.path)), ["socket"])

    def test_path_in_a_folder_that_is_not_there_is_an_error(self) -> None:
        """The folder is not made."""
        self._check_not_free(f"unix:{self.path}/socket")
        self.assertFalse(os.path.exists(self.path))

    def test_path_must_be_short(self) -> None:
        """The system would cut it."""
        self._check_not_free(f"unix:{self.path}{'x' * 100}")

    def test_path_must_not_be_empty(self) -> None:
        """It would be a socket that nobody finds."""
        self._check_not_free("unix:")


class GrpcioLaneServerAddressTest(ServerAddressTest):
    """The same, with the server of grpcio."""

    lane_class = grpcio_lane.GrpcioLane


if __name__ == "__main__":
    absltest.main()
