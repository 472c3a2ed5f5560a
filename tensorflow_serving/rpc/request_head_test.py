"""Tests for request_head."""

import math

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import request_head
from tensorflow_serving.rpc.http2 import header_block
from tensorflow_serving.util import errors

_TYPE = (b"content-type", b"application/grpc")


def _read(
    *fields: header_block.Field, method: bytes = b"POST"
) -> request_head.RequestHead:
    return request_head.read(
        header_block.Head([_TYPE, *fields], method, b"/a.B/C")
    )


class RequestHeadTest(parameterized.TestCase):
    """Tests of the reading of the header fields of a call."""

    def test_smallest_head_has_a_method_only(self) -> None:
        """The smallest head has no deadline, compression or metadata."""
        self.assertEqual(_read(), request_head.RequestHead("/a.B/C"))

    @parameterized.parameters(
        (b"0n", 0.0),
        (b"1n", 1e-9),
        (b"250u", 250e-6),
        (b"100m", 0.1),
        (b"7S", 7.0),
        (b"2M", 120.0),
        (b"1H", 3600.0),
        (b"99999999H", 99999999 * 3600.0),
        (b"00000001S", 1.0),
    )
    def test_timeout_is_digits_and_a_unit(
        self, text: bytes, seconds: float
    ) -> None:
        """All units of gRPC, from hours to nanoseconds."""
        head = _read((b"grpc-timeout", text))
        self.assertIsNone(head.error)
        self.assertAlmostEqual(head.timeout_seconds, seconds)

    @parameterized.parameters(
        b"", b"1", b"S", b"1s", b"-1S", b"1.5S", b"123456789S", b"1 S", b"1S ",
        "\u0661S".encode(),
    )  # fmt: skip
    def test_broken_timeout_is_an_error(self, text: bytes) -> None:
        """The error shows an example, and at most 20 characters of it."""
        head = _read((b"grpc-timeout", text))
        self.assertIsInstance(head.error, errors.InvalidArgumentError)
        self.assertRegex(str(head.error), "such as 100m; got ")
        self.assertEqual(head.timeout_seconds, math.inf)

    @parameterized.parameters(
        (b"application/grpc", 200),
        (b"application/grpc+proto", 200),
        (b"application/grpc;charset=utf-8", 200),
        (b"application/grpc-web", 415),
        (b"application/grpcx", 415),
        (b"application/json", 415),
        (b"", 415),
    )
    def test_content_type_must_be_that_of_grpc(
        self, content_type: bytes, status: int
    ) -> None:
        """Others get an HTTP status, because they do not speak gRPC."""
        head = request_head.read(
            header_block.Head(
                [(b"content-type", content_type)], b"POST", b"/a.B/C"
            )
        )
        self.assertEqual(head.http_status, status)

    def test_head_without_a_content_type_is_not_a_call(self) -> None:
        """It gets 415 as well."""
        head = request_head.read(header_block.Head([], b"POST", b"/a.B/C"))
        self.assertEqual(head.http_status, 415)

    @parameterized.parameters(b"GET", b"PUT", b"post")
    def test_calls_are_posted(self, method: bytes) -> None:
        """Other methods of HTTP get 405."""
        self.assertEqual(_read(method=method).http_status, 405)

    def test_metadata_are_what_the_protocol_does_not_need(self) -> None:
        """They come in their order, and a key may come twice."""
        head = _read(
            (b"te", b"trailers"),
            (b"b", b"1"),
            (b"grpc-encoding", b"gzip"),
            (b"grpc-accept-encoding", b"gzip"),
            (b"content-length", b"9"),
            (b"user-agent", b"me"),
            (b"b", b"2,3"),
        )
        self.assertEqual(
            head.metadata, (("b", "1"), ("user-agent", "me"), ("b", "2,3"))
        )
        self.assertEqual(head.encoding, "gzip")

    def test_value_that_is_no_utf8_is_replaced(self) -> None:
        """A wrong byte of a client is its own affair, and not logged."""
        with self.assertNoLogs():
            head = _read((b"x", b"a\xffb"))
        self.assertEqual(head.metadata, (("x", "a\ufffdb"),))

    @parameterized.parameters(
        (b"", (b"",)),
        (b"AAE=", (b"\0\1",)),
        (b"AAE", (b"\0\1",)),
        (b"AAE,AgM=", (b"\0\1", b"\2\3")),
        (b"//79", (b"\xff\xfe\xfd",)),
    )
    def test_binary_metadata_are_base64(
        self, value: bytes, expected: tuple[bytes, ...]
    ) -> None:
        """Padding may be missing, and commas separate values."""
        head = _read((b"x-bin", value))
        self.assertEqual(
            head.metadata, tuple(("x-bin", each) for each in expected)
        )

    @parameterized.parameters(b"A", b"A*==", b"AA E", b"=", b"\xff\xff\xff\xff")
    def test_broken_binary_metadata_are_an_error(self, value: bytes) -> None:
        """The error names the key."""
        head = _read((b"x-bin", value))
        self.assertIsInstance(head.error, errors.InvalidArgumentError)
        self.assertRegex(str(head.error), "metadata x-bin must be base64")

    def test_head_that_is_too_large_is_an_error(self) -> None:
        """The path is not known then."""
        head = request_head.read(header_block.Head(is_too_large=True))
        self.assertIsInstance(head.error, errors.ResourceExhaustedError)


if __name__ == "__main__":
    absltest.main()
