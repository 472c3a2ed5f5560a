"""Tests for application, over real connections."""

import contextlib
import http.client

import requests
from absl.testing import absltest, parameterized

from tensorflow_serving.http import messages, server_test_case
from tensorflow_serving.util import errors


class ApplicationTest(server_test_case.ServerTestCase):
    """Answers of a server with a handler of the test."""

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


if __name__ == "__main__":
    absltest.main()
