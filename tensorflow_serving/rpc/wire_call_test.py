"""Tests for wire_call, in a lane without a thread."""

import concurrent.futures
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    echo_pb2,
    lane,
    message_frame,
    puppet_lane,
    raw_client,
    reply_template,
)
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc.http2 import connection, frames
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.util import errors

_UNARY = "/a.B/Unary"
_STREAM = "/a.B/Stream"
_Code = errors.StatusCode
_REPLY_ROOM = 1_000_000


class _CallTest(parameterized.TestCase):
    """Calls that a test ends, and their clients."""

    def setUp(self) -> None:
        """Makes a lane with a client."""
        super().setUp()
        self.calls: list[call_lib.Call] = []
        self.streams: list[call_lib.StreamCall] = []
        self.lane = self.enter_context(
            puppet_lane.PuppetLane(
                lane.Methods(
                    {_UNARY: self.calls.append},
                    {_STREAM: self.streams.append},
                ),
                options_lib.Options(
                    limits=limits_lib.Limits(reply_room_bytes=_REPLY_ROOM)
                ),
            )
        )
        self.client = self.lane.connect()

    def _call(
        self, stream_id: int = 1, client: raw_client.RawClient | None = None
    ) -> call_lib.Call:
        (client or self.client).send(
            raw_client.request(stream_id, _UNARY, b"x")
        )
        self.lane.turn()
        return self.calls[-1]

    def _stream(self) -> call_lib.StreamCall:
        self.client.send(raw_client.head(1, _STREAM))
        self.lane.turn()
        return self.streams[-1]

    def _answer(
        self, stream_id: int = 1, client: raw_client.RawClient | None = None
    ) -> raw_client.Answer:
        self.lane.turn()
        return (client or self.client).answer(stream_id)


class WireCallTest(_CallTest):
    """Calls with one response."""

    @parameterized.named_parameters(
        ("windows_are_closed", 0), ("socket_is_full", 1 << 30)
    )
    def test_replies_that_nobody_reads_have_a_limit(self, window: int) -> None:
        """Unread replies of a connection share a limit; one reply has none."""
        client = self.lane.connect({frames.INITIAL_WINDOW_SIZE: window})
        calls = [self._call(stream_id, client) for stream_id in (1, 3, 5)]
        client.send(raw_client.head(7, _STREAM))
        self.lane.turn()
        left = mock.Mock()
        self.streams[0].on_cancelled = left
        calls[0].reply(bytes(2 * _REPLY_ROOM))
        self.lane.turn()
        calls[1].reply(b"more")
        self.streams[0].send(b"more")
        self._turn_with(client)
        left.assert_called_once_with()
        for stream_id in (3, 7):
            self.assertEqual(
                client.answer(stream_id).status, _Code.RESOURCE_EXHAUSTED
            )
        client.send(
            frames.rst_stream(1, frames.ErrorCode.CANCEL)
            + frames.window_update(5, 100)
        )
        self._turn_with(client)
        calls[2].reply(b"more")
        self._turn_with(client)
        self.assertEqual(client.answer(5).status, 0)

    def _turn_with(self, client: raw_client.RawClient) -> None:
        """Lets a client read all that it may be sent."""
        for _ in range(100):
            self.lane.turn(1)
            client.poll()

    @parameterized.parameters(
        (b"bytes", b"bytes"),
        (echo_pb2.EchoResponse(text="a"), b"\x0a\x01a"),
        (b"", b""),
    )
    def test_reply_is_a_message_with_trailers(
        self, response: Any, data: bytes
    ) -> None:
        """Messages are serialized, and metadata come behind them."""
        self._call().reply(response, [("mood", "good")])
        answer = self._answer()
        self.assertEqual(answer.data, message_frame.frame(data))
        self.assertEqual(answer.status, 0)
        self.assertEqual(answer.fields["mood"], "good")

    def test_failure_has_a_code_and_a_text(self) -> None:
        """A failure has a code, a text and no message."""
        self._call().fail(errors.AbortedError("no"), [("mood", "bad")])
        answer = self._answer()
        self.assertEqual(answer.status, _Code.ABORTED)
        self.assertEqual(answer.fields["grpc-message"], "no")
        self.assertEqual(answer.fields["mood"], "bad")
        self.assertEqual(answer.data, b"")

    def test_first_end_counts(self) -> None:
        """Later ends of a call have no effect from any thread."""
        call = self._call()
        call.reply(b"first")
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            threads.submit(call.reply, b"second").result()
            threads.submit(call.fail, errors.AbortedError("third")).result()
        self.assertEqual(self._answer().data, message_frame.frame(b"first"))
        self.client.poll()
        self.assertFalse(self.client.drop_frames())
        self.assertFalse(call.is_active)

    def test_service_is_notified_once_that_its_caller_left(self) -> None:
        """A reply after that goes nowhere."""
        call = self._call()
        call.on_cancelled = mock.Mock()
        left = call.on_cancelled
        self.client.send(frames.rst_stream(1, frames.ErrorCode.CANCEL))
        self.lane.turn()
        left.assert_called_once_with()
        self.assertFalse(call.is_active)
        call.reply(b"late")
        self.client.close()
        self.lane.turn()
        left.assert_called_once_with()

    def test_call_that_was_answered_has_no_caller_to_leave(self) -> None:
        """A client that closes after the answer does not notify the service."""
        call = self._call()
        left = mock.Mock()
        call.on_cancelled = left
        call.reply(b"x")
        self.lane.turn()
        self.client.close()
        self.lane.turn()
        left.assert_not_called()

    @parameterized.parameters(
        lambda call: call.reply(None),
        lambda call: call.reply(b"", [("a", 5)]),
        lambda call: call.fail(errors.AbortedError("no"), [("A", "b")]),
    )
    def test_what_cannot_be_encoded_becomes_internal(
        self, end: Callable[[call_lib.Call], None]
    ) -> None:
        """A call is always answered, and the log has the reason."""
        call = self._call()
        with self.assertLogs(level="ERROR"):
            end(call)
        self.assertEqual(self._answer().status, _Code.INTERNAL)


class ReplyAllTest(_CallTest):
    """Replies to many calls at once."""

    def _replies(self) -> call_lib.Rows:
        count = len(self.calls)
        return call_lib.Rows(
            b"row", np.arange(count, dtype=np.uint8).reshape(count, 1)
        )

    def _check(self, clients: list[raw_client.RawClient]) -> None:
        """Compares with what each call should get: two calls for a client."""
        self.lane.turn()
        for number, client in enumerate(clients):
            for index, stream_id in enumerate((1, 3)):
                answer = client.answer(stream_id)
                self.assertEqual(answer.status, 0)
                self.assertEqual(
                    answer.data,
                    message_frame.frame(b"row%c" % (2 * number + index)),
                )

    @parameterized.named_parameters(
        ("rows", False, None),
        ("bytes", True, None),
        ("small_windows", False, {frames.INITIAL_WINDOW_SIZE: 1000}),
    )
    def test_each_call_gets_its_own(
        self, as_bytes: bool, settings: dict[int, int] | None
    ) -> None:
        """Calls of several clients may be mixed."""
        clients = [self.lane.connect(settings) for _ in range(3)]
        for client in clients:
            for stream_id in (1, 3):
                self._call(stream_id, client)
        replies = self._replies()
        call_lib.reply_all(
            self.calls, replies.messages() if as_bytes else replies
        )
        self._check(clients)

    @parameterized.named_parameters(
        ("rows", False, reply_template.ReplyTemplate, "render"),
        ("bytes", True, message_frame, "frame"),
    )
    def test_lack_of_memory_for_replies_is_told(
        self, as_bytes: bool, owner: Any, function: str
    ) -> None:
        """Nobody waits for a reply that cannot be made."""
        for stream_id in (1, 3):
            self._call(stream_id)
        replies = self._replies()
        with mock.patch.object(owner, function, side_effect=MemoryError):
            call_lib.reply_all(
                self.calls, replies.messages() if as_bytes else replies
            )
            self.lane.turn()
        for stream_id in (1, 3):
            self.assertEqual(
                self._answer(stream_id).status, _Code.RESOURCE_EXHAUSTED
            )

    @parameterized.parameters(False, True)
    def test_reply_that_cannot_be_sent_closes_the_connection(
        self, as_bytes: bool
    ) -> None:
        """The call has ended here; its caller must not wait."""
        for stream_id in (1, 3):
            self._call(stream_id)
        replies = self._replies()
        with (
            mock.patch.object(
                connection.Connection, "send_whole", side_effect=MemoryError
            ),
            self.assertLogs(level="ERROR"),
        ):
            call_lib.reply_all(
                self.calls, replies.messages() if as_bytes else replies
            )
            self.lane.turn()
        self.assertIsNone(self.client.wait_for(frames.HEADERS, 1))

    def test_calls_that_are_over_are_left_out(self) -> None:
        """Their mates are answered."""
        for stream_id in (1, 3, 5):
            self._call(stream_id)
        self.client.send(frames.rst_stream(3, frames.ErrorCode.CANCEL))
        self.lane.turn()
        call_lib.reply_all(self.calls, self._replies())
        self.lane.turn()
        for stream_id, data in ((1, b"row\0"), (5, b"row\2")):
            self.assertEqual(
                self.client.answer(stream_id).data, message_frame.frame(data)
            )

    def test_client_with_a_closed_window_gets_its_reply_later(self) -> None:
        """Others have theirs at once."""
        closed = self.lane.connect({frames.INITIAL_WINDOW_SIZE: 0})
        self._call(1, closed)
        self._call(1)
        call_lib.reply_all(self.calls, self._replies())
        self.assertEqual(self._answer().data, message_frame.frame(b"row\1"))
        closed.send(frames.window_update(1, 1000))
        self.assertEqual(
            self._answer(1, closed).data, message_frame.frame(b"row\0")
        )


class WireStreamCallTest(_CallTest):
    """Calls with any number of responses."""

    def test_responses_come_in_order_and_then_the_end(self) -> None:
        """Metadata come with the end."""
        call = self._stream()
        for response in (b"a", b"b"):
            call.send(response)
        call.finish([("mood", "good")])
        answer = self._answer()
        self.assertEqual(
            answer.data, message_frame.frame(b"a") + message_frame.frame(b"b")
        )
        self.assertEqual(answer.status, 0)
        self.assertEqual(answer.fields["mood"], "good")

    @parameterized.parameters(True, False)
    def test_failure_may_come_behind_responses(self, has_sent: bool) -> None:
        """The head is sent once."""
        call = self._stream()
        if has_sent:
            call.send(b"a")
        call.fail(errors.AbortedError("no"))
        answer = self._answer()
        self.assertEqual(answer.status, _Code.ABORTED)
        self.assertEqual(answer.fields[":status"], "200")
        self.assertEqual(bool(answer.data), has_sent)

    def test_call_without_responses_has_a_head(self) -> None:
        """Clients need the status of HTTP."""
        self._stream().finish()
        self.assertEqual(self._answer().fields[":status"], "200")

    def test_call_is_writable_while_its_client_reads(self) -> None:
        """The service is called back when it can go on."""
        client = self.client = self.lane.connect(
            {frames.INITIAL_WINDOW_SIZE: 10}
        )
        call = self._stream()
        written = mock.Mock()
        call.on_writable = written
        self.assertTrue(call.is_writable)
        call.send(bytes(20))
        self.lane.turn()
        self.assertFalse(call.is_writable)
        written.assert_not_called()
        client.send(frames.window_update(1, 15))
        self.lane.turn()
        written.assert_called_once_with()
        self.assertTrue(call.is_writable)

    def test_call_that_is_over_is_not_writable(self) -> None:
        """A call that has ended drops replies that are sent afterwards."""
        call = self._stream()
        self.client.send(frames.rst_stream(1, frames.ErrorCode.CANCEL))
        self.lane.turn()
        self.assertFalse(call.is_writable)
        call.send(b"a")
        call.finish()
        self.lane.turn()

    def test_response_that_cannot_be_serialized_ends_the_call(self) -> None:
        """Those before it have been sent."""
        call = self._stream()
        call.send(b"a")
        with self.assertLogs(level="ERROR"):
            call.send("text")  # type: ignore[arg-type]
        answer = self._answer()
        self.assertEqual(answer.status, _Code.INTERNAL)
        self.assertEqual(answer.data, message_frame.frame(b"a"))


if __name__ == "__main__":
    absltest.main()
