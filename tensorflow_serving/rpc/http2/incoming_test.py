"""Tests for the windows that a server opens to its peer."""

import hypothesis
from absl.testing import absltest
from hypothesis import strategies

from tensorflow_serving.rpc.http2 import (
    frame_script,
    frames,
    header_block,
    incoming,
    outgoing,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib

_STREAM = 1_000
_CONNECTION = 100_000
_ROOM = 10_000


class _Peer:
    """A peer that knows its windows as HTTP/2 defines them."""

    def __init__(self) -> None:
        """Reads the first update of the window of the connection."""
        self.limits = limits_lib.Limits(
            max_concurrent_streams=_CONNECTION // _STREAM,
            stream_window_bytes=_STREAM,
            message_room_bytes=_ROOM,
        )
        self._out = outgoing.Outgoing()
        self.incoming = incoming.Incoming(self.limits, self._out)
        self.window = frames.DEFAULT_WINDOW_BYTES
        self.stream_windows: dict[int, int] = {}
        self._next_id = 1
        self.read()

    def open(self) -> stream_lib.Stream:
        """Opens a stream."""
        stream = stream_lib.Stream(
            self._next_id, header_block.Head(), _STREAM, _STREAM
        )
        self.stream_windows[stream.id] = _STREAM
        self._next_id += 2
        return stream

    def send(
        self,
        stream: stream_lib.Stream,
        size: int,
        *,
        num_padding_bytes: int = 0,
        ends: bool = False,
    ) -> list[str]:
        """Sends data, and returns the frames that answer it."""
        num_bytes = size + num_padding_bytes
        self.window -= num_bytes
        self.stream_windows[stream.id] -= num_bytes
        stream.is_ended = ends
        self.incoming.count(stream, num_bytes)
        stream.add(bytes(size))
        if num_padding_bytes:
            self.incoming.free_padding(stream, num_padding_bytes)
        return self.read()

    def read(self) -> list[str]:
        """Reads updates of windows, and returns them."""
        updates = frame_script.read(self._out.take())
        for update in updates:
            _, stream_id, num_bytes = update.split()
            if stream_id == "0":
                self.window += int(num_bytes)
            else:
                self.stream_windows[int(stream_id)] += int(num_bytes)
        return updates

    def send_until_update(self) -> None:
        """Sends small requests until the window of the connection changes."""
        while not self.send(self.open(), 900, ends=True):
            pass


class IncomingTest(absltest.TestCase):
    """Windows of the connection and its streams, and room."""

    def setUp(self) -> None:
        """Makes a peer."""
        super().setUp()
        self._peer = _Peer()
        self._incoming = self._peer.incoming

    def test_connection_begins_with_all_of_its_window(self) -> None:
        """The first update adds what the default window lacks."""
        self.assertEqual(self._peer.window, _CONNECTION)

    def test_whole_message_is_given_back_at_once(self) -> None:
        """Messages in one frame never use up the window."""
        for _ in range(1000):
            self._peer.send(self._peer.open(), 900, ends=True)
        self.assertGreaterEqual(self._peer.window, _CONNECTION // 2)

    def test_updates_are_rare(self) -> None:
        """The window is updated when half of it is used."""
        updates = [
            update
            for _ in range(1000)
            for update in self._peer.send(self._peer.open(), 900, ends=True)
        ]
        self.assertLessEqual(len(updates), 1000 * 900 // (_CONNECTION // 2))

    def test_data_of_an_open_stream_is_held(self) -> None:
        """Half a message takes its bytes of the window until it is whole."""
        stream = self._peer.open()
        self._peer.send(stream, 900)
        self._peer.send_until_update()
        self.assertEqual(self._peer.window, _CONNECTION - 900)
        self._peer.send(stream, 10, ends=True)
        self._peer.send_until_update()
        self.assertEqual(self._peer.window, _CONNECTION)

    def test_all_streams_may_use_their_windows(self) -> None:
        """Half messages on all streams do not stop each other.

        Even though the window was not full when they began.
        """
        for _ in range(50):
            self._peer.send(self._peer.open(), 900, ends=True)
        streams = [
            self._peer.open()
            for _ in range(self._peer.limits.max_concurrent_streams)
        ]
        for stream in streams:
            self.assertGreaterEqual(self._peer.window, _STREAM - 1)
            self._peer.send(stream, _STREAM - 1)
        for stream in streams:
            self.assertGreaterEqual(self._peer.window, 1)
            self._peer.send(stream, 1, ends=True)

    def test_data_beyond_the_window_of_a_stream_resets_it(self) -> None:
        """One stream is reset, and its last bytes are given back."""
        stream = self._peer.open()
        self._peer.send(stream, _STREAM)
        with self.assertRaises(frames.Http2StreamError) as raised:
            self._peer.send(stream, 1)
        self.assertEqual(
            raised.exception.code, frames.ErrorCode.FLOW_CONTROL_ERROR
        )
        self._incoming.release(stream)
        self._peer.read()
        self._peer.send_until_update()
        self.assertEqual(self._peer.window, _CONNECTION)

    def test_data_beyond_the_window_of_the_connection_ends_it(self) -> None:
        """The window of the connection is a rule for all streams."""
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            self._incoming.count(self._peer.open(), _CONNECTION + 1)
        self.assertEqual(
            raised.exception.code, frames.ErrorCode.FLOW_CONTROL_ERROR
        )

    def test_ignored_data_beyond_the_window_ends_the_connection(self) -> None:
        """Data for streams that are closed counts like any other."""
        self._incoming.count_unheld(_CONNECTION)
        self._peer.window -= _CONNECTION
        self._peer.read()
        self.assertEqual(self._peer.window, _CONNECTION)
        with self.assertRaises(frames.Http2ConnectionError):
            self._incoming.count_unheld(_CONNECTION + 1)

    def test_padding_is_given_back(self) -> None:
        """A message fits in a window of its size, however it is padded."""
        stream = self._peer.open()
        for _ in range(50):
            self._peer.send(stream, 10, num_padding_bytes=256)
        self.assertEqual(self._peer.stream_windows[stream.id], 500)

    def test_padding_of_the_last_frame_needs_no_update(self) -> None:
        """The window of a stream that has ended does not matter."""
        stream = self._peer.open()
        self.assertEqual(
            self._peer.send(stream, 10, num_padding_bytes=9, ends=True), []
        )

    def test_next_message_has_all_of_the_window(self) -> None:
        """A stream that goes on has a whole window again, not more."""
        stream = self._peer.open()
        self._peer.send(stream, 700)
        stream.take(700)
        self._incoming.consume(stream)
        self._peer.read()
        self.assertEqual(self._peer.stream_windows[stream.id], _STREAM)

    def test_beginning_of_the_next_message_counts(self) -> None:
        """Bytes that were not taken keep their place in the window."""
        stream = self._peer.open()
        self._peer.send(stream, 700)
        stream.take(500)
        self._incoming.consume(stream)
        self._peer.read()
        self.assertEqual(self._peer.stream_windows[stream.id], _STREAM - 200)
        self._peer.send_until_update()
        self.assertEqual(self._peer.window, _CONNECTION - 200)

    def test_window_does_not_stay_large_after_a_large_message(self) -> None:
        """A stream that had room for a message has its old window after it."""
        stream = self._peer.open()
        self._peer.send(stream, 100)
        self._incoming.need_room(stream, 5_000)
        self._peer.read()
        self._peer.send(stream, 4_900)
        stream.take(5_000)
        self._incoming.consume(stream)
        self._peer.read()
        self.assertEqual(self._peer.stream_windows[stream.id], _STREAM)


class RoomTest(absltest.TestCase):
    """Messages that are larger than the window of a stream."""

    def setUp(self) -> None:
        """Makes a peer."""
        super().setUp()
        self._peer = _Peer()
        self._incoming = self._peer.incoming

    def _begin(self, message_bytes: int) -> stream_lib.Stream:
        """Begins a message with a hundred bytes."""
        stream = self._peer.open()
        self._peer.send(stream, 100)
        self._incoming.need_room(stream, message_bytes)
        self._peer.read()
        return stream

    def test_small_message_needs_no_room(self) -> None:
        """A message that fits in the window of its stream just comes."""
        stream = self._begin(_STREAM)
        self.assertEqual(self._peer.stream_windows[stream.id], _STREAM - 100)
        self.assertEqual(stream.room_bytes, 0)

    def test_large_message_gets_a_window_of_its_size(self) -> None:
        """The window of a large message opens for exactly the missing bytes."""
        stream = self._begin(5_000)
        self.assertEqual(self._peer.stream_windows[stream.id], 4_900)

    def test_room_does_not_take_from_the_window(self) -> None:
        """The window of the connection has its size beside the message."""
        self._begin(5_000)
        self.assertEqual(self._peer.window, _CONNECTION + 4_900)

    def test_asking_again_gives_no_more(self) -> None:
        """A message has its room once."""
        stream = self._begin(5_000)
        self._incoming.need_room(stream, 5_000)
        self.assertEqual(self._peer.read(), [])

    def test_message_waits_until_there_is_room(self) -> None:
        """A message gets its room when the call of another one is answered."""
        first = self._begin(6_000)
        second = self._begin(6_000)
        self._peer.send(first, 5_900, ends=True)
        self.assertEqual(second.room_bytes, 0)
        self.assertTrue(self._incoming.is_waiting(second))
        self._incoming.release(first)
        self._peer.read()
        self.assertFalse(self._incoming.is_waiting(second))
        self.assertEqual(second.room_bytes, 6_000)
        self.assertEqual(self._peer.stream_windows[second.id], 5_900)

    def test_messages_get_room_in_their_order(self) -> None:
        """A message that would fit waits behind one that came before it."""
        first = self._begin(6_000)
        second = self._begin(6_000)
        third = self._begin(2_000)
        self.assertEqual((second.room_bytes, third.room_bytes), (0, 0))
        self._incoming.release(first)
        self.assertEqual((second.room_bytes, third.room_bytes), (6_000, 2_000))

    def test_stream_that_ends_while_it_waits_lets_others_go_on(self) -> None:
        """The next message does not wait for one that will not come."""
        self._begin(6_000)
        second = self._begin(6_000)
        third = self._begin(2_000)
        second.is_closed = True
        self._incoming.release(second)
        self.assertEqual(third.room_bytes, 2_000)

    def test_ended_stream_gets_no_room(self) -> None:
        """A stream that ends at once while it waits does not wait on."""
        first = self._begin(6_000)
        second = self._peer.open()
        self._incoming.need_room(second, 6_000)
        self._peer.send(second, 100, ends=True)
        self._incoming.release(first)
        self.assertEqual(second.room_bytes, 0)
        self.assertNotIn(f"WINDOW_UPDATE {second.id} ", str(self._peer.read()))

    def test_closed_stream_gets_no_room(self) -> None:
        """Room that nobody would give back is not given."""
        stream = self._peer.open()
        stream.is_closed = True
        self._incoming.need_room(stream, 5_000)
        self.assertEqual(stream.room_bytes, 0)

    def test_huge_message_has_all_room_to_itself(self) -> None:
        """A message that is larger than the room still gets on."""
        stream = self._begin(10 * _ROOM)
        self.assertEqual(stream.room_bytes, _ROOM)
        self.assertEqual(self._peer.stream_windows[stream.id], 10 * _ROOM - 100)

    def test_inflated_message_takes_room(self) -> None:
        """An inflated message needs room next to all that is held already."""
        stream = self._begin(2_000)
        other = self._begin(2_000)
        self.assertTrue(self._incoming.take_room(stream, 8_000))
        self.assertFalse(self._incoming.take_room(other, 2_001))
        self.assertTrue(self._incoming.take_room(other, _STREAM))
        self._incoming.release(stream)
        self.assertTrue(self._incoming.take_room(other, 8_000))
        self._incoming.release(other)
        self.assertTrue(self._incoming.take_room(stream, 10 * _ROOM))

    def test_closed_stream_takes_no_room(self) -> None:
        """Nobody would give it back."""
        stream = self._peer.open()
        stream.is_closed = True
        self.assertTrue(self._incoming.take_room(stream, _ROOM))
        self.assertEqual(stream.room_bytes, 0)

    def test_room_that_was_not_used_does_not_add_up(self) -> None:
        """A peer that begins large messages, and ends them, gains nothing."""
        for _ in range(1000):
            self._incoming.release(self._begin(_ROOM))
        self._peer.read()
        self.assertLessEqual(self._peer.window, _CONNECTION + _ROOM)
        self._peer.send_until_update()
        self.assertEqual(self._peer.window, _CONNECTION)

    def test_window_never_exceeds_what_is_allowed(self) -> None:
        """The largest message does not make the window too large."""
        self._begin(frames.MAX_WINDOW_BYTES)
        self.assertEqual(self._peer.window, frames.MAX_WINDOW_BYTES)


_Action = tuple[str, int, int]
_ACTIONS = strategies.lists(
    strategies.tuples(
        strategies.sampled_from(
            ["open", "send", "pad", "end", "abort", "need", "take", "ignored"]
        ),
        strategies.integers(0, 9),
        strategies.integers(1, 12_000),
    ),
    max_size=60,
)


class AnySequenceTest(absltest.TestCase):
    """The windows after whatever happened."""

    @hypothesis.settings(
        derandomize=True, deadline=None, database=None, max_examples=300
    )
    @hypothesis.given(_ACTIONS)
    def test_window_comes_back(self, actions: list[_Action]) -> None:
        """When no stream is open, the window is what it was in the beginning.

        The peer always keeps to its windows, and is never refused.
        """
        peer = _Peer()
        streams: list[stream_lib.Stream] = []
        for action in actions:
            self._act(peer, streams, action)
            peer.read()
            held = sum(stream.num_received_bytes for stream in streams)
            self.assertGreaterEqual(peer.window, 0)
            self.assertLessEqual(held, _CONNECTION + 12_000)
        for stream in streams:
            stream.is_closed = True
            peer.incoming.release(stream)
        peer.read()
        self.assertGreaterEqual(peer.window, _CONNECTION // 2)
        peer.send_until_update()
        self.assertEqual(peer.window, _CONNECTION)

    def _act(
        self, peer: _Peer, streams: list[stream_lib.Stream], action: _Action
    ) -> None:
        what, which, size = action
        if what == "ignored":
            size = min(size, peer.window)
            peer.window -= size
            peer.incoming.count_unheld(size)
            return
        if what == "open" or not streams:
            streams.append(peer.open())
            return
        stream = streams[which % len(streams)]
        may_send = min(size, peer.window, peer.stream_windows[stream.id])
        if what == "send":
            peer.send(stream, may_send)
        elif what == "pad":
            num_padding = min(may_send, 256)
            peer.send(
                stream, may_send - num_padding, num_padding_bytes=num_padding
            )
        elif what == "need":
            peer.incoming.need_room(stream, size)
        elif what == "take" and not stream.room_bytes:
            stream.take(min(size, stream.num_received_bytes))
            peer.incoming.consume(stream)
        elif what in ("end", "abort"):
            if what == "end":
                peer.send(stream, may_send, ends=True)
            stream.is_closed = True
            peer.incoming.release(stream)
            streams.remove(stream)


if __name__ == "__main__":
    absltest.main()
