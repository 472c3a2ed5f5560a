"""Tests for a connection: news, responses, and its end.

How it answers to what a peer may and may not send is in the tests named after
the sections of RFC 9113.
"""

import tracemalloc

from absl.testing import absltest

from tensorflow_serving.rpc.http2 import (
    connection,
    frame_script,
    frames,
    header_block,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2.frame_script import data, headers

_HEAD = header_block.encode([(b":status", b"200")])
_TRAILERS = header_block.encode([(b"grpc-status", b"0")])


class NewsTest(absltest.TestCase):
    """Tests of the events that receive() returns."""

    def setUp(self) -> None:
        """Makes a connection."""
        super().setUp()
        self._client = frame_script.Client()
        self._connection = self._client.connection

    def _receive(self, *pieces: bytes) -> list[str]:
        return frame_script.states(
            self._connection.receive(b"".join(pieces), 0.0)
        )

    def test_request_is_reported(self) -> None:
        """A request that came at once is news once."""
        self.assertEqual(
            self._receive(headers(1), data(1, b"abc", ends=True)),
            ["1 ended 3 bytes"],
        )

    def test_request_in_parts_is_reported_for_each(self) -> None:
        """Each packet that brings something is news."""
        self.assertEqual(self._receive(headers(1)), ["1 open 0 bytes"])
        self.assertEqual(self._receive(data(1, b"ab")), ["1 open 2 bytes"])
        self.assertEqual(self._receive(data(1, ends=True)), ["1 ended 2 bytes"])

    def test_data_is_not_reported_before_it_is_wanted(self) -> None:
        """The layer above may say how much data it waits for."""
        (stream,) = self._connection.receive(headers(1), 0.0)
        stream.wanted_bytes = 4
        self.assertEqual(self._receive(data(1, b"ab")), [])
        self.assertEqual(self._receive(data(1, b"cd")), ["1 open 4 bytes"])

    def test_end_is_reported_though_more_is_wanted(self) -> None:
        """A request that ends too early is news."""
        (stream,) = self._connection.receive(headers(1), 0.0)
        stream.wanted_bytes = 4
        self.assertEqual(
            self._receive(data(1, b"ab", ends=True)), ["1 ended 2 bytes"]
        )

    def test_call_that_was_taken_back_at_once_is_reported_as_such(self) -> None:
        """The layer above need not begin what is over already."""
        reset = frames.rst_stream(1, frames.ErrorCode.CANCEL)
        self.assertEqual(
            self._receive(headers(1, ends=True), reset),
            ["1 ended 0 bytes CANCEL"],
        )

    def test_all_streams_of_a_broken_connection_are_reported(self) -> None:
        """A fault of the connection ends all calls with its code."""
        self._receive(headers(1), headers(3))
        self.assertEqual(
            self._receive(frames.frame(frames.PING, 0, 1, bytes(8))),
            ["1 open 0 bytes PROTOCOL_ERROR", "3 open 0 bytes PROTOCOL_ERROR"],
        )

    def test_nothing_is_received_after_a_fault(self) -> None:
        """A connection that has failed ignores what comes."""
        self._receive(frames.frame(frames.PING, 0, 1, bytes(8)))
        self._client.read()
        self.assertEqual(self._receive(headers(1)), [])
        self.assertFalse(self._connection.has_output)

    def test_abandoned_streams_are_returned(self) -> None:
        """When the socket is gone, all calls are over."""
        self._receive(headers(1))
        self.assertEqual(
            frame_script.states(self._connection.abandon()),
            ["1 open 0 bytes NO_ERROR"],
        )
        self.assertTrue(self._connection.is_over)


class ResponseTest(absltest.TestCase):
    """Tests of responses that the layer above sends."""

    def setUp(self) -> None:
        """Makes a connection with one call."""
        super().setUp()
        self._client = frame_script.Client()
        self._connection = self._client.connection
        self._client.send(headers(1, ends=True))
        self._stream = self._client.streams[1]

    def test_response_is_sent(self) -> None:
        """A response is a head, data and trailers."""
        self._connection.send_headers(self._stream, _HEAD)
        self._connection.send_data(self._stream, b"abc")
        self._connection.send_end(self._stream, _TRAILERS)
        self.assertEqual(
            self._client.read(),
            ["HEADERS 1", "DATA 1 3 bytes", "HEADERS 1 END_STREAM"],
        )
        self.assertTrue(self._stream.is_closed)

    def test_response_may_be_trailers_only(self) -> None:
        """An error needs one frame."""
        self._connection.send_end(self._stream, _HEAD)
        self.assertEqual(self._client.read(), ["HEADERS 1 END_STREAM"])

    def test_nothing_is_sent_on_a_closed_stream(self) -> None:
        """Responses that come too late have no effect."""
        self._client.send(frames.rst_stream(1, frames.ErrorCode.CANCEL))
        self._connection.send_headers(self._stream, _HEAD)
        self._connection.send_data(self._stream, b"abc")
        self._connection.send_end(self._stream, _TRAILERS)
        self._connection.reset(self._stream, frames.ErrorCode.CANCEL)
        self._connection.incoming.need_room(self._stream, 1 << 20)
        self._connection.consume(self._stream)
        self.assertFalse(self._connection.has_output)

    def test_nothing_is_sent_after_the_end(self) -> None:
        """A response that waits for its window cannot be gone on with."""
        size = frames.DEFAULT_WINDOW_BYTES
        self._connection.send_data(self._stream, bytes(size + 3))
        self._connection.send_end(self._stream, _TRAILERS)
        self._client.read()
        self._connection.send_headers(self._stream, _HEAD)
        self._connection.send_data(self._stream, b"more")
        self._connection.send_end(self._stream, _TRAILERS)
        self.assertEqual(
            self._client.send(
                frames.window_update(1, size), frames.window_update(0, size)
            ),
            ["DATA 1 3 bytes", "HEADERS 1 END_STREAM"],
        )

    def test_whole_responses_are_sent_together(self) -> None:
        """Responses that are rendered end their streams."""
        self._client.send(headers(3, ends=True))
        streams = list(self._client.streams.values())
        self.assertTrue(self._connection.may_send_whole(2, 100))
        self._connection.send_whole(
            streams, frames.frame(0, 1, 1, bytes(100)) * 2, 100
        )
        self.assertEqual(
            self._client.read(), ["DATA 1 100 bytes END_STREAM"] * 2
        )
        self.assertTrue(all(stream.is_closed for stream in streams))

    def test_server_can_reset_a_stream(self) -> None:
        """A call may end without a response."""
        self._connection.reset(self._stream, frames.ErrorCode.INTERNAL_ERROR)
        self.assertEqual(self._client.read(), ["RST_STREAM 1 INTERNAL_ERROR"])

    def test_large_message_gets_room(self) -> None:
        """A message beyond the window of its stream may be asked for."""
        self._client.send(headers(3), data(3, bytes(5)))
        self._connection.incoming.need_room(self._client.streams[3], 100_005)
        self.assertEqual(
            self._client.read(),
            [
                f"WINDOW_UPDATE 3 {100_000 - (64 << 10) + 5}",
                "WINDOW_UPDATE 0 100005",
            ],
        )

    def test_stream_with_many_messages_goes_on(self) -> None:
        """The window of a stream is opened again when a message was taken."""
        self._client.send(headers(3), data(3, bytes(100)))
        self._client.streams[3].take(100)
        self._connection.consume(self._client.streams[3])
        self.assertEqual(self._client.read(), ["WINDOW_UPDATE 3 100"])


class EndTest(absltest.TestCase):
    """How a connection ends."""

    def setUp(self) -> None:
        """Makes a connection."""
        super().setUp()
        self._client = frame_script.Client()
        self._connection = self._client.connection

    def test_peer_that_answers_the_ping_is_sent_the_last_stream(self) -> None:
        """Streams that were on their way are accepted, later ones are not."""
        self._connection.go_away()
        self.assertTrue(self._connection.is_going_away)
        output = self._connection.take_output()
        *_, (_, _, _, payload) = frame_script.read_frames(output)
        self.assertEqual(
            self._client.send(
                headers(1, ends=True),
                frame_script.ping(payload, flags=frames.ACK),
                headers(3, ends=True),
            ),
            ["GOAWAY 1 NO_ERROR"],
        )
        self.assertEqual(list(self._client.streams), [1])

    def test_last_stream_of_a_fault_is_not_one_that_was_ignored(self) -> None:
        """A GOAWAY never names a later stream than the one before it."""
        self._client.send(headers(1, ends=True))
        self._connection.finish_going_away()
        self._client.read()
        self.assertEqual(
            self._client.send(headers(3), headers(3), headers(4)),
            ["GOAWAY 1 PROTOCOL_ERROR"],
        )

    def test_nothing_follows_the_goaway_of_a_fault(self) -> None:
        """A connection that has failed is not ended again."""
        self._client.send(headers(2))
        self._connection.go_away()
        self._connection.finish_going_away()
        self.assertFalse(self._connection.has_output)

    def test_unanswered_ping_is_known(self) -> None:
        """A PING is unanswered until the peer acknowledges it."""
        self._connection.ping()
        self.assertTrue(self._connection.is_ping_unanswered)
        self._client.send(frame_script.ping(flags=frames.ACK))
        self.assertFalse(self._connection.is_ping_unanswered)

    def test_connection_is_not_over_while_it_is_used(self) -> None:
        """A connection ends when somebody wants it to."""
        self.assertFalse(self._connection.is_over)
        self._client.send(frames.goaway(0, frames.ErrorCode.NO_ERROR))
        self.assertTrue(self._connection.is_over)


class MemoryTest(absltest.TestCase):
    """The price of a connection that does nothing."""

    def test_idle_connection_is_small(self) -> None:
        """Ten thousand idle connections need less than 40 MB."""
        limits = limits_lib.Limits()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        connections = [connection.Connection(limits, 0.0) for _ in range(100)]
        for each in connections:
            each.receive(frame_script.hello(), 0.0)
            each.take_output()
        after, _ = tracemalloc.get_traced_memory()
        self.assertLess((after - before) / len(connections), 4_000)


if __name__ == "__main__":
    absltest.main()
