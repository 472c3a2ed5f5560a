"""Tests for peer, over pairs of sockets and a loop that the test turns."""

import dataclasses
import socket
import time
from unittest import mock

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import (
    event_loop,
    peer,
    raw_client,
    response_blocks,
    transport,
    wire_call,
)
from tensorflow_serving.rpc.http2 import connection, frame_script, frames
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2 import stream as stream_lib

_PATH = "/package.Service/Method"


class _Owner:
    """A lane that records the streams with news."""

    def __init__(self, limits: limits_lib.Limits) -> None:
        self.loop = event_loop.EventLoop()
        self.limits = limits
        self.peers: set[peer.Peer] = set()
        self.to_flush: list[peer.Peer] = []
        self.streams: list[stream_lib.Stream] = []

    @property
    def router(self) -> "_Owner":
        """Returns itself, which records what a router would handle."""
        return self

    def advance(self, the_peer: peer.Peer, stream: stream_lib.Stream) -> None:
        """Records a stream."""
        self.streams.append(stream)

    def resume(self, call: wire_call.WireStreamCall) -> None:
        """Is for calls, of which there are none."""

    def turn(self) -> None:
        """Calls back whatever is ready, and sends, until nothing is left."""
        self.loop.run_once(0)
        while self.to_flush:
            peers, self.to_flush = self.to_flush, []
            for each in peers:
                each.flush()


class PeerTest(parameterized.TestCase):
    """A peer, and a client on the other end."""

    def _connect(self, **limits: float) -> None:
        """Makes both ends, and lets them say hello."""
        ours, theirs = socket.socketpair()
        self.client = self.enter_context(raw_client.RawClient(theirs))
        self.client_socket = theirs
        self.owner = _Owner(
            dataclasses.replace(limits_lib.Limits(), **limits)  # type: ignore[arg-type]
        )
        self.addCleanup(self.owner.loop.close)
        self.peer = peer.Peer(self.owner, transport.PlainTransport(ours))
        self.addCleanup(self.peer.close)
        self.owner.turn()

    def _greet(self, **limits: float) -> None:
        self._connect(**limits)
        self.client.greet()
        self._turn()
        self.client.drop_frames()

    def _turn(self, times: int = 3) -> None:
        for _ in range(times):
            self.owner.turn()
        self.client.poll()

    def _go_on(self, seconds: float) -> None:
        """Lets time pass for the loop."""
        with mock.patch.object(
            time,
            "monotonic",
            return_value=self.owner.loop.now + seconds,
        ):
            self._turn()

    def _reply(self, num_bytes: int) -> None:
        """Sends a whole response on each stream that has news."""
        connection = self.peer.connection
        for stream in self.owner.streams:
            connection.send_headers(stream, response_blocks.HEAD)
            connection.send_data(stream, bytes(num_bytes))
            connection.send_end(stream, response_blocks.OK)
        self.owner.streams.clear()
        self.peer.wants_to_send()

    def _kinds(self) -> list[int]:
        return [each.kind for each in self.client.drop_frames()]

    # Bytes.

    def test_settings_are_the_first_that_a_peer_is_sent(self) -> None:
        """They come when it has said something: it may not speak HTTP/2."""
        self._connect()
        self.client.poll()
        self.assertFalse(self._kinds())
        self.client.greet()
        self._turn()
        self.assertEqual(self._kinds()[0], frames.SETTINGS)

    def test_streams_with_news_go_to_the_lane(self) -> None:
        """Many of them are read at once."""
        self._greet()
        self.client.send(
            b"".join(
                raw_client.request(stream_id, _PATH, b"x")
                for stream_id in (1, 3, 5)
            )
        )
        self.owner.turn()
        self.assertEqual([each.id for each in self.owner.streams], [1, 3, 5])
        self._reply(10)
        self._turn()
        self.assertEqual(self.client.answer(5).data, bytes(10))

    def test_reply_is_sent_in_parts_as_the_client_reads(self) -> None:
        """Bytes that the socket does not accept yet are kept in order."""
        self._greet()
        self.client.send(raw_client.request(1, _PATH, b"x"))
        self.owner.turn()
        self._reply(8 << 20)
        self.owner.turn()
        self.assertFalse(self.peer.is_writable)
        data = 0
        while data < 8 << 20:
            self._turn(1)
            data += sum(
                len(each.payload)
                for each in self.client.drop_frames()
                if each.kind == frames.DATA
            )
        self.assertEqual(data, 8 << 20)
        self._turn()
        self.assertTrue(self.peer.is_writable)

    def test_client_that_does_not_read_is_not_read_from(self) -> None:
        """Otherwise it could fill the memory with replies."""
        self._greet(write_buffer_bytes=1000)
        self.client.send(raw_client.request(1, _PATH, b"x"))
        self.owner.turn()
        self._reply(8 << 20)
        self.owner.turn()
        for stream_id in range(3, 99, 2):
            self.client.push(raw_client.request(stream_id, _PATH, b"x"))
            self.owner.turn()
        self.assertFalse(self.owner.streams)
        while not self.owner.streams:
            self._turn(1)
            self.client.drop_frames()
        self._turn()
        self.assertTrue(self.owner.streams)

    def test_client_that_makes_much_work_is_read_from_in_small_pieces(
        self,
    ) -> None:
        """Others have their turn before the next piece."""
        self._greet()
        pings = frame_script.ping() * 1000
        self.client.push(pings)
        # Each look at the clock finds that a second has gone by.
        with mock.patch.object(time, "thread_time", side_effect=range(1_000)):
            self._turn(4)
        num_answers = len(self._kinds())
        # 4 KiB, and half as much each time: less than two of the first piece.
        self.assertIn(
            num_answers, range(4, 2 * 4096 // len(frame_script.ping()))
        )
        self._turn(40)
        self.assertEqual(len(self._kinds()), 1000 - num_answers)

    # The end.

    def test_client_that_leaves_takes_its_streams_with_it(self) -> None:
        """The lane sees each of them as reset."""
        self._greet()
        self.client.send(
            raw_client.request(1, _PATH, b"x") + raw_client.head(3, _PATH)
        )
        self.owner.turn()
        self.owner.streams.clear()
        self.client.close()
        self._turn_without_client()
        self.assertEqual([each.id for each in self.owner.streams], [1, 3])
        self.assertTrue(all(each.is_closed for each in self.owner.streams))
        self.assertFalse(self.owner.peers)

    def _turn_without_client(self) -> None:
        for _ in range(3):
            self.owner.turn()

    @parameterized.parameters(transport.PlainTransport, connection.Connection)
    def test_lack_of_memory_closes_the_connection(self, part: type) -> None:
        """The socket does not call back without end, with what is left."""
        self._greet()
        self.client.send(raw_client.head(1, _PATH))
        self._turn()
        self.client.send(raw_client.request(3, _PATH, b"x"))
        with (
            mock.patch.object(part, "receive", side_effect=MemoryError),
            self.assertLogs(level="ERROR") as logged,
        ):
            self._turn_without_client()
        self.assertEqual(len(logged.records), 1)
        self.assertFalse(self.owner.peers)
        self.assertTrue(self.owner.streams[-1].is_closed)

    def test_client_that_breaks_a_rule_is_sent_its_name(self) -> None:
        """The socket is closed when the client has closed its side."""
        self._greet()
        self.client.send(frames.window_update(1, 1))
        self._turn()
        self.assertEqual(
            self.client.goaway_code, frames.ErrorCode.PROTOCOL_ERROR
        )
        self.assertIn(self.peer, self.owner.peers)
        # More of the same is read, and has no effect.
        self.client.push(frames.window_update(1, 1))
        self._turn()
        self.client.close()
        self._turn_without_client()
        self.assertFalse(self.owner.peers)

    def test_client_that_stays_after_the_end_is_closed(self) -> None:
        """A client that stays is closed after a second."""
        self._greet()
        self.client.send(frames.window_update(1, 1))
        self._turn()
        self._go_on(0.9)
        self.assertIn(self.peer, self.owner.peers)
        self._go_on(0.2)
        self.assertFalse(self.owner.peers)

    def test_client_of_http_1_gets_an_answer_that_it_understands(self) -> None:
        """Browsers show the text."""
        self._connect()
        self.client_socket.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self._turn_without_client()
        response = self.client_socket.recv(9999)
        head, _, body = response.partition(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 400 Bad Request\r\n"))
        self.assertIn(b"Content-Length: %d\r\n" % len(body), head)
        self.assertEqual(self.client_socket.recv(1), b"")

    def test_goodbye_lets_calls_end_first(self) -> None:
        """After a goodbye the calls that had begun are still answered."""
        self._greet()
        self.client.send(raw_client.request(1, _PATH, b"x"))
        self.owner.turn()
        self.peer.go_away()
        self._turn()
        self.assertEqual(self._kinds(), [frames.GOAWAY, frames.PING])
        self._go_on(1.1)  # the client does not answer
        self.assertEqual(self._kinds(), [frames.GOAWAY])
        self.assertFalse(self.client.is_over)
        self._reply(1)
        self._turn()
        self.assertEqual(self.client.answer(1).status, 0)
        self.client.wait_for_end()

    # Time.

    def test_client_that_says_nothing_is_closed(self) -> None:
        """It has the time of a handshake."""
        self._connect(handshake_seconds=5)
        self._go_on(4.9)
        self.assertIn(self.peer, self.owner.peers)
        self._go_on(0.2)
        self.assertFalse(self.owner.peers)

    def test_client_that_has_said_hello_may_be_idle(self) -> None:
        """A client that has greeted may be idle without end by default."""
        self._greet(keep_alive_seconds=0)
        self._go_on(1e6)
        self.assertIn(self.peer, self.owner.peers)
        self.assertFalse(self._kinds())

    def test_silent_client_is_asked_and_then_closed(self) -> None:
        """One that answers the PING stays."""
        self._greet(keep_alive_seconds=10, keep_alive_timeout_seconds=3)
        self._go_on(10.1)
        ping = self.client.read_frame()
        assert ping is not None
        self.assertEqual(ping.kind, frames.PING)
        self.client.send(frame_script.ping(ping.payload, flags=frames.ACK))
        self._turn()
        self._go_on(13.2)
        self.assertEqual(self._kinds(), [frames.PING])
        with self.assertLogs(level="INFO"):
            self._go_on(16.3)
        self.assertFalse(self.owner.peers)

    def test_client_without_calls_may_be_sent_away(self) -> None:
        """The time counts from when the end of the last call was seen."""
        self._greet(max_idle_seconds=10)
        self.client.send(raw_client.request(1, _PATH, b"x"))
        self._turn()
        self._go_on(10.1)
        self.assertFalse(self._kinds())
        self._reply(1)
        self._turn()
        self.client.drop_frames()
        self._go_on(30)
        self.assertFalse(self._kinds())
        self._go_on(41)
        self.assertEqual(self._kinds()[0], frames.GOAWAY)

    def test_old_connection_may_be_sent_away(self) -> None:
        """Old connections move to new servers; ages differ by a tenth."""
        self._greet(max_age_seconds=100, keep_alive_seconds=0)
        self._go_on(89)
        self.assertFalse(self._kinds())
        self._go_on(111)
        self.assertEqual(self._kinds()[0], frames.GOAWAY)

    def test_calls_of_an_old_connection_have_a_grace(self) -> None:
        """A call that is not over by then is broken off with it."""
        self._greet(
            max_age_seconds=100, max_age_grace_seconds=20, keep_alive_seconds=0
        )
        self.client.send(raw_client.request(1, _PATH, b"x"))
        self._turn()
        self._go_on(111)
        self.assertEqual(self._kinds()[0], frames.GOAWAY)
        self._go_on(19)
        self.assertIn(self.peer, self.owner.peers)
        self._go_on(2)
        self.assertNotIn(self.peer, self.owner.peers)


if __name__ == "__main__":
    absltest.main()
