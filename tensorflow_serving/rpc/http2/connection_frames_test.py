"""RFC 9113, sections 3.4, 4 and 5.5: the preface, frames, and unknown ones."""

from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import connection, frame_script, frames
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2.frame_script import (
    continuation,
    data,
    headers,
    ping,
)
from tensorflow_serving.rpc.http2.frames import frame

_ACK = frame(frames.SETTINGS, frames.ACK, 0)
_HELLO = ["SETTINGS", f"WINDOW_UPDATE 0 {(16 << 20) - 65_535}"]
_RESERVED = 1 << 31
_LARGEST = limits_lib.Limits().max_frame_bytes

# The first bytes of a client, and the answer.
_BEGINNINGS: Sequence[tuple[str, bytes, list[str]]] = (
    ("nothing", b"", []),
    ("part_of_the_preface", frames.PREFACE[:10], []),
    ("preface", frames.PREFACE, []),
    ("empty_settings", frame_script.hello(), ["SETTINGS ACK"]),
    ("settings", frame_script.hello({4: 1, 3: 2}), ["SETTINGS ACK"]),
    (
        "unknown_settings",
        frame_script.hello({0x99: 1, 0: 7, 8: 1}),
        ["SETTINGS ACK"],
    ),
    (
        "http_1",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    ("tls", b"\x16\x03\x01\x02\x00\x01", ["GOAWAY 0 PROTOCOL_ERROR"]),
    (
        "ping_before_settings",
        frames.PREFACE + ping(),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "headers_before_settings",
        frames.PREFACE + headers(1),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "unknown_frame_before_settings",
        frames.PREFACE + frame(0xFF, 0, 0),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "acknowledgement_before_settings",
        frames.PREFACE + _ACK,
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "settings_on_a_stream",
        frames.PREFACE + frame(frames.SETTINGS, 0, 1),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
)

# The bytes of a client after the handshake; the answer, and its streams.
_EXCHANGES: Sequence[tuple[str, bytes, list[str]]] = (
    # 4.1: unknown types are ignored, as are flags and bits without a meaning.
    ("unknown_type", frame(0x0A, 0, 0, b"abc") + ping(), ["PING ACK"]),
    ("unknown_type_with_flags", frame(0xFF, 0xFF, 0, b"x"), []),
    ("unknown_type_on_an_idle_stream", frame(0x55, 0, 9, b"x"), []),
    ("unknown_type_on_an_even_stream", frame(0x55, 0, 8, b"x"), []),
    (
        "unknown_type_on_an_open_stream",
        headers(1) + frame(0x55, 1, 1, b"x") + data(1, b"a"),
        ["1 open 1 bytes"],
    ),
    ("unknown_type_empty", frame(0x0B, 0, 0), []),
    (
        "unknown_type_largest",
        frame(0x0B, 0, 0, bytes(_LARGEST)) + ping(),
        ["PING ACK"],
    ),
    (
        "unknown_flags_of_ping",
        frame(frames.PING, 0xFE, 0, bytes(8)),
        ["PING ACK"],
    ),
    (
        "unknown_flags_of_data",
        headers(1) + frame(frames.DATA, 0xF6, 1, b"abc"),
        ["1 open 3 bytes"],
    ),
    (
        "unknown_flags_of_headers",
        headers(1, flags=frames.END_HEADERS | 0xD2),
        ["1 open 0 bytes"],
    ),
    (
        "unknown_flags_of_settings",
        frame(frames.SETTINGS, 0xFE, 0),
        ["SETTINGS ACK"],
    ),
    (
        "reserved_bit_of_stream_0",
        frame(frames.PING, 0, _RESERVED, bytes(8)),
        ["PING ACK"],
    ),
    (
        "reserved_bit_of_a_stream",
        headers(1 | _RESERVED) + data(1, b"a"),
        ["1 open 1 bytes"],
    ),
    (
        "reserved_bit_of_data",
        headers(1) + data(1 | _RESERVED, b"a"),
        ["1 open 1 bytes"],
    ),
    (
        "reserved_bit_of_a_window",
        headers(1)
        + frame(frames.WINDOW_UPDATE, 0, 1, b"\x80\0\0\1")
        + data(1, b"a"),
        ["1 open 1 bytes"],
    ),
    # 4.2: sizes.
    (
        "largest_data",
        headers(1) + data(1, bytes(_LARGEST)),
        [f"1 open {_LARGEST} bytes"],
    ),
    (
        "data_too_large",
        headers(1) + data(1, bytes(_LARGEST + 1)),
        ["GOAWAY 1 FRAME_SIZE_ERROR", "1 open 0 bytes FRAME_SIZE_ERROR"],
    ),
    (
        "headers_too_large",
        headers(1, bytes(_LARGEST + 1)),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    (
        "unknown_type_too_large",
        frame(0x0B, 0, 0, bytes(_LARGEST + 1)),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    (
        "settings_too_large",
        frame(frames.SETTINGS, 0, 0, bytes((_LARGEST // 6 + 1) * 6)),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    (
        "largest_length_of_all",
        b"\xff\xff\xff\0\0\0\0\0\1",
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    # 6.1, 6.2: padding.
    (
        "padded_data",
        headers(1) + data(1, b"abc", num_padding_bytes=2),
        ["WINDOW_UPDATE 1 3", "1 open 3 bytes"],
    ),
    (
        "padded_data_with_end",
        headers(1) + data(1, b"abc", num_padding_bytes=2, ends=True),
        ["1 ended 3 bytes"],
    ),
    (
        "padding_of_no_bytes",
        headers(1) + data(1, b"abc", num_padding_bytes=0),
        ["WINDOW_UPDATE 1 1", "1 open 3 bytes"],
    ),
    (
        "nothing_but_padding",
        headers(1) + data(1, b"", num_padding_bytes=255),
        ["WINDOW_UPDATE 1 256", "1 open 0 bytes"],
    ),
    (
        "padding_that_is_not_zero",
        headers(1) + frame(frames.DATA, frames.PADDED, 1, b"\2abc"),
        ["WINDOW_UPDATE 1 3", "1 open 1 bytes"],
    ),
    (
        "padding_as_long_as_its_frame",
        headers(1) + frame(frames.DATA, frames.PADDED, 1, b"\4abc"),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "padding_longer_than_its_frame",
        headers(1) + frame(frames.DATA, frames.PADDED, 1, b"\xffabc"),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "padded_data_without_bytes",
        headers(1) + frame(frames.DATA, frames.PADDED, 1),
        ["GOAWAY 1 FRAME_SIZE_ERROR", "1 open 0 bytes FRAME_SIZE_ERROR"],
    ),
    (
        "padded_headers",
        headers(
            1,
            frame_script.padded(frame_script.REQUEST, 9),
            frames.END_HEADERS | frames.PADDED,
        ),
        ["1 open 0 bytes"],
    ),
    (
        "padding_of_headers_too_long",
        headers(1, b"\5abcd", frames.END_HEADERS | frames.PADDED),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "padded_headers_without_bytes",
        headers(1, b"", frames.END_HEADERS | frames.PADDED),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    # 6.2: a priority in HEADERS has no meaning, but a size.
    (
        "headers_with_priority",
        headers(
            1,
            bytes(5) + frame_script.REQUEST,
            frames.END_HEADERS | frames.HAS_PRIORITY,
        ),
        ["1 open 0 bytes"],
    ),
    (
        "headers_that_depend_on_themselves",
        headers(
            1,
            b"\0\0\0\1\0" + frame_script.REQUEST,
            frames.END_HEADERS | frames.HAS_PRIORITY,
        ),
        ["1 open 0 bytes"],
    ),
    (
        "headers_with_padding_and_priority",
        headers(
            1,
            frame_script.padded(bytes(5) + frame_script.REQUEST, 3),
            frames.END_HEADERS | frames.HAS_PRIORITY | frames.PADDED,
        ),
        ["1 open 0 bytes"],
    ),
    (
        "priority_of_headers_too_short",
        headers(1, bytes(4), frames.END_HEADERS | frames.HAS_PRIORITY),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    # 4.3, 6.10: header blocks in several frames.
    (
        "continued_headers",
        headers(1, frame_script.REQUEST[:9], 0)
        + continuation(1, frame_script.REQUEST[9:], 0)
        + continuation(1),
        ["1 open 0 bytes"],
    ),
    (
        "continued_headers_with_end",
        headers(1, b"", 0, ends=True) + continuation(1, frame_script.REQUEST),
        ["1 ended 0 bytes"],
    ),
    (
        "continued_trailers",
        headers(1)
        + headers(1, b"", 0, ends=True)
        + continuation(1, frame_script.TRAILERS),
        ["1 ended 0 bytes"],
    ),
    (
        "continuation_of_nothing",
        continuation(1),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "continuation_on_stream_0",
        continuation(0),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "continuation_after_the_end_of_headers",
        headers(1) + continuation(1),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "continuation_after_the_end_of_a_continuation",
        headers(1, b"", 0)
        + continuation(1, frame_script.REQUEST)
        + continuation(1),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "continuation_of_another_stream",
        headers(1, b"", 0) + continuation(3, frame_script.REQUEST),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "data_between_headers_and_continuation",
        headers(1) + headers(3, b"", 0) + data(1, b"a"),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "ping_between_headers_and_continuation",
        headers(1, b"", 0) + ping(),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "headers_between_headers_and_continuation",
        headers(1, b"", 0) + headers(1),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "unknown_type_between_headers_and_continuation",
        headers(1, b"", 0) + frame(0x55, 0, 1),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "reset_between_headers_and_continuation",
        headers(1, b"", 0) + frames.rst_stream(1, frames.ErrorCode.CANCEL),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    ("headers_that_are_not_continued_yet", headers(1, b"", 0), []),
    (
        "headers_on_stream_0",
        headers(0),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "part_of_a_frame",
        headers(1) + data(1, b"abc")[:-1],
        ["1 open 0 bytes"],
    ),
    ("part_of_a_frame_header", ping() + ping()[:8], ["PING ACK"]),
)


class FramesTest(parameterized.TestCase):
    """Frames that are well-formed, or not."""

    @parameterized.named_parameters(*_BEGINNINGS)
    def test_beginning_is_answered_as_the_standard_says(
        self, sent: bytes, answer: list[str]
    ) -> None:
        """The server says hello before it reads, and then answers."""
        subject = connection.Connection(limits_lib.Limits(), 0.0)
        subject.receive(sent, 0.0)
        self.assertEqual(
            frame_script.read(subject.take_output()), _HELLO + answer
        )

    @parameterized.named_parameters(*_EXCHANGES)
    def test_frames_are_answered_as_the_standard_says(
        self, sent: bytes, outcome: list[str]
    ) -> None:
        """The answer is the same however the frames are cut into pieces."""
        for found in frame_script.outcomes(sent):
            self.assertEqual(found, outcome)

    @parameterized.parameters(*range(len(frames.PREFACE)))
    def test_wrong_byte_of_the_preface_ends_the_connection(
        self, position: int
    ) -> None:
        """A client of another protocol is noticed with the first wrong byte."""
        subject = connection.Connection(limits_lib.Limits(), 0.0)
        wrong = bytes([frames.PREFACE[position] ^ 1])
        subject.receive(frames.PREFACE[:position], 0.0)
        self.assertIsNone(subject.fault)
        subject.receive(wrong, 0.0)
        self.assertEqual(
            frame_script.read(subject.take_output()),
            [*_HELLO, "GOAWAY 0 PROTOCOL_ERROR"],
        )


if __name__ == "__main__":
    absltest.main()
