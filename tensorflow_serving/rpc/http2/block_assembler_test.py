"""Tests for header blocks in several frames."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import block_assembler, frames

_WHOLE = frames.END_HEADERS


class BlockAssemblerTest(parameterized.TestCase):
    """HEADERS and CONTINUATION."""

    def setUp(self) -> None:
        """Makes an assembler of blocks up to ten bytes."""
        super().setUp()
        self._assembler = block_assembler.BlockAssembler(10)

    @parameterized.named_parameters(
        ("plain", 0, b"abc"),
        ("padded", frames.PADDED, b"\x02abc\0\0"),
        ("prioritized", frames.HAS_PRIORITY, b"12345abc"),
        ("both", frames.PADDED | frames.HAS_PRIORITY, b"\x0112345abc\0"),
    )
    def test_block_is_what_is_left(self, flags: int, payload: bytes) -> None:
        """Padding and priority are not part of a block."""
        self.assertEqual(
            self._assembler.begin(flags | _WHOLE, 1, payload),
            block_assembler.Block(1, False, b"abc"),
        )

    def test_block_is_joined(self) -> None:
        """A block goes on in CONTINUATION frames until one has the flag."""
        self.assertIsNone(self._assembler.begin(frames.END_STREAM, 1, b"a"))
        self.assertTrue(self._assembler.is_open)
        self.assertIsNone(self._assembler.go_on(0, 1, b"b"))
        self.assertEqual(
            self._assembler.go_on(_WHOLE, 1, b"c"),
            block_assembler.Block(1, True, b"abc"),
        )
        self.assertFalse(self._assembler.is_open)

    def test_next_block_is_new(self) -> None:
        """A block has nothing of the one before it."""
        self._assembler.begin(0, 1, b"a")
        self._assembler.go_on(_WHOLE, 1, b"b")
        self.assertEqual(
            self._assembler.begin(_WHOLE, 3, b"c"),
            block_assembler.Block(3, False, b"c"),
        )

    @parameterized.named_parameters(
        ("no_stream", _WHOLE, 0, b"a", "PROTOCOL_ERROR"),
        ("no_padding_length", frames.PADDED, 1, b"", "FRAME_SIZE_ERROR"),
        ("padding_too_long", frames.PADDED, 1, b"\x02a", "PROTOCOL_ERROR"),
        ("short_priority", frames.HAS_PRIORITY, 1, b"1234", "FRAME_SIZE_ERROR"),
        ("too_large", 0, 1, b"12345678901", "ENHANCE_YOUR_CALM"),
    )
    def test_broken_frame_is_refused(
        self, flags: int, stream_id: int, payload: bytes, code: str
    ) -> None:
        """A HEADERS frame that breaks a rule ends the connection."""
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            self._assembler.begin(flags, stream_id, payload)
        self.assertEqual(raised.exception.code.name, code)

    def test_continuation_of_nothing_is_refused(self) -> None:
        """A CONTINUATION frame must follow a block that is not whole."""
        self._assembler.begin(_WHOLE, 1, b"a")
        with self.assertRaisesRegex(
            frames.Http2ConnectionError, "must follow a header block"
        ):
            self._assembler.go_on(_WHOLE, 1, b"b")

    def test_continuation_of_another_stream_is_refused(self) -> None:
        """A CONTINUATION frame must be on the stream of its block."""
        self._assembler.begin(0, 1, b"a")
        with self.assertRaisesRegex(
            frames.Http2ConnectionError, "must follow a header block"
        ):
            self._assembler.go_on(_WHOLE, 3, b"b")

    def test_block_that_grows_too_large_is_refused(self) -> None:
        """All frames of a block together have one limit."""
        self._assembler.begin(0, 1, b"123456")
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            self._assembler.go_on(0, 1, b"78901")
        self.assertEqual(
            raised.exception.code, frames.ErrorCode.ENHANCE_YOUR_CALM
        )


if __name__ == "__main__":
    absltest.main()
