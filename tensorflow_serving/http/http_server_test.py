"""Tests for http_server, over real connections."""

import asyncio
import http.client
import socket
import threading

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

    @parameterized.named_parameters(
        ("new", b"", b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("half", b"GET /x HT", b"TP/1.1\r\nhost: a\r\n\r\n"),
        (
            "second_half",
            b"GET /x HTTP/1.1\r\nhost: a\r\n\r\nGET /x HT",
            b"TP/1.1\r\nhost: a\r\n\r\n",
        ),
    )
    def test_stop_answers_the_last_request(
        self, before: bytes, after: bytes
    ) -> None:
        """A request that is on its way when the server stops is not lost."""
        server = self.start(last_request_seconds=server_test_case.LONG_SECONDS)
        sock = self.connect(server)
        sock.sendall(before)
        num_before = before.count(b"\r\n\r\n")
        found = sock.recv(1 << 16) if num_before else b""
        # Once this is answered, the server has what came before.
        self.assertEqual(requests.get(self.url(server)).status_code, 200)
        server.begin_to_stop(server_test_case.LONG_SECONDS)
        sock.sendall(after)
        found += self.closes(sock)
        self.assertEqual(found.count(b"HTTP/1.1 200"), num_before + 1)
        self.assertIn(b"connection: close", found)
        self.assertTrue(server.join())

    def test_stop_answers_clients_that_nobody_has_accepted(self) -> None:
        """They are connected, and may have sent their requests."""
        is_held, is_free = threading.Event(), threading.Event()

        async def answer(request: messages.Request) -> messages.Response:
            if request.path == "/hold":
                is_held.set()
                is_free.wait(server_test_case.LONG_SECONDS)
            return messages.Response(200, b"", messages.TEXT)

        server = http_server.HttpServer(
            "localhost:0",
            answer,
            server_test_case.error_response,
            options.Options(),
        )
        with server:
            server.start()
            holder = self.connect(server)
            holder.sendall(b"GET /hold HTTP/1.1\r\nhost: a\r\n\r\n")
            self.assertTrue(is_held.wait(server_test_case.LONG_SECONDS))
            server.begin_to_stop(server_test_case.LONG_SECONDS)
            socks = [self.connect(server) for _ in range(20)]
            for sock in socks:
                sock.sendall(b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n")
            is_free.set()
            for sock in (holder, *socks):
                self.assertIn(b"HTTP/1.1 200", self.closes(sock))
            self.assertTrue(server.join())

    @parameterized.parameters(range(4))
    def test_stop_answers_clients_that_were_just_accepted(
        self, num_turns: int
    ) -> None:
        """Each turn of the loop is early enough, until nobody can connect."""
        server = self.start(last_request_seconds=server_test_case.LONG_SECONDS)
        request = b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        first = self.connect(server)
        first.sendall(request)
        self.assertIn(b"HTTP/1.1 200", self.closes(first))
        loop = self.handler.loop
        assert loop is not None

        async def send_later(sock: socket.socket) -> None:
            # Meanwhile a server that does not know of the client would end.
            for _ in range(100):
                await asyncio.sleep(0)
            sock.sendall(request)

        async def connect_while_it_stops() -> socket.socket:
            server.begin_to_stop(server_test_case.LONG_SECONDS)
            for _ in range(num_turns):
                await asyncio.sleep(0)
            sock = self.connect(server)
            sending.append(loop.create_task(send_later(sock)))
            return sock

        sending: list[asyncio.Task[None]] = []
        sock = asyncio.run_coroutine_threadsafe(
            connect_while_it_stops(), loop
        ).result(server_test_case.LONG_SECONDS)
        self.assertIn(b"HTTP/1.1 200", self.closes(sock))
        self.assertTrue(server.join())

    @parameterized.parameters(b"", b"GET /x HT")
    def test_stop_does_not_wait_for_a_request_that_does_not_come(
        self, sent: bytes
    ) -> None:
        """Whoever connects and says nothing does not keep a server."""
        server = self.start(last_request_seconds=0.05)
        sock = self.connect(server)
        sock.sendall(sent)
        self.assertEqual(requests.get(self.url(server)).status_code, 200)
        server.begin_to_stop(server_test_case.LONG_SECONDS)
        self.assertTrue(server.join())
        self.assertEqual(self.closes(sock), b"")

    def test_stop_lets_a_client_read_its_response(self) -> None:
        """A response that is written is not yet one that has come."""
        server = self.start()
        size = 20_000_000
        sock = self.ask_for(server, size)
        found = sock.recv(1)
        server.begin_to_stop(server_test_case.LONG_SECONDS)
        found += self.closes(sock)
        _, body = found.split(b"\r\n\r\n")
        self.assertEqual(len(body), size)
        self.assertTrue(server.join())

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
