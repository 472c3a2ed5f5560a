"""Tests for http_server, over real connections."""

import contextlib
import gzip
import http.client
import time
import zlib
from collections.abc import Iterator

import requests
from absl.testing import absltest, parameterized

from tensorflow_serving.http import (
    http_server,
    messages,
    options,
    server_test_case,
)
from tensorflow_serving.rpc import options as rpc_options
from tensorflow_serving.rpc import tls as tls_lib
from tensorflow_serving.test_util import certificates
from tensorflow_serving.util import errors


class HttpServerTest(server_test_case.ServerTestCase):
    """A server with a handler of the test."""

    def test_request_comes_whole_and_so_does_the_response(self) -> None:
        """The handler gets path, headers and body as they were sent."""
        server = self.start()
        found = requests.post(
            self.url(server, "/a%20b?q=1"), b"body", headers={"X-Y": "z"}
        )
        self.assertEqual((found.status_code, found.content), (200, b"body"))
        self.assertEqual(found.headers["content-type"], messages.TEXT)
        self.assertIn("GMT", found.headers["date"])
        (request,) = self.handler.requests
        self.assertEqual((request.method, request.path), ("POST", "/a%20b"))
        self.assertEqual(request.headers["x-y"], "z")

    def test_connection_serves_many_requests(self) -> None:
        """A connection stays open between requests."""
        server = self.start()
        connection = http.client.HTTPConnection("localhost", server.port)
        for number in range(20):
            connection.request("POST", "/x", str(number))
            self.assertEqual(connection.getresponse().read(), b"%d" % number)
        connection.close()

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

    def test_body_may_come_in_chunks(self) -> None:
        """A body without an announced length is read to its end."""
        server = self.start()

        def chunks() -> Iterator[bytes]:
            for _ in range(100):
                yield b"x" * 10_000

        found = requests.post(self.url(server), chunks())
        self.assertEqual(len(found.content), 1_000_000)

    def test_error_of_a_handler_is_the_response(self) -> None:
        """An error of the family has its status, any other is a bug."""
        server = self.start()
        found = requests.get(self.url(server, "/error"))
        self.assertEqual((found.status_code, found.text), (404, "nothing here"))
        found = requests.get(self.url(server, "/bug"))
        self.assertEqual(found.status_code, 500)
        self.assertNotIn("ZeroDivision", found.text)

    def test_error_keeps_nothing_of_its_request(self) -> None:
        """A body is freed with its request, not with the next garbage."""
        found = requests.get(self.url(self.start(), "/error"))
        self.assertEqual(found.status_code, 404)
        error = self.handler.requests[0].notes.error
        assert error is not None
        self.assertIsNone(error.__traceback__)

    @parameterized.named_parameters(
        ("gzip", gzip.compress(b"plain"), 200, "plain"),
        ("zlib", zlib.compress(b"plain"), 200, "plain"),
        ("plain", b"plain", 400, "must be compressed by gzip"),
        ("half", gzip.compress(b"plain")[:-9], 400, "got a part"),
        ("two", gzip.compress(b"plain") * 2, 400, "got more"),
        ("empty", b"", 200, ""),
        ("bomb", gzip.compress(b"\0" * 1_000_000), 413, "once decompressed"),
    )
    def test_body_may_be_compressed(
        self, body: bytes, status: int, text: str
    ) -> None:
        """A body that is small only while it is compressed is too large."""
        server = self.start(max_body_bytes=100_000)
        found = requests.post(
            self.url(server), body, headers={"Content-Encoding": "gzip"}
        )
        self.assertEqual(found.status_code, status)
        self.assertIn(text, found.text)

    @parameterized.parameters(20_000_000, 20_000_001)
    def test_large_body_may_be_compressed(self, size: int) -> None:
        """A body that is decompressed on a thread counts as any other."""
        server = self.start(max_body_bytes=20_000_000)
        found = requests.post(
            self.url(server),
            gzip.compress(bytes(size), 1),
            headers={"Content-Encoding": "gzip"},
        )
        if size <= 20_000_000:
            self.assertEqual(found.content, bytes(size))
        else:
            self.assertEqual(found.status_code, 413)

    @parameterized.named_parameters(
        ("gzip", "gzip", True),
        ("weighed", "br, gzip;q=0.5", True),
        ("refused", "gzip;q=0", False),
        ("other", "br", False),
    )
    def test_response_is_compressed_if_the_client_wants_it(
        self, accepted: str, is_compressed: bool
    ) -> None:
        """A large response is compressed for those that take it."""
        server = self.start()
        found = requests.post(
            self.url(server),
            b"x" * 10_000,
            headers={"Accept-Encoding": accepted},
        )
        self.assertEqual(found.content, b"x" * 10_000)
        self.assertEqual("content-encoding" in found.headers, is_compressed)

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

    def test_announced_body_over_the_limit_is_refused_unread(self) -> None:
        """A gigabyte is refused by its head alone."""
        sock = self.connect(
            self.start(max_body_bytes=1000, refused_body_seconds=0.1)
        )
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 1073741824\r\n\r\n"
        )
        found = self.closes(sock)
        self.assertIn(b"HTTP/1.1 413", found)
        self.assertIn(b"connection: close", found)
        self.assertEqual(self.handler.requests, [])

    def test_chunked_body_over_the_limit_is_refused(self) -> None:
        """A body that announces nothing is counted as it comes."""
        sock = self.connect(
            self.start(max_body_bytes=1000, refused_body_seconds=0.1)
        )
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            b"7d0\r\n" + b"x" * 2000
        )
        self.assertIn(b"HTTP/1.1 413", self.closes(sock))

    @parameterized.named_parameters(
        ("of_known_size", b"x" * 20_000_000),
        ("in_chunks", [b"x" * 1_000_000] * 20),
    )
    def test_client_that_sends_before_it_reads_sees_the_refusal(
        self, body: bytes | list[bytes]
    ) -> None:
        """The connection is not closed as long as a client sends."""
        server = self.start(max_body_bytes=1000)
        for _ in range(5):
            with contextlib.closing(
                http.client.HTTPConnection("localhost", server.port)
            ) as client:
                client.request("POST", "/x", body)
                response = client.getresponse()
                self.assertEqual(response.status, 413)
                self.assertTrue(response.will_close)

    def test_refused_body_has_no_place_among_those_that_wait(self) -> None:
        """A client that goes on to send costs others nothing."""
        server = self.start(
            max_body_bytes=1000,
            max_total_body_bytes=1000,
            max_concurrent_requests=1,
        )
        sock = self.connect(server)
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            b"3e8\r\n" + b"x" * 1000 + b"\r\n3e8\r\n" + b"x" * 1000
        )
        self.assertIn(b" 413 ", sock.recv(1 << 16))
        found = requests.post(self.url(server), b"x" * 1000)
        self.assertEqual(found.status_code, 200)

    def test_connection_stays_after_the_refusal_of_a_small_body(self) -> None:
        """A client need not connect anew each time it is refused."""
        server = self.start(max_concurrent_requests=1)
        self.begin_to_wait(server)
        client = http.client.HTTPConnection("localhost", server.port)
        self.addCleanup(client.close)
        for method, body in (("GET", None), ("POST", b"x" * 10_000)) * 2:
            client.request(method, "/x", body)
            response = client.getresponse()
            self.assertEqual(response.status, 429)
            self.assertFalse(response.will_close)
            response.read()
        self.handler.release()

    def test_bodies_together_have_a_limit(self) -> None:
        """Half bodies cannot fill the memory."""
        server = self.start(max_body_bytes=1000, max_total_body_bytes=1500)
        waiting = self.begin_to_wait(
            server,
            b"POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 900\r\n\r\n"
            + b"x" * 900,
        )
        found = requests.post(self.url(server), b"x" * 900)
        self.assertEqual(found.status_code, 503)
        self.handler.release()
        self.assertIn(b" 200 ", waiting.recv(1 << 16))
        # The first body does not count any longer.
        found = requests.post(self.url(server), b"x" * 900)
        self.assertEqual(found.status_code, 200)

    def test_requests_without_an_answer_have_a_limit(self) -> None:
        """One more is refused at once."""
        server = self.start(max_concurrent_requests=1)
        waiting = self.begin_to_wait(server)
        found = requests.get(self.url(server))
        self.assertEqual(found.status_code, 429)
        self.assertIn("limit 1", found.text)
        self.handler.release()
        self.assertIn(b" 200 ", waiting.recv(1 << 16))

    def test_request_that_is_not_admitted_is_refused_unread(self) -> None:
        """It takes none of the places for requests, and no handler sees it."""
        seen: list[messages.Request] = []

        def admit(request: messages.Request) -> None:
            seen.append(request)
            if request.headers.get("x-word") != "sesame":
                raise errors.UnauthenticatedError("who are you?")

        server = self.start(
            admit=admit, max_concurrent_requests=1, refused_body_seconds=0.1
        )
        sock = self.connect(server)
        # Neither the body nor its announced size is looked at.
        sock.sendall(b"POST /x HTTP/1.1\r\ncontent-length: 9000000000\r\n\r\n")
        self.assertRegex(self.closes(sock), rb"^HTTP/1.1 401 ")
        self.assertEqual(self.handler.requests, [])
        self.assertEqual((seen[0].method, seen[0].path), ("POST", "/x"))
        self.assertEqual(seen[0].body, b"")
        found = requests.post(
            self.url(server), b"1", headers={"X-Word": "sesame"}
        )
        self.assertEqual((found.status_code, found.text), (200, "1"))

    def test_refused_requests_take_no_place(self) -> None:
        """Those who wait for an answer are not in their way."""

        def admit(request: messages.Request) -> None:
            if request.path == "/refused":
                raise errors.UnauthenticatedError("who are you?")

        server = self.start(admit=admit, max_concurrent_requests=1)
        waiting = self.begin_to_wait(server)
        found = requests.get(self.url(server, "/refused"))
        self.assertEqual(found.status_code, 401)
        self.handler.release()
        self.assertIn(b" 200 ", waiting.recv(1 << 16))

    def test_stop_finishes_what_has_begun(self) -> None:
        """A request that is there is answered; a later one finds nobody."""
        server = self.start()
        sock = self.begin_to_wait(server)
        server.begin_to_stop(server_test_case.LONG_SECONDS)
        self.handler.release()
        found = self.closes(sock)
        self.assertIn(b" 200 ", found)
        self.assertIn(b"connection: close", found)
        self.assertTrue(server.join())
        with self.assertRaises(requests.ConnectionError):
            requests.get(self.url(server))

    def test_stop_cuts_off_what_takes_too_long(self) -> None:
        """Beyond the grace nothing is waited for."""
        server = self.start()
        sock = self.begin_to_wait(server)
        server.begin_to_stop(0.05)
        self.assertFalse(server.join())
        self.assertEqual(self.closes(sock), b"")

    def test_server_goes_on_while_it_drains(self) -> None:
        """New requests are answered, with a hint to go elsewhere."""
        server = self.start()
        server.begin_to_stop(
            server_test_case.LONG_SECONDS, drain_delay_seconds=0.5
        )
        found = requests.get(self.url(server))
        self.assertEqual(found.status_code, 200)
        self.assertEqual(found.headers["connection"], "close")
        self.assertTrue(server.join())

    def test_client_of_http_1_0_cannot_stay_while_the_server_drains(
        self,
    ) -> None:
        """The answer says one thing, and not two, about the connection."""
        server = self.start()
        sock = self.connect(server)
        server.begin_to_stop(
            server_test_case.LONG_SECONDS, drain_delay_seconds=0.5
        )
        sock.sendall(b"GET /x HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        found = self.closes(sock)
        self.assertEqual(found.count(b"connection: close"), 1)
        self.assertNotIn(b"keep-alive", found)
        self.assertTrue(server.join())

    def test_address_that_is_taken_is_an_error(self) -> None:
        """The text has the address."""
        server = self.start()
        with self.assertRaisesRegex(
            errors.UnavailableError, f"got localhost:{server.port}"
        ):
            http_server.HttpServer(
                f"localhost:{server.port}",
                self.handler.answer,
                server_test_case.error_response,
                options.Options(),
            )

    def test_connection_may_be_encrypted(self) -> None:
        """A client with the authority of the server gets an answer."""
        files = certificates.write(self.create_tempdir().full_path)
        server = self.start(
            tls_lib.create_context(
                rpc_options.TlsOptions(
                    files.server.key_file, files.server.certificate_file
                ),
                "http/1.1",
            )
        )
        found = requests.get(
            f"https://localhost:{server.port}/x", verify=files.ca_file
        )
        self.assertEqual(found.status_code, 200)


if __name__ == "__main__":
    absltest.main()
