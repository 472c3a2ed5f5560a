"""Tests for call_router, without a thread."""

import gzip
import threading
import time
import zlib
from unittest import mock

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    lane,
    message_frame,
    puppet_lane,
    raw_client,
)
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc.http2 import frame_script, frames, header_block
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.util import errors

_UNARY = "/a.B/Unary"
_STREAM = "/a.B/Stream"
_Code = errors.StatusCode
_GZIP = [(b"grpc-encoding", b"gzip")]


def _frame(message: bytes) -> bytes:
    return message_frame.frame(message)


def _compressed(data: bytes) -> bytes:
    return b"\x01" + len(data).to_bytes(4, "big") + data


class _RouterTest(parameterized.TestCase):
    """A router with two methods, which keep their calls, and a client."""

    def _start(self, **options: object) -> None:
        self.calls: list[call_lib.Call] = []
        self.streams: list[call_lib.StreamCall] = []
        self.requests: list[bytes] = []
        self.lane: puppet_lane.PuppetLane = self.enter_context(
            puppet_lane.PuppetLane(
                lane.Methods(
                    {_UNARY: self.calls.append},
                    {_STREAM: self._begin_stream},
                ),
                options_lib.Options(**options),  # type: ignore[arg-type]
            )
        )
        self.client: raw_client.RawClient = self.lane.connect()

    def _begin_stream(self, call: call_lib.StreamCall) -> None:
        self.streams.append(call)
        call.on_request = self.requests.append
        call.on_requests_end = call.finish

    def _send(self, *data: bytes) -> None:
        for each in data:
            self.client.send(each)
            self.lane.turn()

    def _answer(self, stream_id: int = 1) -> raw_client.Answer:
        self.lane.turn()
        return self.client.answer(stream_id)


class UnaryCallTest(_RouterTest):
    """Calls with one request."""

    def test_call_begins_when_its_message_is_there(self) -> None:
        """A call begins when all of its message came, in whatever frames."""
        self._start()
        self._send(raw_client.head(1, _UNARY))
        data = _frame(b"hello")
        for index in range(len(data)):
            self.assertFalse(self.calls)
            self._send(frame_script.data(1, data[index : index + 1]))
        self.assertFalse(self.calls)
        self._send(frame_script.data(1, b"", ends=True))
        self.assertEqual(self.calls[0].request, b"hello")
        self.assertTrue(self.lane.router.has_begun)
        self.calls[0].reply(b"re")
        self.assertEqual(self._answer().data, _frame(b"re"))
        self.assertEqual(self.lane.router.num_calls, 0)

    @parameterized.named_parameters(
        ("unknown_method", "/a.B/Other", (), _Code.UNIMPLEMENTED, "/a.B/Other"),
        (
            "timeout",
            _UNARY,
            [(b"grpc-timeout", b"1 hour")],
            _Code.INVALID_ARGUMENT,
            "grpc-timeout must be",
        ),
        (
            "metadata",
            _UNARY,
            [(b"x-bin", b"*")],
            _Code.INVALID_ARGUMENT,
            "metadata x-bin",
        ),
        (
            "large_head",
            _UNARY,
            [(b"x", bytes(20_000).replace(b"\0", b"x"))],
            _Code.RESOURCE_EXHAUSTED,
            "metadata must be smaller",
        ),
    )
    def test_bad_head_is_refused_before_the_message(
        self,
        path: str,
        extra: list[header_block.Field],
        code: errors.StatusCode,
        text: str,
    ) -> None:
        """The error says what is wrong."""
        self._start()
        self._send(raw_client.head(1, path, extra))
        answer = self._answer()
        self.assertEqual(answer.status, code)
        self.assertIn(text, answer.fields["grpc-message"])
        self.assertFalse(self.calls)

    def test_what_is_no_call_gets_a_status_of_http(self) -> None:
        """Another content type gets 415, another method 405."""
        self._start()
        for stream_id, fields, status in (
            (1, {b"content-type": b"text/html"}, "415"),
            (3, {b":method": b"GET"}, "405"),
        ):
            head = dict(raw_client.head_fields(_UNARY)) | fields
            self._send(
                frame_script.headers(
                    stream_id, header_block.encode(head.items()), ends=True
                )
            )
            answer = self._answer(stream_id)
            self.assertEqual(answer.fields, {":status": status})

    @parameterized.named_parameters(
        ("none", b"", _Code.UNIMPLEMENTED, "got none"),
        ("part_of_a_prefix", b"\0\0", _Code.UNIMPLEMENTED, "got none"),
        ("less", _frame(b"hello")[:-1], _Code.UNIMPLEMENTED, "got less"),
        ("more", _frame(b"hello") + b"x", _Code.UNIMPLEMENTED, "got more"),
        ("two", _frame(b"a") + _frame(b"b"), _Code.UNIMPLEMENTED, "got more"),
        ("flag", b"\2\0\0\0\0", _Code.INTERNAL, "flag of a message"),
        (
            "large",
            _frame(bytes(1001)),
            _Code.RESOURCE_EXHAUSTED,
            "at most 1000 bytes",
        ),
        ("no_encoding", _compressed(b"x"), _Code.INTERNAL, "got identity"),
    )
    def test_bad_message_is_refused(
        self, data: bytes, code: errors.StatusCode, text: str
    ) -> None:
        """The client and the log of a proxy learn why."""
        self._start(max_request_bytes=1000)
        self._send(
            raw_client.head(1, _UNARY) + frame_script.data(1, data, ends=True)
        )
        answer = self._answer()
        self.assertEqual(answer.status, code)
        self.assertIn(text, answer.fields["grpc-message"])
        self.assertFalse(self.calls)

    @parameterized.named_parameters(
        ("large", b"\0\xff\xff\xff\xff", _Code.RESOURCE_EXHAUSTED),
        ("flag", b"\7\0\0\0\1", _Code.INTERNAL),
        ("more", _frame(b"a") + b"x", _Code.UNIMPLEMENTED),
    )
    def test_bad_message_is_refused_before_its_end(
        self, data: bytes, code: errors.StatusCode
    ) -> None:
        """Nothing is kept for what is refused anyway."""
        self._start()
        self._send(raw_client.head(1, _UNARY), frame_script.data(1, data))
        self.assertEqual(self._answer().status, code)

    def test_calls_beyond_the_limit_are_refused(self) -> None:
        """A call counts until it ends, however it does."""
        self._start(max_concurrent_calls=2)
        for stream_id in (1, 3, 5):
            self._send(raw_client.request(stream_id, _UNARY, b"x"))
        self.assertEqual(self._answer(5).status, _Code.RESOURCE_EXHAUSTED)
        self._send(frames.rst_stream(3, frames.ErrorCode.CANCEL))
        self.assertEqual(self.lane.router.num_calls, 1)
        self._send(raw_client.request(7, _UNARY, b"x"))
        self.assertEqual(len(self.calls), 3)

    def test_call_that_is_reset_with_its_head_never_begins(self) -> None:
        """Whoever resets at once makes no work for services."""
        self._start()
        self._send(
            raw_client.request(1, _UNARY, b"x")
            + frames.rst_stream(1, frames.ErrorCode.CANCEL)
        )
        self.assertFalse(self.calls)
        self.assertFalse(self.lane.router.has_begun)

    def test_call_ends_at_its_deadline(self) -> None:
        """A call whose client vanished without a word ends at its deadline."""
        self._start()
        self._send(
            raw_client.request(1, _UNARY, b"x", [(b"grpc-timeout", b"5S")])
        )
        left = mock.Mock()
        self.calls[0].on_cancelled = left
        self._go_on(4.9)
        left.assert_not_called()
        self._go_on(5.1)
        left.assert_called_once_with()
        self.assertFalse(self.calls[0].is_active)
        self.assertEqual(self._answer().status, _Code.DEADLINE_EXCEEDED)

    def test_message_has_a_time_limit(self) -> None:
        """A call whose message is there has none."""
        self._start(limits=limits_lib.Limits(message_seconds=5))
        self._send(
            raw_client.head(1, _UNARY), raw_client.request(3, _UNARY, b"x")
        )
        self._go_on(5.1)
        answer = self._answer()
        self.assertEqual(answer.status, _Code.DEADLINE_EXCEEDED)
        self.assertIn("within 5 s", answer.fields["grpc-message"])
        self.assertTrue(self.calls[0].is_active)

    def test_call_whose_message_came_in_time_goes_on(self) -> None:
        """A call may wait for its message and then take its time."""
        self._start(limits=limits_lib.Limits(message_seconds=5))
        self._send(
            raw_client.head(1, _UNARY),
            frame_script.data(1, _frame(b"x"), ends=True),
        )
        self._go_on(5.1)
        self.calls[0].reply(b"y")
        self.assertEqual(self._answer().data, _frame(b"y"))

    def test_half_a_message_does_not_hold_up_a_stop(self) -> None:
        """It has little time then, whether it came before the stop or after."""
        self._start(
            limits=limits_lib.Limits(
                message_seconds=30, drain_message_seconds=2
            )
        )
        self._send(
            raw_client.request(1, _UNARY, b"x"), raw_client.head(3, _UNARY)
        )
        for each in self.lane.peers:
            self.lane.router.drain(each.calls())
        self._send(raw_client.head(5, _UNARY), raw_client.head(7, _UNARY))
        self._send(frame_script.data(7, _frame(b"x"), ends=True))
        self._go_on(2.1)
        for stream_id in (3, 5):
            self.assertEqual(self._answer(stream_id).status, _Code.UNAVAILABLE)
        for call in self.calls:
            self.assertTrue(call.is_active)

    def test_request_that_waits_for_room_has_time(self) -> None:
        """It is the service that lets it wait, with another call."""
        self._start(
            limits=limits_lib.Limits(
                message_seconds=5,
                stream_window_bytes=100,
                message_room_bytes=1500,
            )
        )
        message = _frame(bytes(1000))
        self._send(
            *(
                raw_client.head(stream_id, _UNARY)
                + frame_script.data(stream_id, message[:100])
                for stream_id in (1, 3)
            )
        )
        self._send(frame_script.data(1, message[100:], ends=True))
        self._go_on(5.1)
        self.calls[0].reply(b"y")
        self.lane.turn()
        self._send(frame_script.data(3, message[100:], ends=True))
        self.assertEqual(self.calls[1].request, bytes(1000))

    def _go_on(self, seconds: float) -> None:
        """Lets time pass for the loop."""
        with mock.patch.object(
            time,
            "monotonic",
            return_value=self.lane.loop.now + seconds,
        ):
            self.lane.turn(1)

    def test_method_that_fails_is_answered(self) -> None:
        """So is a fault of the router, which costs one call."""
        self._start()
        self.calls = mock.Mock()  # append() is not that of a list
        with (
            mock.patch.object(message_frame, "PREFIX_BYTES", new="a fault"),
            self.assertLogs(level="ERROR"),
        ):
            self._send(raw_client.request(1, _UNARY, b"x"))
        self.assertEqual(self._answer().status, _Code.INTERNAL)


class CompressedMessageTest(_RouterTest):
    """Messages that are inflated on another thread."""

    def test_compressed_message_is_inflated(self) -> None:
        """The service does not see that it was compressed."""
        self._start()
        self._send(
            raw_client.head(1, _UNARY, _GZIP)
            + frame_script.data(
                1, _compressed(gzip.compress(b"hello")), ends=True
            )
        )
        self.lane.wait_until(lambda: bool(self.calls))
        self.assertEqual(self.calls[0].request, b"hello")

    def test_inflated_messages_must_leave_room(self) -> None:
        """Inflated messages of a connection share a limit of bytes."""
        self._start(limits=limits_lib.Limits(message_room_bytes=100_000))
        data = _compressed(gzip.compress(bytes(70_000)))
        for stream_id in (1, 3):
            self._send(
                raw_client.head(stream_id, _UNARY, _GZIP)
                + frame_script.data(stream_id, data, ends=True)
            )
        self.lane.wait_until(
            lambda: sum(len(each.calls()) for each in self.lane.peers) == 1
        )
        self.assertEqual(self._answer(3).status, _Code.RESOURCE_EXHAUSTED)
        self.calls[0].reply(b"y")
        self.assertEqual(self._answer().data, _frame(b"y"))

    @parameterized.named_parameters(
        ("bomb", gzip.compress(bytes(1 << 20)), _Code.RESOURCE_EXHAUSTED),
        ("other", zlib.compress(b"x"), _Code.INTERNAL),
    )
    def test_bad_compressed_message_is_refused(
        self, data: bytes, code: errors.StatusCode
    ) -> None:
        """The limit on a message counts its bytes after decompression."""
        self._start(max_request_bytes=10_000)
        self._send(
            raw_client.head(1, _UNARY, _GZIP)
            + frame_script.data(1, _compressed(data), ends=True)
        )
        self.lane.wait_until(self._has_no_streams)
        self.assertEqual(self._answer().status, code)

    def _has_no_streams(self) -> bool:
        return not any(each.calls() for each in self.lane.peers)

    def test_message_of_a_call_that_is_over_is_not_inflated(self) -> None:
        """A client that takes calls back cannot fill a queue with them."""
        self._start()
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        inflated: list[bytes] = []

        def inflate(data: bytes, encoding: str, most: int) -> bytes:
            go_on.wait()
            inflated.append(data)
            return data

        with mock.patch.object(message_frame, "inflate", inflate):
            for stream_id in (1, 3, 5):
                self._send(
                    raw_client.head(stream_id, _UNARY, _GZIP)
                    + frame_script.data(
                        stream_id, _compressed(b"%d" % stream_id), ends=True
                    )
                )
            self._send(frames.rst_stream(3, frames.ErrorCode.CANCEL))
            go_on.set()
            self.lane.wait_until(lambda: len(self.calls) == 2)
        self.assertEqual(inflated, [b"1", b"5"])
        self.assertEqual([each.request for each in self.calls], [b"1", b"5"])

    def test_requests_of_a_stream_keep_their_order(self) -> None:
        """Those behind a compressed one wait until it is inflated."""
        self._start()
        self._send(
            raw_client.head(1, _STREAM, _GZIP)
            + frame_script.data(
                1, _compressed(gzip.compress(b"a")) + _frame(b"b"), ends=True
            )
        )
        self.lane.wait_until(lambda: len(self.requests) == 2)
        self.assertEqual(self.requests, [b"a", b"b"])
        self.assertEqual(self._answer().status, _Code.OK)


class StreamCallTest(_RouterTest):
    """Calls with any number of requests."""

    def test_call_begins_with_its_head(self) -> None:
        """Requests come one by one, and then their end."""
        self._start()
        self._send(raw_client.head(1, _STREAM))
        self.assertEqual(len(self.streams), 1)
        self._send(
            frame_script.data(1, _frame(b"a") + _frame(b"b") + b"\0\0"),
            frame_script.data(1, b"\0\0\1c"),
        )
        self.assertEqual(self.requests, [b"a", b"b", b"c"])
        self._send(frame_script.data(1, b"", ends=True))
        self.assertEqual(self._answer().status, _Code.OK)

    @parameterized.named_parameters(
        ("half_a_request", b"\0\0\0\0\5x", _Code.UNIMPLEMENTED),
        ("large", _frame(bytes(1001)), _Code.RESOURCE_EXHAUSTED),
    )
    def test_bad_request_ends_the_call(
        self, data: bytes, code: errors.StatusCode
    ) -> None:
        """Those before it were handed on."""
        self._start(max_request_bytes=1000)
        self._send(
            raw_client.head(1, _STREAM)
            + frame_script.data(1, _frame(b"a") + data, ends=True)
        )
        self.assertEqual(self._answer().status, code)
        self.assertEqual(self.requests, [b"a"])

    def test_callback_that_fails_ends_the_call(self) -> None:
        """A callback that raises ends its call; bugs become INTERNAL."""
        self._start()
        for stream_id, error, code in (
            (1, errors.AbortedError("no"), _Code.ABORTED),
            (3, ZeroDivisionError(), _Code.INTERNAL),
        ):
            self._send(raw_client.head(stream_id, _STREAM))
            self.streams[-1].on_request = mock.Mock(side_effect=error)
            with mock.patch("absl.logging.exception"):
                self._send(frame_script.data(stream_id, _frame(b"a")))
            self.assertEqual(self._answer(stream_id).status, code)

    def test_services_are_notified_of_a_stop(self) -> None:
        """Services are notified of a stop, also for calls that begin later."""
        self._start()
        self._send(raw_client.head(1, _STREAM))
        drained = mock.Mock()
        self.streams[0].on_drain = drained
        for each in self.lane.peers:
            self.lane.router.drain(each.calls())
        drained.assert_called_once_with()
        self.lane.router.drain([])


if __name__ == "__main__":
    absltest.main()
