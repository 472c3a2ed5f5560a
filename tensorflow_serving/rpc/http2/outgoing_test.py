"""Tests for what a connection has to send."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import (
    frame_script,
    frames,
    header_block,
    outgoing,
)
from tensorflow_serving.rpc.http2 import stream as stream_lib

_DEFAULT = frames.DEFAULT_WINDOW_BYTES
_HUGE = 1 << 30


class OutgoingTest(parameterized.TestCase):
    """Data and windows."""

    def setUp(self) -> None:
        """Starts with the windows of a peer without settings."""
        super().setUp()
        self._out = outgoing.Outgoing()

    def _stream(
        self, stream_id: int, send_window: int = _HUGE
    ) -> stream_lib.Stream:
        return stream_lib.Stream(
            stream_id, header_block.Head(), send_window, _DEFAULT
        )

    def _read(self) -> list[str]:
        return frame_script.read(self._out.take())

    def _close_window(self) -> None:
        """Uses up the window of the connection."""
        self._out.write_data(self._stream(99), bytes(_DEFAULT))
        self._out.take()

    def test_data_within_the_windows_is_sent(self) -> None:
        """Small data becomes one frame."""
        stream = self._stream(1, send_window=100)
        self._out.write_data(stream, b"abc")
        self.assertEqual(self._read(), ["DATA 1 3 bytes"])
        self.assertEqual(stream.send_window, 97)

    def test_large_data_is_cut_into_frames(self) -> None:
        """No frame is larger than the peer allows."""
        self._out.write_data(self._stream(1), bytes(40_000))
        self.assertEqual(
            self._read(),
            [
                "DATA 1 16384 bytes",
                "DATA 1 16384 bytes",
                "DATA 1 7232 bytes",
            ],
        )

    def test_larger_frames_are_used_if_allowed(self) -> None:
        """The peer may allow larger frames."""
        self._out.change_settings(frames.MAX_FRAME_SIZE, 50_000)
        self._out.write_data(self._stream(1), bytes(40_000))
        self.assertEqual(self._read(), ["DATA 1 40000 bytes"])

    def test_data_beyond_the_window_of_its_stream_waits(self) -> None:
        """Data beyond the window of a stream is sent when that grows."""
        stream = self._stream(1, send_window=2)
        self._out.write_data(stream, b"abcde")
        self.assertEqual(self._read(), ["DATA 1 2 bytes"])
        self.assertFalse(self._out.open_stream_window(stream, 3))
        self.assertEqual(self._read(), ["DATA 1 3 bytes"])

    def test_data_that_waits_is_counted(self) -> None:
        """Data that waits is counted until it is sent or forgotten."""
        one, two = (self._stream(number, send_window=2) for number in (1, 3))
        self._out.write_data(one, b"abcde")
        self._out.write_data(two, b"abc")
        self._out.write_headers(two, b"", ends=True)
        self.assertEqual(self._out.num_waiting_bytes, 4)
        self._out.open_stream_window(one, 3)
        self.assertEqual(self._out.num_waiting_bytes, 1)
        self._out.forget(two)
        self.assertEqual(self._out.num_waiting_bytes, 0)

    def test_data_beyond_the_window_of_the_connection_waits(self) -> None:
        """Data beyond the window of a connection is sent when that grows."""
        self._close_window()
        self._out.write_data(self._stream(1), b"abcde")
        self.assertEqual(self._read(), [])
        self.assertEqual(self._out.open_window(5), [])
        self.assertEqual(self._read(), ["DATA 1 5 bytes"])

    def test_waiting_data_arrives_as_it_was_written(self) -> None:
        """Data is neither lost nor changed however it is cut."""
        whole = bytes(range(256)) * 100
        stream = self._stream(1, send_window=0)
        self._out.write_data(stream, whole[:10_000])
        self._out.write_data(stream, b"")
        self._out.write_data(stream, whole[10_000:])
        received = b""
        step = 1
        while len(received) < len(whole):
            self._out.open_stream_window(stream, step)
            step += 7
            received += b"".join(
                frame[3] for frame in frame_script.read_frames(self._out.take())
            )
        self.assertEqual(received, whole)

    def test_end_waits_behind_data(self) -> None:
        """Trailers are sent after all data, and end the stream."""
        stream = self._stream(1, send_window=2)
        self._out.write_data(stream, b"abc")
        self._out.write_headers(stream, b"x", ends=True)
        self.assertEqual(self._read(), ["DATA 1 2 bytes"])
        self.assertTrue(self._out.open_stream_window(stream, 1))
        self.assertEqual(
            self._read(), ["DATA 1 1 bytes", "HEADERS 1 END_STREAM"]
        )

    def test_streams_that_ended_are_returned(self) -> None:
        """A larger window may end several streams at once."""
        self._close_window()
        streams = [self._stream(number) for number in (1, 3)]
        for stream in streams:
            self._out.write_data(stream, b"abc")
            self._out.write_headers(stream, b"x", ends=True)
        self.assertEqual(self._out.open_window(100), streams)

    def test_streams_take_turns(self) -> None:
        """A small response does not wait for all of a large one."""
        self._close_window()
        self._out.write_data(self._stream(1), bytes(100_000))
        self._out.write_data(self._stream(3), b"abc")
        self._out.open_window(100_000)
        self.assertEqual(
            self._read()[:2], ["DATA 1 16384 bytes", "DATA 3 3 bytes"]
        )

    def test_turns_go_on_with_the_next_window(self) -> None:
        """A stream that had a turn goes behind those that wait."""
        self._close_window()
        for stream_id in (1, 3, 5):
            self._out.write_data(self._stream(stream_id), bytes(100))
        lines: list[str] = []
        for _ in range(6):
            self._out.open_window(10)
            lines += self._read()
        self.assertEqual(
            lines, [f"DATA {number} 10 bytes" for number in (1, 3, 5, 1, 3, 5)]
        )

    def test_stream_without_a_window_has_no_turn(self) -> None:
        """The window of the connection goes to streams that can use it."""
        self._close_window()
        shut = self._stream(1, send_window=10)
        self._out.write_data(shut, bytes(100))
        self._out.write_data(self._stream(3), bytes(100))
        self._out.open_stream_window(shut, -10)
        self._out.open_window(10)
        self.assertEqual(self._read(), ["DATA 3 10 bytes"])

    def test_window_below_zero_waits_until_it_is_above(self) -> None:
        """Settings can take more from a stream than it has."""
        stream = self._stream(1, send_window=10)
        self._out.open_stream_window(stream, -30)
        self._out.write_data(stream, b"abc")
        self._out.open_stream_window(stream, 20)
        self.assertEqual(self._read(), [])
        self._out.open_stream_window(stream, 1)
        self.assertEqual(self._read(), ["DATA 1 1 bytes"])

    def test_empty_data_needs_no_window(self) -> None:
        """A frame without bytes is sent once, even below zero."""
        stream = self._stream(1, send_window=-5)
        self._out.write_data(stream, b"")
        self.assertEqual(self._read(), ["DATA 1 0 bytes"])
        self.assertEqual(stream.send_window, -5)
        self.assertEqual(self._out.num_sent_bytes, 0)

    def test_forgotten_stream_sends_nothing(self) -> None:
        """A stream that was reset gives its turn to the next one."""
        self._close_window()
        stream = self._stream(1)
        self._out.write_data(stream, b"abc")
        self._out.forget(stream)
        self._out.open_window(100)
        self.assertEqual(self._read(), [])

    def test_sent_bytes_are_counted(self) -> None:
        """All data counts, however it was sent, and nothing else does."""
        self._out.write(b"frame")
        self._out.write_data(self._stream(1), bytes(100))
        self._out.write_at_once(b"rendered", 50)
        self._out.open_window(1000)
        self.assertEqual(self._out.num_sent_bytes, 150)

    def test_largest_windows_are_allowed(self) -> None:
        """A window may be 2^31-1 bytes."""
        self._out.open_window(frames.MAX_WINDOW_BYTES - _DEFAULT)
        stream = self._stream(1, send_window=0)
        self._out.open_stream_window(stream, frames.MAX_WINDOW_BYTES)

    def test_larger_window_of_the_connection_is_refused(self) -> None:
        """A window beyond 2^31-1 ends the connection."""
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            self._out.open_window(frames.MAX_WINDOW_BYTES)
        self.assertEqual(
            raised.exception.code, frames.ErrorCode.FLOW_CONTROL_ERROR
        )

    def test_larger_window_of_a_stream_is_refused(self) -> None:
        """A window beyond 2^31-1 ends its stream."""
        with self.assertRaises(frames.Http2StreamError) as raised:
            self._out.open_stream_window(
                self._stream(1, send_window=1), frames.MAX_WINDOW_BYTES
            )
        self.assertEqual(
            raised.exception.code, frames.ErrorCode.FLOW_CONTROL_ERROR
        )

    @parameterized.named_parameters(
        ("fits", 100, 10, True),
        ("frame_too_large", 16_385, 1, False),
        ("window_too_small", 16_384, 4, False),
    )
    def test_small_responses_may_be_sent_at_once(
        self, num_bytes: int, num_streams: int, may: bool
    ) -> None:
        """Responses go out together if each fits in all windows."""
        self.assertEqual(
            self._out.may_write_at_once(num_bytes, num_streams), may
        )

    def test_small_window_of_streams_forbids_sending_at_once(self) -> None:
        """A response fits if the window of a new stream has room for it."""
        self._out.initial_window = 99
        self.assertFalse(self._out.may_write_at_once(100, 1))

    def test_large_header_block_is_continued(self) -> None:
        """A block that is larger than a frame goes on in further ones."""
        self._out.write_headers(self._stream(1), bytes(40_000), ends=True)
        self.assertEqual(
            self._read(),
            ["HEADERS 1 END_STREAM", "CONTINUATION 1", "CONTINUATION 1"],
        )

    def test_smaller_table_is_acknowledged_in_the_next_block(self) -> None:
        """A peer with a smaller table reads that ours is empty, once."""
        self._out.change_settings(frames.HEADER_TABLE_SIZE, 100)
        self.assertFalse(self._out.may_write_at_once(1, 1))
        self._out.write_headers(self._stream(1), b"x")
        self._out.change_settings(frames.HEADER_TABLE_SIZE, 0)
        self._out.write_headers(self._stream(3), b"x")
        self.assertEqual(
            [frame[3] for frame in frame_script.read_frames(self._out.take())],
            [header_block.EMPTY_TABLE + b"x", b"x"],
        )

    def test_larger_table_changes_nothing(self) -> None:
        """A peer with a larger table for HPACK is not sent another size."""
        self._out.change_settings(frames.HEADER_TABLE_SIZE, 100_000)
        self._out.write_headers(self._stream(1), b"x")
        self.assertEqual(self._out.take()[frames.HEADER_BYTES :], b"x")


if __name__ == "__main__":
    absltest.main()
