"""Tests for connection, of real ones to a server."""

import contextlib
import select
import time

import requests
from absl.testing import absltest, parameterized

from tensorflow_serving.http import server_test_case


class ConnectionTest(server_test_case.ServerTestCase):
    """Limits on what a client may do with its connection."""

    def test_head_over_the_limit_is_refused(self) -> None:
        """A head without an end does not grow without end."""
        sock = self.connect(self.start(max_head_bytes=10_000))
        sock.sendall(b"GET /x HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                sock.sendall(b"a: " + b"b" * 1000 + b"\r\n")
        found = self.closes(sock)
        self.assertTrue(not found or b"HTTP/1.1 431" in found, found)
        self.assertEqual(self.handler.requests, [])

    @parameterized.named_parameters(
        ("path", b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n"),
        (
            "fields",
            b"GET /x HTTP/1.1\r\n" + b"a: bcdefgh\r\n" * 9_000 + b"\r\n",
        ),
    )
    def test_head_that_comes_at_once_has_the_same_limit(
        self, sent: bytes
    ) -> None:
        """A whole head is refused as well, and not for being no HTTP."""
        sock = self.connect(self.start())
        sock.sendall(sent)
        self.assertIn(b"HTTP/1.1 431", self.closes(sock))
        self.assertEqual(self.handler.requests, [])

    def test_small_heads_in_a_large_read_are_answered(self) -> None:
        """Only the head itself counts, not all that comes with it."""
        sock = self.connect(self.start(max_head_bytes=500))
        request = b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 900\r\n"
        sock.sendall(
            (request + b"\r\n" + b"a" * 900) * 20
            + request
            + b"connection: close\r\n\r\n"
            + b"a" * 900
        )
        self.assertEqual(self.closes(sock).count(b"HTTP/1.1 200"), 21)

    @parameterized.parameters((b"1.0", 0), (b"1.1", 1))
    def test_client_may_wait_before_it_sends_a_body(
        self, version: bytes, num_continues: int
    ) -> None:
        """A client of HTTP/1.0 would take "100 Continue" for the answer."""
        sock = self.connect(self.start())
        sock.sendall(
            b"POST /x HTTP/%s\r\nhost: a\r\nconnection: close\r\n"
            b"expect: 100-continue\r\ncontent-length: 1\r\n\r\n" % version
        )
        found = sock.recv(1 << 16) if num_continues else b""
        sock.sendall(b"a")
        found += self.closes(sock)
        self.assertEqual(found.count(b" 100 "), num_continues)
        self.assertEqual(found.count(b" 200 "), 1)

    @parameterized.named_parameters(
        ("fields", b"0\r\n", b"a: " + b"b" * 1000 + b"\r\n"),
        ("field", b"0\r\na: ", b"b" * 1000),
        ("extension", b"1;", b"b" * 1000),
    )
    def test_what_comes_with_chunks_has_a_limit(
        self, first: bytes, more: bytes
    ) -> None:
        """Fields after a body, and what is said of a chunk, are no body."""
        sock = self.connect(self.start(max_head_bytes=10_000))
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            + first
        )
        with contextlib.suppress(OSError):
            for _ in range(10_000):
                sock.sendall(more)
        found = self.closes(sock)
        self.assertTrue(not found or b"HTTP/1.1 431" in found, found)
        self.assertEqual(self.handler.requests, [])

    def test_small_chunks_are_a_body(self) -> None:
        """All that announces them together may be longer than a head."""
        server = self.start(max_head_bytes=10_000)
        sock = self.connect(server)
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
            + b"1;x=y\r\na\r\n" * 100_000
            + b"0\r\nx: y\r\n\r\n"
        )
        self.assertTrue(self.closes(sock).endswith(b"\r\n" + b"a" * 100_000))

    @parameterized.named_parameters(
        ("nothing", b""),
        ("half_a_head", b"GET /x HT"),
        ("half_a_body", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nx"),
        ("no_body", b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n"),
        (
            "between_requests",
            b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhos",
        ),
    )
    def test_client_that_stops_in_between_is_cut_off(self, sent: bytes) -> None:
        """A client that never goes on costs a connection for a while only."""
        sock = self.connect(self.start(head_seconds=0.1, body_seconds=0.1))
        sock.sendall(sent)
        self.closes(sock)

    def test_client_that_does_not_read_is_cut_off(self) -> None:
        """A response that nobody reads does not stay."""
        size = 20_000_000
        sock = self.ask_for(self.start(write_seconds=0.1), size)
        poller = select.poll()
        poller.register(sock, 0)
        # The end of the connection, which is reported without reading.
        self.assertTrue(poller.poll(server_test_case.LONG_SECONDS * 1000))
        self.assertLess(len(self.closes(sock)), size)

    def test_connection_without_a_request_is_closed(self) -> None:
        """An idle connection is closed some time after its last answer."""
        sock = self.connect(self.start(keep_alive_seconds=0))
        sock.sendall(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertIn(b" 200 ", self.closes(sock))

    def test_one_connection_too_many_is_closed(self) -> None:
        """Descriptors are for those that are there already."""
        server = self.start(max_connections=1)
        first = self.connect(server)
        first.sendall(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertIn(b" 200 ", first.recv(1 << 16))
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(self.closes(self.connect(server)), b"")
        first.sendall(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertIn(b" 200 ", first.recv(1 << 16))

    def test_handler_is_cancelled_when_its_client_leaves(self) -> None:
        """Nothing runs for somebody who does not wait any longer."""
        sock = self.begin_to_wait(self.start())
        sock.close()
        self.assertTrue(
            self.handler.was_cancelled.wait(server_test_case.LONG_SECONDS)
        )

    @parameterized.parameters(
        b"\x16\x03\x01\x02\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
    )
    def test_what_is_not_http_is_refused(self, sent: bytes) -> None:
        """The connection is closed, and the server goes on."""
        server = self.start(head_seconds=1)
        sock = self.connect(server)
        sock.sendall(sent)
        found = self.closes(sock)
        self.assertNotIn(b" 200 ", found)
        if found:
            self.assertIn(b"HTTP/1.1 400", found)
            self.assertRegex(found, rb"must keep to the rules of HTTP")
        self.assertEqual(requests.get(self.url(server)).status_code, 200)

    @parameterized.parameters(0, 1, 2)
    def test_requests_before_a_broken_one_are_answered(self, num: int) -> None:
        """The answer to one is never taken for that to another."""
        server = self.start()
        sock = self.connect(server)
        sock.sendall(
            server_test_case.WAIT * num + b"GET /x HTTP/9\r\nhost: a\r\n\r\n"
        )
        if num:
            self.wait_for_handler()
            self.handler.release()
        found = self.closes(sock)
        self.assertEqual(found.count(b"HTTP/1.1 200"), num)
        self.assertEqual(found.count(b"HTTP/1.1 400"), 0 if num else 1)

    def test_body_that_breaks_off_gets_an_error(self) -> None:
        """A chunk without a length is an error of its request."""
        sock = self.connect(self.start())
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            b"1\r\na\r\nzz\r\n"
        )
        self.assertIn(b"HTTP/1.1 400", self.closes(sock))
        self.assertEqual(self.handler.requests, [])

    @parameterized.parameters((b"keep-alive", 2), (b"close", 1), (b"x", 1))
    def test_client_of_http_1_0_may_ask_to_stay(
        self, asked: bytes, num_answers: int
    ) -> None:
        """A connection of HTTP/1.0 ends after an answer, if it is not asked."""
        sock = self.connect(self.start())
        request = b"GET /x HTTP/1.0\r\nconnection: %b\r\n\r\n"
        sock.sendall(request % asked)
        sock.sendall(request % b"close")
        found = self.closes(sock)
        self.assertEqual(found.count(b"HTTP/1.1 200"), num_answers)
        self.assertEqual(found.count(b"connection: close"), 1)
        self.assertEqual(
            found.count(b"connection: keep-alive"), num_answers - 1
        )

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        """A client may send the next request before it has an answer."""
        sock = self.connect(self.start())
        sock.sendall(
            b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"
            b"GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        )
        self.assertEqual(self.closes(sock).count(b"HTTP/1.1 200"), 2)
        self.assertEqual([r.path for r in self.handler.requests], ["/1", "/2"])

    def test_many_pipelined_requests_leave_time_to_others(self) -> None:
        """All are answered, with pauses in between."""
        sock = self.connect(self.start())
        start = time.monotonic()
        sock.sendall(
            b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n" * 200
            + b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        )
        self.assertEqual(self.closes(sock).count(b"HTTP/1.1 200"), 201)
        self.assertEqual(self.handler.requests[-1].path, "/last")
        self.assertGreater(time.monotonic() - start, 0.04)

    @parameterized.product(
        protocol=[b"h2c", b"websocket"], num_requests=[(1,), (1, 1), (2, 200)]
    )
    def test_offer_of_another_protocol_is_ignored(
        self, protocol: bytes, num_requests: tuple[int, ...]
    ) -> None:
        """The body is that of the request, however many come at once."""
        sock = self.connect(self.start())
        head = (
            b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n"
            b"connection: Upgrade, HTTP2-Settings\r\n"
            b"upgrade: %b\r\nhttp2-settings: AAMA\r\n" % protocol
        )
        for number in num_requests:
            sock.sendall((head + b"\r\nhello") * number + head)
            sock.sendall(b"\r\nhel")
            sock.sendall(b"lo")
        sock.sendall(head.replace(b"Upgrade", b"close, Upgrade") + b"\r\nhello")
        self.closes(sock)
        self.assertEqual(
            [request.body for request in self.handler.requests],
            [b"hello"] * (sum(num_requests) + len(num_requests) + 1),
        )


if __name__ == "__main__":
    absltest.main()
