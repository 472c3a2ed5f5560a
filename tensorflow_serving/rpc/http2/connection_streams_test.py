"""RFC 9113, sections 5.1, 5.4, 6.3, 6.4, 8.1: states of streams, and resets."""

from collections.abc import Callable, Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import frame_script, frames, header_block
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2.frame_script import (
    continuation,
    data,
    headers,
    ping,
    trailers,
)
from tensorflow_serving.rpc.http2.frames import ErrorCode, frame

_HEAD = header_block.encode([(b":status", b"200")])


def _reset(stream_id: int) -> bytes:
    return frames.rst_stream(stream_id, ErrorCode.CANCEL)


def _priority(stream_id: int, size: int = 5) -> bytes:
    return frame(frames.PRIORITY, 0, stream_id, bytes(size))


# The bytes of a client; the answer, and its streams.
_EXCHANGES: Sequence[tuple[str, bytes, list[str]]] = (
    # 5.1, "idle": only HEADERS and PRIORITY.
    ("idle_data", data(1, b"a"), ["GOAWAY 0 PROTOCOL_ERROR"]),
    ("idle_data_empty", data(1), ["GOAWAY 0 PROTOCOL_ERROR"]),
    ("idle_reset", _reset(1), ["GOAWAY 0 PROTOCOL_ERROR"]),
    (
        "idle_window_update",
        frames.window_update(1, 1),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    ("idle_priority", _priority(1) + headers(1), ["1 open 0 bytes"]),
    (
        "idle_priority_of_a_later_stream",
        headers(1) + _priority(9),
        ["1 open 0 bytes"],
    ),
    ("idle_priority_of_an_even_stream", _priority(2), []),
    (
        "idle_after_others_data",
        headers(1) + data(3, b"a"),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "idle_after_others_reset",
        headers(1) + _reset(3),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    # 5.1, "open": everything.
    ("open_headers", headers(1), ["1 open 0 bytes"]),
    ("open_data", headers(1) + data(1, b"a"), ["1 open 1 bytes"]),
    (
        "open_data_twice",
        headers(1) + data(1, b"a") + data(1, b"bc"),
        ["1 open 3 bytes"],
    ),
    ("open_data_empty", headers(1) + data(1), ["1 open 0 bytes"]),
    ("open_priority", headers(1) + _priority(1), ["1 open 0 bytes"]),
    (
        "open_window_update",
        headers(1) + frames.window_update(1, 1),
        ["1 open 0 bytes"],
    ),
    ("open_reset", headers(1) + _reset(1), ["1 open 0 bytes CANCEL"]),
    (
        "open_reset_with_no_error",
        headers(1) + frames.rst_stream(1, ErrorCode.NO_ERROR),
        ["1 open 0 bytes CANCEL"],
    ),
    (
        "open_reset_with_an_unknown_code",
        headers(1) + frame(frames.RST_STREAM, 0, 1, b"\xff\xff\xff\xff"),
        ["1 open 0 bytes CANCEL"],
    ),
    # 8.1: a request is HEADERS, DATA, and perhaps trailers.
    ("request_without_data", headers(1, ends=True), ["1 ended 0 bytes"]),
    (
        "request_with_data",
        headers(1) + data(1, b"ab", ends=True),
        ["1 ended 2 bytes"],
    ),
    (
        "request_with_an_empty_end",
        headers(1) + data(1, b"ab") + data(1, ends=True),
        ["1 ended 2 bytes"],
    ),
    (
        "request_with_trailers",
        headers(1) + data(1, b"ab") + trailers(1),
        ["1 ended 2 bytes"],
    ),
    (
        "request_with_trailers_only",
        headers(1) + trailers(1),
        ["1 ended 0 bytes"],
    ),
    (
        "trailers_without_end",
        headers(1) + headers(1, frame_script.TRAILERS),
        ["RST_STREAM 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "trailers_without_fields",
        headers(1) + trailers(1, b""),
        ["1 ended 0 bytes"],
    ),
    (
        "requests_that_alternate",
        headers(1) + headers(3) + data(3, b"a") + data(1, b"b") + data(3, b"c"),
        ["1 open 1 bytes", "3 open 2 bytes"],
    ),
    # 5.1, "half-closed (remote)": WINDOW_UPDATE, PRIORITY and RST_STREAM.
    (
        "ended_data",
        headers(1, ends=True) + data(1, b"a"),
        ["RST_STREAM 1 STREAM_CLOSED", "1 ended 0 bytes STREAM_CLOSED"],
    ),
    (
        "ended_data_after_data",
        headers(1) + data(1, b"a", ends=True) + data(1, b"a"),
        ["RST_STREAM 1 STREAM_CLOSED", "1 ended 1 bytes STREAM_CLOSED"],
    ),
    (
        "ended_end_again",
        headers(1) + data(1, b"a", ends=True) + data(1, ends=True),
        ["RST_STREAM 1 STREAM_CLOSED", "1 ended 1 bytes STREAM_CLOSED"],
    ),
    (
        "ended_headers",
        headers(1, ends=True) + headers(1),
        ["RST_STREAM 1 STREAM_CLOSED", "1 ended 0 bytes STREAM_CLOSED"],
    ),
    (
        "ended_trailers",
        headers(1, ends=True) + trailers(1),
        ["RST_STREAM 1 STREAM_CLOSED", "1 ended 0 bytes STREAM_CLOSED"],
    ),
    (
        "ended_continued_headers",
        headers(1, ends=True) + headers(1, b"", 0) + continuation(1),
        ["RST_STREAM 1 STREAM_CLOSED", "1 ended 0 bytes STREAM_CLOSED"],
    ),
    (
        "ended_continuation",
        headers(1, ends=True) + continuation(1),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 ended 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "ended_priority",
        headers(1, ends=True) + _priority(1),
        ["1 ended 0 bytes"],
    ),
    (
        "ended_window_update",
        headers(1, ends=True) + frames.window_update(1, 1),
        ["1 ended 0 bytes"],
    ),
    (
        "ended_reset",
        headers(1, ends=True) + _reset(1),
        ["1 ended 0 bytes CANCEL"],
    ),
    # 5.1, "closed" by a reset of the client.
    (
        "reset_data",
        headers(1) + _reset(1) + data(1, b"a"),
        ["GOAWAY 1 STREAM_CLOSED", "1 open 0 bytes CANCEL"],
    ),
    (
        "reset_headers",
        headers(1) + _reset(1) + headers(1),
        ["GOAWAY 1 STREAM_CLOSED", "1 open 0 bytes CANCEL"],
    ),
    (
        "reset_trailers",
        headers(1) + _reset(1) + trailers(1),
        ["GOAWAY 1 STREAM_CLOSED", "1 open 0 bytes CANCEL"],
    ),
    (
        "reset_priority",
        headers(1) + _reset(1) + _priority(1),
        ["1 open 0 bytes CANCEL"],
    ),
    (
        "reset_window_update",
        headers(1) + _reset(1) + frames.window_update(1, 1),
        ["1 open 0 bytes CANCEL"],
    ),
    (
        "reset_twice",
        headers(1) + _reset(1) + _reset(1),
        ["1 open 0 bytes CANCEL"],
    ),
    # 5.4.2: what was on its way when the server reset a stream.
    (
        "late_data",
        headers(1, b"") + data(1, b"abc") + ping(),
        ["RST_STREAM 1 PROTOCOL_ERROR", "PING ACK"],
    ),
    (
        "late_end",
        headers(1, b"") + data(1, b"abc", ends=True),
        ["RST_STREAM 1 PROTOCOL_ERROR"],
    ),
    (
        "late_trailers",
        headers(1, b"") + trailers(1),
        ["RST_STREAM 1 PROTOCOL_ERROR"],
    ),
    (
        "late_window_update",
        headers(1, b"") + frames.window_update(1, 1),
        ["RST_STREAM 1 PROTOCOL_ERROR"],
    ),
    (
        "late_window_update_of_zero",
        headers(1, b"") + frames.window_update(1, 0),
        ["RST_STREAM 1 PROTOCOL_ERROR"],
    ),
    (
        "late_reset",
        headers(1, b"") + _reset(1),
        ["RST_STREAM 1 PROTOCOL_ERROR"],
    ),
    (
        "late_priority_of_a_wrong_size",
        headers(1, b"") + _priority(1, 4),
        ["RST_STREAM 1 PROTOCOL_ERROR", "GOAWAY 1 FRAME_SIZE_ERROR"],
    ),
    # 5.1.1: numbers of streams.
    ("number_even", headers(2), ["GOAWAY 0 PROTOCOL_ERROR"]),
    (
        "number_even_below_others",
        headers(3) + headers(2),
        ["GOAWAY 3 PROTOCOL_ERROR", "3 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "number_even_data",
        headers(3) + data(2, b"a"),
        ["GOAWAY 3 PROTOCOL_ERROR", "3 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "number_even_reset",
        headers(3) + _reset(2),
        ["GOAWAY 3 PROTOCOL_ERROR", "3 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "number_even_window_update",
        headers(3) + frames.window_update(2, 1),
        ["GOAWAY 3 PROTOCOL_ERROR", "3 open 0 bytes PROTOCOL_ERROR"],
    ),
    ("number_not_the_first", headers(101), ["101 open 0 bytes"]),
    (
        "number_largest",
        headers(frames.MAX_STREAM_ID),
        [f"{frames.MAX_STREAM_ID} open 0 bytes"],
    ),
    (
        "number_smaller",
        headers(5) + headers(3),
        ["GOAWAY 5 PROTOCOL_ERROR", "5 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "number_skipped_data",
        headers(5) + data(3, b"a"),
        ["GOAWAY 5 PROTOCOL_ERROR", "5 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "number_skipped_reset",
        headers(1) + headers(5) + _reset(3),
        [
            "GOAWAY 5 PROTOCOL_ERROR",
            "1 open 0 bytes PROTOCOL_ERROR",
            "5 open 0 bytes PROTOCOL_ERROR",
        ],
    ),
    # 6.1, 6.3, 6.4: sizes and streams.
    ("data_on_stream_0", data(0, b"a"), ["GOAWAY 0 PROTOCOL_ERROR"]),
    ("priority_on_stream_0", _priority(0), ["GOAWAY 0 PROTOCOL_ERROR"]),
    (
        "priority_too_short",
        headers(1) + _priority(1, 4),
        ["RST_STREAM 1 FRAME_SIZE_ERROR", "1 open 0 bytes FRAME_SIZE_ERROR"],
    ),
    (
        "priority_too_long",
        headers(1) + _priority(1, 6),
        ["RST_STREAM 1 FRAME_SIZE_ERROR", "1 open 0 bytes FRAME_SIZE_ERROR"],
    ),
    (
        "priority_of_an_idle_stream_too_short",
        _priority(1, 4),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    (
        "priority_of_itself",
        headers(1) + frame(frames.PRIORITY, 0, 1, b"\0\0\0\1\0"),
        ["1 open 0 bytes"],
    ),
    ("reset_on_stream_0", _reset(0), ["GOAWAY 0 PROTOCOL_ERROR"]),
    (
        "reset_too_short",
        headers(1) + frame(frames.RST_STREAM, 0, 1, bytes(3)),
        ["GOAWAY 1 FRAME_SIZE_ERROR", "1 open 0 bytes FRAME_SIZE_ERROR"],
    ),
    (
        "reset_too_long",
        headers(1) + frame(frames.RST_STREAM, 0, 1, bytes(5)),
        ["GOAWAY 1 FRAME_SIZE_ERROR", "1 open 0 bytes FRAME_SIZE_ERROR"],
    ),
    # 8.4: only servers push.
    (
        "push_promise",
        headers(1) + frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\2\x88"),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "push_promise_on_stream_0",
        frame(frames.PUSH_PROMISE, 4, 0, b"\0\0\0\2\x88"),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
)

# The bytes of a client after the server has answered stream 1, and the answer.
_AFTER_AN_ANSWER: Sequence[tuple[str, bytes, list[str]]] = (
    ("data", data(1, b"a"), ["GOAWAY 1 STREAM_CLOSED"]),
    ("headers", headers(1), ["GOAWAY 1 STREAM_CLOSED"]),
    ("trailers", trailers(1), ["GOAWAY 1 STREAM_CLOSED"]),
    ("continuation", continuation(1), ["GOAWAY 1 PROTOCOL_ERROR"]),
    ("priority", _priority(1), []),
    ("window_update", frames.window_update(1, 1), []),
    ("reset", _reset(1), []),
    ("next_stream", headers(3), []),
)

# The bytes of a client after the server has answered stream 1 early (8.1), or
# has reset it (5.4.2), when it had not sent all of its request; and the answer.
_AFTER_A_RESET: Sequence[tuple[str, bytes, list[str]]] = (
    ("data", data(1, b"a"), []),
    ("data_and_end", data(1, b"a") + data(1, b"b", ends=True), []),
    ("padded_data", data(1, b"a", num_padding_bytes=5), []),
    ("trailers", trailers(1), []),
    ("priority", _priority(1), []),
    ("window_update", frames.window_update(1, 1), []),
    ("reset", _reset(1), []),
    ("next_stream", data(1, b"a") + headers(3), []),
)


class StreamsTest(parameterized.TestCase):
    """Frames in all states of a stream."""

    @parameterized.named_parameters(*_EXCHANGES)
    def test_frames_are_answered_as_the_standard_says(
        self, sent: bytes, outcome: list[str]
    ) -> None:
        """The answer is the same however the frames are cut into pieces."""
        for found in frame_script.outcomes(sent):
            self.assertEqual(found, outcome)

    @parameterized.named_parameters(*_AFTER_AN_ANSWER)
    def test_frame_after_an_answer_is_treated_as_the_standard_says(
        self, sent: bytes, answer: list[str]
    ) -> None:
        """Further bytes on a stream that both sides have ended are refused."""
        client = frame_script.Client()
        client.send(headers(1, ends=True))
        client.connection.send_end(client.streams[1], _HEAD)
        self.assertEqual(client.read(), ["HEADERS 1 END_STREAM"])
        self.assertEqual(client.send(sent), answer)

    @parameterized.named_parameters(*_AFTER_A_RESET)
    def test_rest_of_a_request_after_an_early_answer_is_ignored(
        self, sent: bytes, answer: list[str]
    ) -> None:
        """The server may answer early and then asks for no further bytes."""
        client = frame_script.Client()
        client.send(headers(1), data(1, b"abc"))
        client.connection.send_end(client.streams[1], _HEAD)
        self.assertEqual(
            client.read(), ["HEADERS 1 END_STREAM", "RST_STREAM 1 NO_ERROR"]
        )
        self.assertEqual(client.send(sent), answer)

    @parameterized.named_parameters(*_AFTER_A_RESET)
    def test_rest_of_a_request_after_a_reset_is_ignored(
        self, sent: bytes, answer: list[str]
    ) -> None:
        """A client may not know yet that its stream was reset."""
        client = frame_script.Client()
        client.send(headers(1), data(1, b"abc"))
        client.connection.reset(client.streams[1], ErrorCode.INTERNAL_ERROR)
        client.read()
        self.assertEqual(client.send(sent), answer)

    def test_rest_of_a_request_counts_for_the_window(self) -> None:
        """Data that is ignored is given back, or others could not go on."""
        client = frame_script.Client()
        client.send(headers(1), data(1, b"abc"))
        client.connection.reset(client.streams[1], ErrorCode.INTERNAL_ERROR)
        client.read()
        self.assertEqual(
            client.send(*[data(1, bytes(60_000))] * 200),
            ["WINDOW_UPDATE 0 8400003"],
        )


class ConcurrencyTest(parameterized.TestCase):
    """5.1.2: as many streams at a time as the server allows."""

    def setUp(self) -> None:
        """Makes a connection for two streams, which are open."""
        super().setUp()
        self._client = frame_script.Client(
            limits_lib.Limits(max_concurrent_streams=2)
        )
        self._client.send(headers(1), headers(3))

    def test_stream_too_many_is_refused(self) -> None:
        """REFUSED_STREAM allows a client to try again."""
        self.assertEqual(
            self._client.send(headers(5)), ["RST_STREAM 5 REFUSED_STREAM"]
        )

    def test_refused_stream_does_not_harm_the_others(self) -> None:
        """Calls that were accepted go on."""
        self._client.send(headers(5), data(1, b"abc", ends=True))
        self.assertEqual(
            frame_script.states(self._client.streams.values()),
            ["1 ended 3 bytes", "3 open 0 bytes"],
        )

    def test_rest_of_a_refused_request_is_ignored(self) -> None:
        """The client sent it before it knew."""
        self.assertEqual(
            self._client.send(headers(5), data(5, b"abc"), trailers(5)),
            ["RST_STREAM 5 REFUSED_STREAM"],
        )

    def test_refused_block_changes_the_table(self) -> None:
        """HPACK is a matter of the connection; all blocks count."""
        inserted = frame_script.REQUEST + b"\x40\x01a\x01b"
        self._client.send(headers(5, inserted), _reset(1))
        self._client.send(headers(7, frame_script.REQUEST + b"\xbe"))
        self.assertIn((b"a", b"b"), self._client.streams[7].head.fields)

    def test_thousands_of_streams_too_many_do_not_end_the_connection(
        self,
    ) -> None:
        """A client may send many calls before it knows the limit."""
        sent = [headers(number) for number in range(5, 10_000, 2)]
        self._client.send(*sent)
        self.assertIsNone(self._client.connection.fault)

    @parameterized.named_parameters(
        ("reset_by_the_client", lambda client: client.send(_reset(1))),
        (
            "reset_by_the_server",
            lambda client: client.connection.reset(
                client.streams[1], ErrorCode.CANCEL
            ),
        ),
        (
            "answered",
            lambda client: client.connection.send_end(client.streams[1], _HEAD),
        ),
        ("malformed", lambda client: client.send(headers(1))),
    )
    def test_stream_that_ended_makes_place(
        self, end: Callable[[frame_script.Client], object]
    ) -> None:
        """However a stream ended, the next one may be opened."""
        end(self._client)
        self._client.read()
        self.assertEqual(self._client.send(headers(5)), [])


if __name__ == "__main__":
    absltest.main()
