"""Tests for listener."""

import contextlib
import errno
import os
import socket
import tempfile

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import listener


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


_needs_ipv6 = absltest.skipUnless(_has_ipv6(), "this machine has IPv4 only")


class HostTest(parameterized.TestCase):
    """Sockets on addresses of hosts."""

    def _listen(self, address: str, **options: bool) -> listener.Listener:
        listening = listener.Listener(address, **options)
        self.addCleanup(listening.close)
        return listening

    def _connect(self, host: str, port: int) -> None:
        socket.create_connection((host, port), 60).close()

    @parameterized.parameters(
        ("0.0.0.0:9000", "0.0.0.0", 9000),
        ("localhost:0", "localhost", 0),
        (":9000", "", 9000),
        ("[::1]:1", "::1", 1),
        ("[::]:65535", "::", 65535),
    )
    def test_address_is_a_host_and_a_port(
        self, address: str, host: str, port: int
    ) -> None:
        """The brackets of an IPv6 address are not part of the host."""
        self.assertEqual(listener.split(address), (host, port))
        self.assertIsNone(listener.path_of(address))

    @parameterized.parameters(
        "", "localhost", "localhost:", "localhost:http", "localhost:65536",
        "localhost:-1", "me@localhost:1", "localhost:1/x", "localhost:1?x",
        "::1", "[::1:1",
    )  # fmt: skip
    def test_other_text_is_no_address(self, address: str) -> None:
        """It is refused before any socket is made."""
        with self.assertRaises(ValueError):
            listener.Listener(address)

    def test_port_0_picks_one(self) -> None:
        """Two listeners get two ports, and clients can connect to them."""
        ports = {self._listen("127.0.0.1:0").port for _ in range(2)}
        self.assertEqual(len(ports), 2)
        for port in ports:
            self._connect("127.0.0.1", port)

    def test_no_host_is_all_addresses(self) -> None:
        """One port is for both families, where the machine has both."""
        listening = self._listen(":0")
        self._connect("127.0.0.1", listening.port)
        if _has_ipv6():
            self._connect("::1", listening.port)

    @_needs_ipv6
    def test_localhost_is_both_of_its_addresses(self) -> None:
        """Clients try one or the other first."""
        listening = self._listen("localhost:0")
        names = {each.getsockname()[:2] for each in listening.sockets}
        expected = {
            name[:2]
            for *_, name in socket.getaddrinfo(
                "localhost", listening.port, type=socket.SOCK_STREAM
            )
        }
        self.assertEqual(names, expected)

    @_needs_ipv6
    def test_all_addresses_of_one_family_leave_the_other_alone(self) -> None:
        """A server on 0.0.0.0 does not answer on ::1."""
        listening = self._listen("0.0.0.0:0")
        with self.assertRaises(ConnectionRefusedError):
            self._connect("::1", listening.port)

    def test_port_in_use_is_an_error(self) -> None:
        """The one who has it keeps it."""
        first = self._listen("127.0.0.1:0")
        with self.assertRaises(OSError) as raised:
            self._listen(f"127.0.0.1:{first.port}")
        self.assertEqual(raised.exception.errno, errno.EADDRINUSE)
        self._connect("127.0.0.1", first.port)

    def test_port_can_be_shared_if_both_want_it(self) -> None:
        """One without the option gets none of it."""
        first = self._listen("127.0.0.1:0", reuse_port=True)
        address = f"127.0.0.1:{first.port}"
        self.assertEqual(
            self._listen(address, reuse_port=True).port, first.port
        )
        with self.assertRaises(OSError):
            self._listen(address)

    def test_unknown_host_is_an_error(self) -> None:
        """An address of another machine cannot be taken either."""
        with self.assertRaises(OSError):
            self._listen("192.0.2.1:0")
        with self.assertRaises(OSError):
            self._listen("no such host:0")

    def test_closed_listener_gives_its_port_back(self) -> None:
        """A second close is no error."""
        first = self._listen("127.0.0.1:0")
        first.close()
        first.close()
        self.assertEqual(
            self._listen(f"127.0.0.1:{first.port}").port, first.port
        )

    def test_sockets_do_not_block(self) -> None:
        """accept() without a client returns at once."""
        for each in self._listen("localhost:0").sockets:
            with self.assertRaises(BlockingIOError):
                each.accept()


class PathTest(absltest.TestCase):
    """UNIX sockets."""

    def setUp(self) -> None:
        """Makes a folder."""
        super().setUp()
        # With a short name: the system allows 107 characters for a socket.
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.path = os.path.join(folder, "s")
        self.address = f"unix:{self.path}"

    def _listen(self, *, takes_over: bool = False) -> listener.Listener:
        listening = listener.Listener(self.address, takes_over=takes_over)
        self.addCleanup(listening.close)
        return listening

    def _connect(self) -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)

    def _require_listening(self, listening: listener.Listener) -> None:
        """Fails unless a client of the path reaches this listener."""
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)
            listening.sockets[0].accept()[0].close()

    def test_socket_has_a_path_and_no_port(self) -> None:
        """Clients connect to a UNIX socket by its path."""
        self.assertEqual(self._listen().port, 0)
        self.assertEqual(listener.path_of(self.address), self.path)
        self._connect()

    def test_socket_in_use_is_an_error(self) -> None:
        """It is not stolen from the one who listens."""
        self._listen()
        with self.assertRaises(OSError):
            self._listen()
        self._connect()

    def test_last_one_has_the_socket_if_it_takes_over(self) -> None:
        """The first one keeps its connections, and removes nothing."""
        first = self._listen(takes_over=True)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path)
            last = self._listen(takes_over=True)
            first.sockets[0].accept()[0].close()
        self._require_listening(last)
        first.close()
        self._require_listening(last)
        last.close()
        self.assertFalse(os.listdir(os.path.dirname(self.path)))

    def test_path_may_be_as_long_as_the_system_allows(self) -> None:
        """Clients connect to it all the same."""
        self.path += "s" * (107 - len(self.path))
        self.address = f"unix:{self.path}"
        for takes_over in (True, False):
            listening = self._listen(takes_over=takes_over)
            self._require_listening(listening)
            listening.close()

    def test_file_is_not_taken_over(self) -> None:
        """A wrong flag must not cost anybody a file."""
        with open(self.path, "w", encoding="ascii"):
            pass
        with self.assertRaises(OSError):
            self._listen(takes_over=True)
        self.assertTrue(os.path.isfile(self.path))

    def test_socket_that_was_left_behind_is_replaced(self) -> None:
        """A server that was killed removes nothing."""
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(self.path)
        self._listen()
        self._connect()

    def test_file_that_is_no_socket_is_kept(self) -> None:
        """A wrong flag must not cost anybody a file."""
        with open(self.path, "w", encoding="ascii") as file:
            file.write("precious")
        with self.assertRaises(OSError):
            self._listen()
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_close_removes_the_socket_and_its_lock(self) -> None:
        """Nothing is left in the folder of a closed socket."""
        self._listen().close()
        self.assertFalse(os.listdir(os.path.dirname(self.path)))
        self._listen()
        self._connect()

    def test_failed_listener_leaves_the_lock(self) -> None:
        """The next one can have the path."""
        os.mkdir(self.path)
        with self.assertRaises(OSError):
            self._listen()
        os.rmdir(self.path)
        self._listen()

    def test_address_without_a_path_is_an_error(self) -> None:
        """A UNIX address without a path is refused."""
        with self.assertRaises(ValueError):
            listener.Listener("unix:")

    def test_lock_is_for_one_at_a_time(self) -> None:
        """It is free again once the stack of its owner is closed."""
        with contextlib.ExitStack() as owner:
            listener.lock(self.path, owner)
            with (
                contextlib.ExitStack() as other,
                self.assertRaises(BlockingIOError),
            ):
                listener.lock(self.path, other)
        with contextlib.ExitStack() as other:
            listener.lock(self.path, other)


if __name__ == "__main__":
    absltest.main()
