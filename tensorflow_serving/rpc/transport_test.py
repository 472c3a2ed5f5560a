"""Tests for transport, over pairs of sockets."""

import contextlib
import socket
import ssl

from absl.testing import absltest

from tensorflow_serving.rpc import options, tls, transport
from tensorflow_serving.test_util import certificates

_MUCH = 1 << 20


class PlainTransportTest(absltest.TestCase):
    """Bytes as they are."""

    def setUp(self) -> None:
        """Connects a transport with a socket of the test."""
        super().setUp()
        ours, self.theirs = socket.socketpair()
        self.addCleanup(self.theirs.close)
        self.ours = transport.PlainTransport(ours)
        self.addCleanup(self.ours.close)

    def test_bytes_go_both_ways(self) -> None:
        """Nothing is done to the bytes on their way."""
        self.theirs.send(b"hello")
        self.assertEqual(self.ours.receive(_MUCH), b"hello")
        self.assertEqual(self.ours.send(b"re: hello"), 9)
        self.assertEqual(self.theirs.recv(99), b"re: hello")

    def test_no_more_is_read_than_asked_for(self) -> None:
        """The rest is there the next time."""
        self.theirs.send(b"hello")
        self.assertEqual(self.ours.receive(2), b"he")
        self.assertEqual(self.ours.receive(9), b"llo")

    def test_nothing_to_read_is_none_and_the_end_is_empty(self) -> None:
        """Neither a read without bytes nor one at the end blocks."""
        self.assertIsNone(self.ours.receive(_MUCH))
        self.theirs.close()
        self.assertEqual(self.ours.receive(_MUCH), b"")

    def test_full_socket_takes_a_part_and_then_nothing(self) -> None:
        """It takes more once the peer has read."""
        sent = 0
        while size := self.ours.send(bytes(_MUCH)):
            sent += size
        self.assertEqual(self.ours.send(b"x"), 0)
        while sent:
            sent -= len(self.theirs.recv(_MUCH))
        self.assertEqual(self.ours.send(b"x"), 1)

    def test_send_to_a_peer_that_is_gone_is_an_error(self) -> None:
        """A send to a peer that is gone raises, so that the owner closes."""
        self.theirs.close()
        with self.assertRaises(OSError):
            self.ours.send(b"x")

    def test_shut_down_ends_one_direction(self) -> None:
        """A side that is shut down, once or twice, still receives."""
        self.ours.shut_down()
        self.ours.shut_down()
        self.assertEqual(self.theirs.recv(9), b"")
        self.theirs.send(b"x")
        self.assertEqual(self.ours.receive(9), b"x")

    def test_plain_transport_can_always_send(self) -> None:
        """A plain transport has no handshake to wait for."""
        self.assertTrue(self.ours.can_send)
        self.assertFalse(self.ours.wants_to_write)

    def test_tcp_sends_without_delay(self) -> None:
        """A reply never waits for an acknowledgement of the one before."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)
        client = socket.create_connection(listening.getsockname())
        self.addCleanup(client.close)
        sock, _ = listening.accept()
        tcp = transport.PlainTransport(sock)
        self.addCleanup(tcp.close)
        self.assertTrue(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        self.assertFalse(sock.getblocking())


class TlsTransportTest(absltest.TestCase):
    """Encrypted bytes."""

    def setUp(self) -> None:
        """Connects a transport with a client, without a handshake."""
        super().setUp()
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        files = certificates.write(self.create_tempdir().full_path)
        context = tls.create_context(
            options.TlsOptions(
                files.server.key_file, files.server.certificate_file
            )
        )
        self.ours = transport.TlsTransport(ours, context)
        self.addCleanup(self.ours.close)
        client = ssl.create_default_context(cafile=files.ca_file)
        theirs.setblocking(False)
        self.theirs = client.wrap_socket(
            theirs, server_hostname="localhost", do_handshake_on_connect=False
        )
        self.addCleanup(self.theirs.close)

    def _shake_hands(self) -> None:
        """Takes turns until both sides are ready."""
        while True:
            self.assertIsNone(self.ours.receive(_MUCH))
            try:
                self.theirs.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        self.assertIsNone(self.ours.receive(_MUCH))

    def test_nothing_is_sent_before_the_handshake(self) -> None:
        """The bytes stay with the owner, who asks can_send."""
        self.assertFalse(self.ours.can_send)
        self.assertEqual(self.ours.send(b"settings"), 0)
        self._shake_hands()
        self.assertTrue(self.ours.can_send)
        self.assertEqual(self.ours.send(b"settings"), 8)
        self.assertEqual(self.theirs.recv(99), b"settings")

    def test_all_that_was_decrypted_is_returned(self) -> None:
        """The system does not know of it, and would not wake anybody."""
        self._shake_hands()
        self.theirs.send(bytes(10_000))
        self.assertEqual(self.ours.receive(10), bytes(10_000))
        self.assertIsNone(self.ours.receive(10))

    def test_first_bytes_may_come_with_the_end_of_the_handshake(self) -> None:
        """They are not left behind."""
        while True:
            self.assertIsNone(self.ours.receive(_MUCH))
            try:
                self.theirs.do_handshake()
            except ssl.SSLWantReadError:
                continue
            break
        self.theirs.send(b"preface")
        self.assertEqual(self.ours.receive(_MUCH), b"preface")

    def test_peer_that_speaks_no_tls_is_at_its_end(self) -> None:
        """A peer that speaks no TLS looks like one that has closed."""
        plain = socket.socket(fileno=self.theirs.detach())
        self.addCleanup(plain.close)
        plain.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.assertEqual(self.ours.receive(_MUCH), b"")

    def test_half_a_handshake_waits(self) -> None:
        """Nothing blocks, and the end of the peer is seen."""
        plain = socket.socket(fileno=self.theirs.detach())
        plain.send(bytes.fromhex("1603010200"))
        self.assertIsNone(self.ours.receive(_MUCH))
        plain.close()
        self.assertEqual(self.ours.receive(_MUCH), b"")

    def test_full_socket_takes_a_part_and_then_nothing(self) -> None:
        """The same bytes are taken once the peer has read."""
        self._shake_hands()
        # All or nothing is taken: it is a library's way, not a promise.
        data = bytes(4 * _MUCH)
        sent = self.ours.send(data)
        self.assertLess(sent, len(data))
        received = 0
        while received < len(data):
            with contextlib.suppress(ssl.SSLWantReadError):
                received += len(self.theirs.recv(_MUCH))
            if sent < len(data):
                sent += self.ours.send(data[sent:])
        self.assertEqual(sent, len(data))


if __name__ == "__main__":
    absltest.main()
