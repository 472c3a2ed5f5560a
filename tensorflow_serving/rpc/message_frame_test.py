"""Tests for message_frame."""

import gzip
import tracemalloc
import zlib

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import message_frame
from tensorflow_serving.util import errors

_TEXT = b"to be compressed " * 100


class MessageFrameTest(parameterized.TestCase):
    """Messages with their prefixes."""

    def test_frame_is_a_flag_a_size_and_the_message(self) -> None:
        """The prefix is 5 bytes: 0 for not compressed, and a size."""
        self.assertEqual(message_frame.frame(b"abc"), b"\0\0\0\0\3abc")

    @parameterized.parameters(
        (b"\0\0\0\1\2", False, 258),
        (b"\1\0\0\0\0", True, 0),
        (b"\0\xff\xff\xff\xff", False, 2**32 - 1),
    )
    def test_prefix_says_how_large_a_message_is(
        self, prefix: bytes, is_compressed: bool, size: int
    ) -> None:
        """Bytes behind the prefix do not matter."""
        self.assertEqual(
            message_frame.read_prefix(prefix + b"more"), (is_compressed, size)
        )

    def test_unknown_flag_is_an_error(self) -> None:
        """A flag other than 0 and 1 is refused."""
        with self.assertRaisesRegex(errors.InternalError, "got 2"):
            message_frame.read_prefix(b"\2\0\0\0\0")

    @parameterized.parameters(
        ("gzip", gzip.compress(_TEXT)), ("deflate", zlib.compress(_TEXT))
    )
    def test_compressed_message_is_inflated(
        self, encoding: str, data: bytes
    ) -> None:
        """A message of the largest size passes."""
        message_frame.require_known_encoding(encoding)
        self.assertEqual(
            message_frame.inflate(data, encoding, len(_TEXT)), _TEXT
        )

    def test_message_that_becomes_too_large_is_refused(self) -> None:
        """One byte more than the limit is too much."""
        with self.assertRaisesRegex(
            errors.ResourceExhaustedError, f"at most {len(_TEXT) - 1} bytes"
        ):
            message_frame.inflate(gzip.compress(_TEXT), "gzip", len(_TEXT) - 1)

    def test_error_of_a_bomb_holds_none_of_it(self) -> None:
        """An error that waits to be handled costs next to no memory."""
        bomb = gzip.compress(bytes(8 << 20))
        kept: list[errors.ServingError] = []
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(8):
            try:
                message_frame.inflate(bomb, "gzip", 1 << 20)
            except errors.ResourceExhaustedError as error:
                kept.append(error)
        self.assertEqual(len(kept), 8)
        self.assertLess(tracemalloc.get_traced_memory()[0], 1 << 20)

    @parameterized.parameters(
        ("gzip", b"no gzip"),
        ("gzip", zlib.compress(_TEXT)),
        ("deflate", gzip.compress(_TEXT)),
        ("gzip", gzip.compress(_TEXT)[:-1]),
        ("gzip", b""),
    )
    def test_broken_data_is_an_error(self, encoding: str, data: bytes) -> None:
        """So are another encoding, and a part of a message."""
        with self.assertRaisesRegex(errors.InternalError, encoding):
            message_frame.inflate(data, encoding, 1 << 20)

    def test_compressed_message_needs_an_encoding(self) -> None:
        """A call that names none has no compressed messages."""
        with self.assertRaisesRegex(errors.InternalError, "got identity"):
            message_frame.require_known_encoding("identity")

    def test_other_encoding_is_unimplemented(self) -> None:
        """The error names those that are known."""
        with self.assertRaisesRegex(
            errors.UnimplementedError, "identity, deflate or gzip; got br"
        ):
            message_frame.require_known_encoding("br")


if __name__ == "__main__":
    absltest.main()
