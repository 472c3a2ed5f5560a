"""Tests for http_server, over real connections."""

import asyncio
import contextlib
import gzip
import http.client
import select
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator

import requests
from absl.testing import absltest, parameterized

from tensorflow_serving.http import http_server, messages, options
from tensorflow_serving.rpc import options as rpc_options
from tensorflow_serving.rpc import tls as tls_lib
from tensorflow_serving.test_util import certificates
from tensorflow_serving.util import errors

# Longer than any test takes.
_LONG = 60.0


def _error_response(error: errors.ServingError) -> messages.Response:
    return messages.Response(
        messages.status(error), str(error).encode(), messages.TEXT
    )


class _Handler:
    """Answers with what it got; /wait waits until the test says so."""

    def __init__(self) -> None:
        self.requests: list[messages.Request] = []
        self.has_begun = threading.Event()
        self.was_cancelled = threading.Event()
        self._release = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def answer(self, request: messages.Request) -> messages.Response:
        self.requests.append(request)
        if request.path == "/wait":
            self._loop = asyncio.get_running_loop()
            self.has_begun.set()
            try:
                await self._release.wait()
            except asyncio.CancelledError:
                self.was_cancelled.set()
                raise
        if request.path == "/error":
            raise errors.NotFoundError("nothing here")
        if request.path == "/bug":
            raise ZeroDivisionError
        return messages.Response(200, request.body, messages.TEXT)

    def release(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._release.set)


class HttpServerTest(parameterized.TestCase):
    """A server with a handler of the test."""

    def setUp(self) -> None:
        """Makes a handler."""
        super().setUp()
        self.handler = _Handler()

    def _start(
        self,
        tls: ssl.SSLContext | None = None,
        admit: Callable[[messages.Request], None] | None = None,
        **limits: float,
    ) -> http_server.HttpServer:
        server = http_server.HttpServer(
            "localhost:0",
            self.handler.answer,
            _error_response,
            options.Options(
                options.Limits(**limits),  # type: ignore[arg-type]
                tls,
                admit=admit,
            ),
        )
        server.start()
        self.enter_context(server)
        return server

    def _url(self, server: http_server.HttpServer, path: str = "/x") -> str:
        return f"http://localhost:{server.port}{path}"

    def _connect(self, server: http_server.HttpServer) -> socket.socket:
        sock = socket.create_connection(("localhost", server.port), _LONG)
        self.enter_context(sock)
        return sock

    def _closes(self, sock: socket.socket) -> bytes:
        """Returns all that comes until the server closes the connection."""
        data = b""
        while True:
            try:
                more = sock.recv(1 << 16)
            except ConnectionResetError:
                return data
            if not more:
                return data
            data += more

    def test_request_comes_whole_and_so_does_the_response(self) -> None:
        """The handler gets path, headers and body as they were sent."""
        server = self._start()
        found = requests.post(
            self._url(server, "/a%20b?q=1"), b"body", headers={"X-Y": "z"}
        )
        self.assertEqual((found.status_code, found.content), (200, b"body"))
        self.assertEqual(found.headers["content-type"], messages.TEXT)
        self.assertIn("GMT", found.headers["date"])
        (request,) = self.handler.requests
        self.assertEqual((request.method, request.path), ("POST", "/a%20b"))
        self.assertEqual(request.headers["x-y"], "z")

    def test_connection_serves_many_requests(self) -> None:
        """A connection stays open between requests."""
        server = self._start()
        connection = http.client.HTTPConnection("localhost", server.port)
        for number in range(20):
            connection.request("POST", "/x", str(number))
            self.assertEqual(connection.getresponse().read(), b"%d" % number)
        connection.close()

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        """A client may send the next request before it has an answer."""
        sock = self._connect(self._start())
        sock.sendall(
            b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"
            b"GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        )
        self.assertEqual(self._closes(sock).count(b"HTTP/1.1 200"), 2)
        self.assertEqual([r.path for r in self.handler.requests], ["/1", "/2"])

    def test_body_may_come_in_chunks(self) -> None:
        """A body without an announced length is read to its end."""
        server = self._start()

        def chunks() -> Iterator[bytes]:
            for _ in range(100):
                yield b"x" * 10_000

        found = requests.post(self._url(server), chunks())
        self.assertEqual(len(found.content), 1_000_000)

    def test_error_of_a_handler_is_the_response(self) -> None:
        """An error of the family has its status, any other is a bug."""
        server = self._start()
        found = requests.get(self._url(server, "/error"))
        self.assertEqual((found.status_code, found.text), (404, "nothing here"))
        found = requests.get(self._url(server, "/bug"))
        self.assertEqual(found.status_code, 500)
        self.assertNotIn("ZeroDivision", found.text)

    @parameterized.named_parameters(
        ("gzip", gzip.compress(b"plain"), 200, "plain"),
        ("zlib", zlib.compress(b"plain"), 200, "plain"),
        ("plain", b"plain", 400, "must be compressed by gzip"),
        ("half", gzip.compress(b"plain")[:-9], 400, "got a part"),
        ("empty", b"", 200, ""),
        ("bomb", gzip.compress(b"\0" * 1_000_000), 413, "once decompressed"),
    )
    def test_body_may_be_compressed(
        self, body: bytes, status: int, text: str
    ) -> None:
        """A body that is small only while it is compressed is too large."""
        server = self._start(max_body_bytes=100_000)
        found = requests.post(
            self._url(server), body, headers={"Content-Encoding": "gzip"}
        )
        self.assertEqual(found.status_code, status)
        self.assertIn(text, found.text)

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
        server = self._start()
        found = requests.post(
            self._url(server),
            b"x" * 10_000,
            headers={"Accept-Encoding": accepted},
        )
        self.assertEqual(found.content, b"x" * 10_000)
        self.assertEqual("content-encoding" in found.headers, is_compressed)

    def test_announced_body_over_the_limit_is_refused_unread(self) -> None:
        """A gigabyte is refused by its head alone."""
        sock = self._connect(
            self._start(max_body_bytes=1000, refused_body_seconds=0.1)
        )
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 1073741824\r\n\r\n"
        )
        found = self._closes(sock)
        self.assertIn(b"HTTP/1.1 413", found)
        self.assertIn(b"connection: close", found)
        self.assertEqual(self.handler.requests, [])

    def test_chunked_body_over_the_limit_is_refused(self) -> None:
        """A body that announces nothing is counted as it comes."""
        sock = self._connect(
            self._start(max_body_bytes=1000, refused_body_seconds=0.1)
        )
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            b"7d0\r\n" + b"x" * 2000
        )
        self.assertIn(b"HTTP/1.1 413", self._closes(sock))

    @parameterized.named_parameters(
        ("of_known_size", b"x" * 20_000_000),
        ("in_chunks", [b"x" * 1_000_000] * 20),
    )
    def test_client_that_sends_before_it_reads_sees_the_refusal(
        self, body: bytes | list[bytes]
    ) -> None:
        """The connection is not closed as long as a client sends."""
        server = self._start(max_body_bytes=1000)
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
        server = self._start(
            max_body_bytes=1000,
            max_total_body_bytes=1000,
            max_concurrent_requests=1,
        )
        sock = self._connect(server)
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
            b"3e8\r\n" + b"x" * 1000 + b"\r\n3e8\r\n" + b"x" * 1000
        )
        self.assertIn(b" 413 ", sock.recv(1 << 16))
        found = requests.post(self._url(server), b"x" * 1000)
        self.assertEqual(found.status_code, 200)

    def test_connection_stays_after_the_refusal_of_a_small_body(self) -> None:
        """A client need not connect anew each time it is refused."""
        server = self._start(max_concurrent_requests=1)
        waiting = self._connect(server)
        waiting.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertTrue(self.handler.has_begun.wait(_LONG))
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
        server = self._start(max_body_bytes=1000, max_total_body_bytes=1500)
        waiting = self._connect(server)
        waiting.sendall(
            b"POST /wait HTTP/1.1\r\nhost: a\r\ncontent-length: 900\r\n\r\n"
            + b"x" * 900
        )
        self.assertTrue(self.handler.has_begun.wait(_LONG))
        found = requests.post(self._url(server), b"x" * 900)
        self.assertEqual(found.status_code, 503)
        self.handler.release()
        self.assertIn(b" 200 ", waiting.recv(1 << 16))
        # The first body does not count any longer.
        found = requests.post(self._url(server), b"x" * 900)
        self.assertEqual(found.status_code, 200)

    def test_requests_without_an_answer_have_a_limit(self) -> None:
        """One more is refused at once."""
        server = self._start(max_concurrent_requests=1)
        waiting = self._connect(server)
        waiting.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertTrue(self.handler.has_begun.wait(_LONG))
        found = requests.get(self._url(server))
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

        server = self._start(
            admit=admit, max_concurrent_requests=1, refused_body_seconds=0.1
        )
        sock = self._connect(server)
        # Neither the body nor its announced size is looked at.
        sock.sendall(b"POST /x HTTP/1.1\r\ncontent-length: 9000000000\r\n\r\n")
        self.assertRegex(self._closes(sock), rb"^HTTP/1.1 401 ")
        self.assertEqual(self.handler.requests, [])
        self.assertEqual((seen[0].method, seen[0].path), ("POST", "/x"))
        self.assertEqual(seen[0].body, b"")
        found = requests.post(
            self._url(server), b"1", headers={"X-Word": "sesame"}
        )
        self.assertEqual((found.status_code, found.text), (200, "1"))

    def test_refused_requests_take_no_place(self) -> None:
        """Those who wait for an answer are not in their way."""

        def admit(request: messages.Request) -> None:
            if request.path == "/refused":
                raise errors.UnauthenticatedError("who are you?")

        server = self._start(admit=admit, max_concurrent_requests=1)
        waiting = self._connect(server)
        waiting.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertTrue(self.handler.has_begun.wait(_LONG))
        found = requests.get(self._url(server, "/refused"))
        self.assertEqual(found.status_code, 401)
        self.handler.release()
        self.assertIn(b" 200 ", waiting.recv(1 << 16))

    def test_head_over_the_limit_is_refused(self) -> None:
        """A head without an end does not grow without end."""
        sock = self._connect(self._start(max_head_bytes=10_000))
        sock.sendall(b"GET /x HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                sock.sendall(b"a: " + b"b" * 1000 + b"\r\n")
        found = self._closes(sock)
        self.assertTrue(not found or b"HTTP/1.1 431" in found, found)
        self.assertEqual(self.handler.requests, [])

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
        sock = self._connect(self._start(head_seconds=0.1, body_seconds=0.1))
        sock.sendall(sent)
        self._closes(sock)

    def test_client_that_does_not_read_is_cut_off(self) -> None:
        """A response that nobody reads does not stay."""
        server = self._start(write_seconds=0.1)
        sock = self._connect(server)
        size = 20_000_000
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size
            + b"x" * size
        )
        poller = select.poll()
        poller.register(sock, 0)
        # The end of the connection, which is reported without reading.
        self.assertTrue(poller.poll(_LONG * 1000))
        self.assertLess(len(self._closes(sock)), size)

    def test_connection_without_a_request_is_closed(self) -> None:
        """An idle connection is closed some time after its last answer."""
        sock = self._connect(self._start(keep_alive_seconds=0))
        sock.sendall(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertIn(b" 200 ", self._closes(sock))

    def test_one_connection_too_many_is_closed(self) -> None:
        """Descriptors are for those that are there already."""
        server = self._start(max_connections=1)
        first = self._connect(server)
        first.sendall(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertIn(b" 200 ", first.recv(1 << 16))
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(self._closes(self._connect(server)), b"")
        first.sendall(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertIn(b" 200 ", first.recv(1 << 16))

    def test_handler_is_cancelled_when_its_client_leaves(self) -> None:
        """Nothing runs for somebody who does not wait any longer."""
        sock = self._connect(self._start())
        sock.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertTrue(self.handler.has_begun.wait(_LONG))
        sock.close()
        self.assertTrue(self.handler.was_cancelled.wait(_LONG))

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
        server = self._start(head_seconds=1)
        sock = self._connect(server)
        sock.sendall(sent)
        self.assertNotIn(b" 200 ", self._closes(sock))
        self.assertEqual(requests.get(self._url(server)).status_code, 200)

    def test_stop_finishes_what_has_begun(self) -> None:
        """A request that is there is answered; a later one finds nobody."""
        server = self._start()
        sock = self._connect(server)
        sock.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertTrue(self.handler.has_begun.wait(_LONG))
        server.begin_to_stop(_LONG)
        self.handler.release()
        found = self._closes(sock)
        self.assertIn(b" 200 ", found)
        self.assertIn(b"connection: close", found)
        self.assertTrue(server.join())
        with self.assertRaises(requests.ConnectionError):
            requests.get(self._url(server))

    def test_stop_cuts_off_what_takes_too_long(self) -> None:
        """Beyond the grace nothing is waited for."""
        server = self._start()
        sock = self._connect(server)
        sock.sendall(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n")
        self.assertTrue(self.handler.has_begun.wait(_LONG))
        server.begin_to_stop(0.05)
        self.assertFalse(server.join())
        self.assertEqual(self._closes(sock), b"")

    def test_server_goes_on_while_it_drains(self) -> None:
        """New requests are answered, with a hint to go elsewhere."""
        server = self._start()
        server.begin_to_stop(_LONG, drain_delay_seconds=0.5)
        found = requests.get(self._url(server))
        self.assertEqual(found.status_code, 200)
        self.assertEqual(found.headers["connection"], "close")
        self.assertTrue(server.join())

    def test_address_that_is_taken_is_an_error(self) -> None:
        """The text has the address."""
        server = self._start()
        with self.assertRaisesRegex(
            errors.UnavailableError, f"got localhost:{server.port}"
        ):
            http_server.HttpServer(
                f"localhost:{server.port}",
                self.handler.answer,
                _error_response,
                options.Options(),
            )

    def test_connection_may_be_encrypted(self) -> None:
        """A client with the authority of the server gets an answer."""
        files = certificates.write(self.create_tempdir().full_path)
        server = self._start(
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
