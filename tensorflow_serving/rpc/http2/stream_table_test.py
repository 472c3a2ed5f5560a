"""Tests for the streams of a connection."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import (
    frame_script,
    frames,
    header_block,
    incoming,
    outgoing,
    stream_table,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib

_HEAD = header_block.Head(path=b"/a")
_CODES = frames.ErrorCode


class StreamTableTest(parameterized.TestCase):
    """Open, closed and ignored streams."""

    def setUp(self) -> None:
        """Makes a table of up to two streams."""
        super().setUp()
        limits = limits_lib.Limits(max_concurrent_streams=2)
        self._out = outgoing.Outgoing()
        self._table = stream_table.StreamTable(
            limits, self._out, incoming.Incoming(limits, self._out)
        )
        self._out.take()

    def _news(self) -> list[int]:
        return [stream.id for stream in self._table.take_news()]

    def _read(self) -> list[str]:
        return frame_script.read(self._out.take())

    def test_new_stream_is_reported_once(self) -> None:
        """A stream that was opened has news, until they are taken."""
        self._table.open(1, _HEAD, 0)
        self.assertEqual(self._news(), [1])
        self.assertEqual(self._news(), [])

    def test_lost_stream_is_reported_once(self) -> None:
        """A stream that was opened and lost between two looks is news once."""
        self._table.open(1, _HEAD, 0)
        self._table.lose(self._table.by_id[1], _CODES.CANCEL)
        self.assertEqual(self._news(), [1])

    def test_stream_too_many_is_refused(self) -> None:
        """A client may try again what was refused."""
        self._table.open(1, _HEAD, 0)
        self._table.open(3, _HEAD, 0)
        with self.assertRaises(frames.Http2StreamError) as raised:
            self._table.open(5, _HEAD, 0)
        self.assertEqual(raised.exception.code, _CODES.REFUSED_STREAM)

    def test_ended_stream_makes_place(self) -> None:
        """A stream that was answered no longer counts."""
        self._table.open(1, _HEAD, 1)
        self._table.open(3, _HEAD, 1)
        self._table.end(self._table.by_id[1])
        self._table.open(5, _HEAD, 1)
        self.assertCountEqual(self._table.by_id, [3, 5])

    def test_answer_before_the_end_of_a_request_resets_it(self) -> None:
        """The rest of a request is not wanted once it was answered."""
        self._table.open(1, _HEAD, 0)
        self._table.end(self._table.by_id[1])
        self.assertEqual(self._read(), ["RST_STREAM 1 NO_ERROR"])

    def test_answer_after_the_end_of_a_request_is_silent(self) -> None:
        """A stream that both sides have ended needs no reset."""
        self._table.open(1, _HEAD, 1)
        self._table.end(self._table.by_id[1])
        self.assertEqual(self._read(), [])

    def test_promise_of_data_with_the_end_is_malformed(self) -> None:
        """A request without data cannot have a content-length above 0."""
        head = header_block.Head(path=b"/a", content_length=1)
        with self.assertRaises(frames.Http2StreamError) as raised:
            self._table.open(1, head, 1)
        self.assertEqual(raised.exception.code, _CODES.PROTOCOL_ERROR)

    @parameterized.named_parameters(
        ("zero", 0),
        ("even", 2),
        ("idle", 9),
        ("skipped", 5),
    )
    def test_stream_that_was_never_opened_is_not_known(
        self, number: int
    ) -> None:
        """Frames on streams that the client did not open are a fault."""
        self._table.open(3, _HEAD, 0)
        self._table.open(7, _HEAD, 0)
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            self._table.require_known(number, "DATA")
        self.assertEqual(raised.exception.code, _CODES.PROTOCOL_ERROR)

    def test_stream_that_was_opened_is_known(self) -> None:
        """A stream is known even after its end."""
        self._table.open(3, _HEAD, 1)
        self._table.end(self._table.by_id[3])
        self._table.require_known(3, "DATA")

    def test_closed_stream_is_refused(self) -> None:
        """A frame on a stream that both sides have ended is a fault."""
        self._table.open(1, _HEAD, 1)
        self._table.end(self._table.by_id[1])
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            self._table.refuse_closed(1)
        self.assertEqual(raised.exception.code, _CODES.STREAM_CLOSED)

    def test_ended_stream_is_refused(self) -> None:
        """A frame on a stream that the peer has ended resets it."""
        self._table.open(1, _HEAD, 1)
        with self.assertRaises(frames.Http2StreamError) as raised:
            self._table.refuse_closed(1)
        self.assertEqual(raised.exception.code, _CODES.STREAM_CLOSED)

    def test_stream_that_the_server_reset_is_not_refused(self) -> None:
        """A frame may have been on its way when the server reset a stream."""
        self._table.open(1, _HEAD, 0)
        self._table.fail(frames.Http2StreamError(1, _CODES.CANCEL))
        self._table.refuse_closed(1)

    def test_only_the_last_resets_are_remembered(self) -> None:
        """A peer that resets streams without end fills no memory."""
        for number in range(1, 2 * 1025 + 1, 2):
            self._table.open(number, _HEAD, 0)
            self._table.fail(frames.Http2StreamError(number, _CODES.CANCEL))
        self._table.refuse_closed(3)
        with self.assertRaises(frames.Http2ConnectionError):
            self._table.refuse_closed(1)

    def test_stream_after_the_last_is_ignored(self) -> None:
        """Streams after the last one that was announced are not answered."""
        self._table.open(1, _HEAD, 0)
        self._table.accept_no_more()
        self._table.open(3, _HEAD, 0)
        self._table.refuse_closed(3)
        self.assertCountEqual(self._table.by_id, [1])
        self.assertEqual(self._table.last_handled_id, 1)

    def test_answered_streams_are_counted(self) -> None:
        """Those that are open, or were lost, were not answered."""
        self._table.open(1, _HEAD, 1)
        self._table.end(self._table.by_id[1])
        self._table.open(3, _HEAD, 1)
        self._table.lose(self._table.by_id[3], _CODES.CANCEL)
        self._table.open(5, _HEAD, 1)
        self.assertEqual(self._table.num_opened, 3)
        self.assertEqual(self._table.num_answered, 1)

    def test_change_of_windows_sends_what_waits(self) -> None:
        """A response that waited for its window can end with new settings."""
        self._table.change_initial_window(1)
        self._table.open(1, _HEAD, 1)
        stream = self._table.by_id[1]
        self._out.write_data(stream, b"abc")
        self._out.write_headers(stream, b"x", ends=True)
        self._table.change_initial_window(3)
        self.assertEqual(
            self._read(),
            ["DATA 1 1 bytes", "DATA 1 2 bytes", "HEADERS 1 END_STREAM"],
        )
        self.assertTrue(stream.is_closed)

    def test_change_that_makes_a_window_too_large_is_refused(self) -> None:
        """Settings cannot open a window beyond 2^31-1."""
        self._table.open(1, _HEAD, 1)
        self._out.open_stream_window(self._table.by_id[1], 1)
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            self._table.change_initial_window(frames.MAX_WINDOW_BYTES)
        self.assertEqual(raised.exception.code, _CODES.FLOW_CONTROL_ERROR)


if __name__ == "__main__":
    absltest.main()
