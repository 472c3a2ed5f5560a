"""Tests for compression."""

import asyncio
import gzip
import random
import zlib
from collections.abc import Callable
from unittest import mock

from absl.testing import absltest, parameterized

from tensorflow_serving.http import compression, messages
from tensorflow_serving.util import errors

_MAX_BYTES = 3_000_000


def _decompress(data: bytes) -> bytes:
    async def run() -> bytes:
        return await compression.Decompressor(_MAX_BYTES).decompress(data)

    return asyncio.run(run())


class DecompressorTest(parameterized.TestCase):
    """Bodies of several sizes and kinds."""

    @parameterized.product(
        size=(0, 1, 65_535, 65_536, 65_537, 300_000, 2_999_999, 3_000_000),
        kind=("zeros", "noise"),
    )
    def test_body_is_that_before_compression(
        self, size: int, kind: str
    ) -> None:
        """It does not matter how it is cut in pieces, or which wrote it."""
        plain = bytes(size)
        if kind == "noise":
            plain = random.Random(size).randbytes(size)
        self.assertEqual(_decompress(gzip.compress(plain, 1)), plain)
        self.assertEqual(_decompress(zlib.compress(plain, 1)), plain)

    @parameterized.parameters(0, 1, 65_537, 700_000)
    def test_body_may_have_several_members(self, size: int) -> None:
        """Programs that compress on several CPUs write such files."""
        plain = random.Random(size).randbytes(size)
        member = gzip.compress(plain, 1)
        self.assertEqual(_decompress(member * 3), plain * 3)

    def test_members_together_have_the_limit(self) -> None:
        """Each of them would be small enough."""
        with self.assertRaises(messages.BodyTooLargeError):
            _decompress(gzip.compress(bytes(1_000_000), 1) * 4)

    @parameterized.named_parameters(
        ("blocks", gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 20_000),
        ("members", gzip.compress(b"") * 5_000),
    )
    def test_long_body_of_nothing_does_not_hold_up_others(
        self, data: bytes
    ) -> None:
        """Reading it takes long, though nothing comes out of it."""
        with mock.patch.object(
            asyncio, "to_thread", mock.AsyncMock(return_value=b"read")
        ):
            self.assertEqual(_decompress(data), b"read")

    @parameterized.parameters(3_000_001, 100_000_000)
    def test_large_body_is_refused(self, size: int) -> None:
        """A few kilobytes may hold more than there is room for."""
        with self.assertRaisesRegex(
            messages.BodyTooLargeError, "at most 3000000 bytes"
        ):
            _decompress(gzip.compress(bytes(size), 1))

    def test_large_body_that_names_another_size_is_refused(self) -> None:
        """It is counted, however small it says that it is."""
        data = gzip.compress(bytes(100_000_000), 1)
        with self.assertRaises(messages.BodyTooLargeError):
            _decompress(data[:-4] + bytes(4))
        with self.assertRaises(messages.BodyTooLargeError):
            _decompress(zlib.compress(bytes(100_000_000), 1))

    def test_size_that_a_body_names_is_believed(self) -> None:
        """Nobody waits until all of it has been counted."""
        data = gzip.compress(bytes(1 << 30), 1)
        with mock.patch.object(zlib, "decompressobj") as decompress:
            with self.assertRaises(messages.BodyTooLargeError):
                _decompress(data)
            decompress.assert_not_called()

    @parameterized.named_parameters(
        ("part", lambda data: data[:-1], "got a part"),
        ("more", lambda data: data + b"a", "got more"),
        ("members", lambda data: gzip.compress(b"") * 10_001, "got more"),
        ("member", lambda data: data + data[:20], "got a part"),
        ("other", lambda data: b"other" + data, "got something else"),
    )
    def test_broken_body_is_invalid(
        self, change: Callable[[bytes], bytes], expected: str
    ) -> None:
        """Small and large ones get the same error."""
        for size in (10, 2_000_000):
            with self.assertRaisesRegex(errors.InvalidArgumentError, expected):
                _decompress(change(gzip.compress(bytes(size), 1)))

    def test_client_that_leaves_ends_its_turn(self) -> None:
        """The next body does not wait behind one that nobody waits for."""

        async def run() -> bytes:
            decompressor = compression.Decompressor(1 << 40)
            data = gzip.compress(bytes(1 << 28), 1)
            left = asyncio.create_task(decompressor.decompress(data))
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)
            return await decompressor.decompress(gzip.compress(b"next"))

        self.assertEqual(asyncio.run(run()), b"next")


if __name__ == "__main__":
    absltest.main()
