"""Tests for the layout of frames."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import frames


class FramesTest(parameterized.TestCase):
    """Frames as bytes."""

    @parameterized.named_parameters(
        (
            "data",
            frames.frame(frames.DATA, frames.END_STREAM, 3, b"ab"),
            "000002 00 01 00000003 6162",
        ),
        (
            "view",
            frames.frame(frames.DATA, 0, 1, memoryview(b"abc")[1:]),
            "000002 00 00 00000001 6263",
        ),
        (
            "settings",
            frames.settings({4: 255}),
            "000006 04 00 00000000 0004 000000ff",
        ),
        (
            "window",
            frames.window_update(1, 256),
            "000004 08 00 00000001 00000100",
        ),
        (
            "reset",
            frames.rst_stream(5, frames.ErrorCode.CANCEL),
            "000004 03 00 00000005 00000008",
        ),
        (
            "goaway",
            frames.goaway(7, frames.ErrorCode.PROTOCOL_ERROR, "no"),
            "00000a 07 00 00000000 00000007 00000001 6e6f",
        ),
    )
    def test_frame_has_the_layout_of_the_standard(
        self, frame: bytes, layout: str
    ) -> None:
        """A frame is its length, type, flags, stream and payload."""
        self.assertEqual(frame, bytes.fromhex(layout))

    def test_length_of_a_large_frame_has_three_bytes(self) -> None:
        """A frame can be larger than 64 KiB."""
        self.assertEqual(
            frames.frame(frames.DATA, 0, 1, bytes(0x010203))[:3],
            b"\x01\x02\x03",
        )

    def test_settings_come_back_in_their_order(self) -> None:
        """A setting that is there twice is read twice."""
        payload = bytes.fromhex("0004 00000001 0099 00000002 0004 00000003")
        self.assertEqual(
            frames.parse_settings(payload), [(4, 1), (0x99, 2), (4, 3)]
        )

    @parameterized.named_parameters(
        ("push", frames.ENABLE_PUSH, 2, "PROTOCOL_ERROR"),
        ("window", frames.INITIAL_WINDOW_SIZE, 1 << 31, "FLOW_CONTROL_ERROR"),
        ("small_frame", frames.MAX_FRAME_SIZE, 16_383, "PROTOCOL_ERROR"),
        ("large_frame", frames.MAX_FRAME_SIZE, 1 << 24, "PROTOCOL_ERROR"),
    )
    def test_setting_out_of_range_is_refused(
        self, setting: int, value: int, code: str
    ) -> None:
        """A setting beyond its range has the code of the standard."""
        payload = setting.to_bytes(2, "big") + value.to_bytes(4, "big")
        with self.assertRaisesRegex(
            frames.Http2ConnectionError, f"setting {setting} must be .* {value}"
        ) as raised:
            frames.parse_settings(payload)
        self.assertEqual(raised.exception.code.name, code)

    def test_part_of_a_setting_is_refused(self) -> None:
        """The size of SETTINGS is a multiple of six bytes."""
        with self.assertRaisesRegex(
            frames.Http2ConnectionError, "multiple of 6 bytes; got 7"
        ):
            frames.parse_settings(bytes(7))

    @parameterized.named_parameters(
        ("none", b"\0abc", b"abc"),
        ("some", b"\x02abc\0\0", b"abc"),
        ("all", b"\x02\0\0", b""),
    )
    def test_padding_is_removed(self, payload: bytes, rest: bytes) -> None:
        """The payload is what is between the length and the padding."""
        self.assertEqual(frames.without_padding(payload), rest)

    @parameterized.named_parameters(
        ("no_length", b"", "FRAME_SIZE_ERROR"),
        ("as_long_as_its_frame", b"\x01", "PROTOCOL_ERROR"),
        ("longer_than_its_frame", b"\x09abc", "PROTOCOL_ERROR"),
    )
    def test_broken_padding_is_refused(self, payload: bytes, code: str) -> None:
        """Padding that does not fit in its frame ends the connection."""
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            frames.without_padding(payload)
        self.assertEqual(raised.exception.code.name, code)

    def test_text_that_is_not_unicode_does_not_break_a_goaway(self) -> None:
        """A surrogate in the text of a fault is replaced."""
        frame = frames.goaway(1, frames.ErrorCode.NO_ERROR, "a\udcffb")
        self.assertEqual(frame[-3:], b"a?b")


if __name__ == "__main__":
    absltest.main()
