"""Tests for request_bodies, over real connections."""

import gzip
import zlib
from collections.abc import Iterator

import requests
from absl.testing import absltest, parameterized

from tensorflow_serving.http import server_test_case


class RequestBodiesTest(server_test_case.ServerTestCase):
    """Bodies of requests to a server with a handler of the test."""

    def test_body_may_come_in_chunks(self) -> None:
        """A body without an announced length is read to its end."""
        server = self.start()

        def chunks() -> Iterator[bytes]:
            for _ in range(100):
                yield b"x" * 10_000

        found = requests.post(self.url(server), chunks())
        self.assertEqual(len(found.content), 1_000_000)

    @parameterized.named_parameters(
        ("gzip", gzip.compress(b"plain"), 200, "plain"),
        ("zlib", zlib.compress(b"plain"), 200, "plain"),
        ("plain", b"plain", 400, "must be compressed by gzip"),
        ("half", gzip.compress(b"plain")[:-9], 400, "got a part"),
        ("more", gzip.compress(b"plain") + b"a", 400, "got more"),
        ("two", gzip.compress(b"plain") * 2, 200, "plainplain"),
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


if __name__ == "__main__":
    absltest.main()
