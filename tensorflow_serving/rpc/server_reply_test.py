"""Tests for server: the replies that services give, in both lanes."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    echo_pb2,
    grpcio_lane,
    h2_client,
    lane,
    wire_lane,
)
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
_ECHO = f"/{_SERVICE.full_name}/Echo"
_SECONDS = 60.0

# Answers calls.
_Answer = Callable[[Sequence[call_lib.Call]], None]


def _rows(calls: Sequence[call_lib.Call]) -> call_lib.Rows:
    """Returns a response for each call: "re:" and the first two bytes."""
    return call_lib.Rows(
        b"re:",
        np.array([list(call.request[:2]) for call in calls], np.uint8),
    )


def _reply_rows(calls: Sequence[call_lib.Call]) -> None:
    call_lib.reply_all(calls, _rows(calls))


def _reply_bytes(calls: Sequence[call_lib.Call]) -> None:
    call_lib.reply_all(calls, _rows(calls).messages())


class _Collector:
    """Keeps calls, and answers them when as many have come as it waits for."""

    def __init__(self) -> None:
        self.arrived: queue.Queue[call_lib.Call] = queue.Queue()
        # If set, answers all calls on their thread, once there are as many.
        self.answer: _Answer | None = None
        self.num_wanted = 0
        self._calls: list[call_lib.Call] = []

    def begin(self, call: call_lib.Call) -> None:
        """Begins a call."""
        if call.request == b"exit":
            raise SystemExit("secret")
        self._calls.append(call)
        self.arrived.put(call)

    def when_idle(self) -> None:
        """Answers what has come, if it is time."""
        if self.answer is not None and len(self._calls) >= self.num_wanted:
            calls, self._calls = self._calls, []
            if calls:
                self.answer(calls)


class _ServerReplyTestCase(parameterized.TestCase):
    """A server whose method answers when the test says so."""

    lane_class: type[lane.Lane] = wire_lane.WireLane

    def setUp(self) -> None:
        """Starts the server and a channel to it."""
        super().setUp()
        self.collector = _Collector()
        service = call_lib.Service(
            _SERVICE,
            async_methods={"Echo": self.collector.begin},
            when_idle=self.collector.when_idle,
        )
        self.server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0", [service], lane_class=self.lane_class
            )
        )
        self.server.start()
        self.channel = self.enter_context(
            grpc.insecure_channel(f"127.0.0.1:{self.server.port}")
        )

    def _call(self, request: bytes = b"x", **kwargs: Any) -> Any:
        echo = self.channel.unary_unary(_ECHO)
        return echo.future(request, **{"timeout": _SECONDS, **kwargs})

    def _begun(self) -> call_lib.Call:
        return self.collector.arrived.get(timeout=_SECONDS)

    def _check(self, call: Any, code: str, text: str = ".*") -> None:
        self.assertEqual(call.code(), grpc.StatusCode[code])
        self.assertRegex(call.details(), text)

    def _answer_connections(self, answer: _Answer, window_bytes: int) -> None:
        """Answers calls of two connections, one of which has a small window."""
        with (
            h2_client.H2Client(self.server.port) as one,
            h2_client.H2Client(
                self.server.port, window_bytes=window_bytes
            ) as two,
        ):
            requests = [b"%02d" % number for number in range(20)]
            streams = [
                (client, client.call(_ECHO, request))
                for client, request in zip(
                    [one, two] * 10, requests, strict=True
                )
            ]
            # Calls of one connection come in order, those of two may not.
            answer(
                sorted(
                    (self._begun() for _ in requests),
                    key=lambda call: call.request,
                )
            )
            two.widen(100)
            self.assertEqual(
                [
                    client.response(stream).messages
                    for client, stream in streams
                ],
                [[b"re:" + request] for request in requests],
            )


class ServerReplyTest(_ServerReplyTestCase):
    """The same replies, whatever carries them."""

    # Errors.

    def test_text_of_an_error_is_cut(self) -> None:
        """Text is cut to 1,024 bytes in whole characters; the code stays."""
        call = self._call()
        self._begun().fail(errors.DataLossError("x" + "ü" * 100_000))
        self.assertIs(call.code(), grpc.StatusCode.DATA_LOSS)
        self.assertEqual(call.details(), "x" + "ü" * 511)

    @parameterized.named_parameters(
        ("newlines", "a\nb\r\nc"),
        ("percent", "100% of %41"),
        ("unicode", "naïve ☃ 🎉"),
        ("control", "\x00\x1f\x7f"),
        ("spaces", "  a  "),
        ("space", " "),
        ("empty", ""),
    )
    def test_text_of_an_error_arrives_as_it_is(self, text: str) -> None:
        """Any text may be sent, escaped on the wire."""
        call = self._call()
        self._begun().fail(errors.AbortedError(text))
        self.assertIs(call.code(), grpc.StatusCode.ABORTED)
        self.assertEqual(call.details(), text)

    def test_text_of_an_error_may_be_no_unicode(self) -> None:
        """A lone surrogate is replaced, and the code is kept."""
        call = self._call()
        self._begun().fail(errors.AbortedError("a\ud800b"))
        self.assertIs(call.code(), grpc.StatusCode.ABORTED)
        self.assertEqual(call.details(), "a?b")

    @parameterized.named_parameters(
        (code.name.lower(), code)
        for code in errors.StatusCode
        if code is not errors.StatusCode.OK
    )
    def test_code_of_an_error_arrives(self, code: errors.StatusCode) -> None:
        """Each class of errors has a code of gRPC."""
        call = self._call()
        self._begun().fail(errors.from_code(code, "no"))
        self._check(call, code.name, "^no$")

    def test_exit_of_a_method_ends_its_call_only(self) -> None:
        """A service cannot end the thread of all calls."""
        with self.assertLogs(level="ERROR"):
            call = self._call(b"exit")
            self._check(call, "INTERNAL", "^((?!secret).)*$")
        call = self._call()
        self._begun().reply(b"y")
        self.assertEqual(call.result(), b"y")

    @parameterized.parameters(ZeroDivisionError, SystemExit)
    def test_what_on_cancelled_raises_harms_nobody(
        self, kind: type[BaseException]
    ) -> None:
        """The caller is gone, and other calls go on."""
        called = threading.Event()

        def break_down() -> None:
            called.set()
            raise kind("secret")

        call = self._call()
        begun = self._begun()
        begun.on_cancelled = break_down
        with self.assertLogs(level="ERROR"):
            call.cancel()
            self.assertTrue(called.wait(_SECONDS))
            call = self._call()
            self._begun().reply(b"y")
            self.assertEqual(call.result(), b"y")
        self.assertFalse(begun.is_active)

    # Metadata.

    def test_metadata_may_be_bytes(self) -> None:
        """Metadata may be bytes with a reply and with an error."""
        sent: call_lib.Metadata = [
            ("all-bin", bytes(range(256))),
            ("empty-bin", b""),
            ("one-bin", b"\xff"),
        ]
        for fails in (False, True):
            call = self._call(metadata=sent)
            begun = self._begun()
            self.assertLessEqual(set(sent), set(begun.metadata))
            if fails:
                begun.fail(errors.AbortedError("no"), sent)
            else:
                begun.reply(b"y", sent)
            self.assertLessEqual(set(sent), set(call.trailing_metadata()))

    def test_metadata_may_have_space_around_it(self) -> None:
        """The call begins, whether or not the space arrives with it."""
        call = self._call(metadata=[("key", " a b ")])
        begun = self._begun()
        self.assertEqual(str(dict(begun.metadata)["key"]).strip(), "a b")
        begun.reply(b"")
        self.assertIs(call.code(), grpc.StatusCode.OK)

    def test_metadata_may_repeat_a_key(self) -> None:
        """The values keep their order."""
        sent: call_lib.Metadata = [
            ("a", "1"),
            ("a-bin", b"1"),
            ("a", "2"),
            ("a-bin", b"2"),
        ]
        call = self._call(metadata=sent)
        begun = self._begun()
        begun.reply(b"y", sent)
        for metadata in (begun.metadata, call.trailing_metadata()):
            for key in ("a", "a-bin"):
                self.assertEqual(
                    [value for name, value in metadata if name == key],
                    [value for name, value in sent if name == key],
                )

    @parameterized.named_parameters(
        ("number", ("key", 1)),
        ("upper_case", ("Key", "a")),
        ("space_in_key", ("a key", "a")),
        ("reserved", ("grpc-status", "0")),
        ("pseudo", (":status", "200")),
        ("newline", ("key", "a\nb: c")),
        ("unicode", ("key", "ü")),
        ("text_for_bytes", ("key-bin", "a")),
        ("bytes_for_text", ("key", b"a")),
        ("no_pair", ("key",)),
        ("none", None),
    )
    def test_metadata_that_cannot_be_sent_are_a_fault(self, pair: Any) -> None:
        """The caller gets INTERNAL instead of a reply, and the log the rest."""
        for fails in (False, True):
            with self.assertLogs(level="ERROR"):
                call = self._call()
                begun = self._begun()
                if fails:
                    begun.fail(errors.AbortedError("no"), [pair])
                else:
                    begun.reply(b"y", [pair])
                self._check(call, "INTERNAL")

    def test_response_that_is_none_is_a_fault(self) -> None:
        """The caller gets INTERNAL, and the log the reason."""
        response: Any = "text"
        with self.assertLogs(level="ERROR"):
            call = self._call()
            self._begun().reply(response)
            self._check(call, "INTERNAL")

    # Many replies at once.

    @parameterized.named_parameters(
        ("rows", _reply_rows), ("bytes", _reply_bytes)
    )
    def test_many_calls_are_answered_on_their_thread(
        self, answer: _Answer
    ) -> None:
        """Each caller gets its own response."""
        self.collector.num_wanted = 50
        self.collector.answer = answer
        calls = [self._call(b"%02d" % number) for number in range(50)]
        self.assertEqual(
            [call.result() for call in calls],
            [b"re:%02d" % number for number in range(50)],
        )

    @parameterized.named_parameters(
        ("rows", _reply_rows), ("bytes", _reply_bytes)
    )
    def test_many_calls_are_answered_on_another_thread(
        self, answer: _Answer
    ) -> None:
        """Each caller gets its own response."""
        calls = [self._call(b"%02d" % number) for number in range(50)]
        answer([self._begun() for _ in calls])
        self.assertEqual(
            [call.result() for call in calls],
            [b"re:%02d" % number for number in range(50)],
        )

    @parameterized.named_parameters(
        ("rows", _reply_rows), ("bytes", _reply_bytes)
    )
    def test_calls_that_ended_do_not_disturb_the_others(
        self, answer: _Answer
    ) -> None:
        """A call that ended by either side is left out of the batch."""
        calls = [self._call(b"%02d" % number) for number in range(30)]
        begun = sorted(
            (self._begun() for _ in calls), key=lambda call: call.request
        )
        left = threading.Semaphore(0)
        for number in range(0, 30, 3):
            begun[number].on_cancelled = left.release
            calls[number].cancel()
        for _ in range(0, 30, 3):
            self.assertTrue(left.acquire(timeout=_SECONDS))
        for number in range(1, 30, 3):
            begun[number].reply(b"before")
        answer(begun)
        for number in range(30):
            if number % 3:
                self.assertEqual(
                    calls[number].result(),
                    b"before" if number % 3 == 1 else b"re:%02d" % number,
                )

    @parameterized.named_parameters(
        ("rows", _reply_rows), ("bytes", _reply_bytes)
    )
    def test_all_callers_may_be_gone(self, answer: _Answer) -> None:
        """Nobody gets a response, and the server goes on."""
        left = threading.Semaphore(0)
        calls = [self._call(b"%02d" % number) for number in range(3)]
        begun = [self._begun() for _ in calls]
        for each in begun:
            each.on_cancelled = left.release
        for call in calls:
            call.cancel()
            self.assertTrue(left.acquire(timeout=_SECONDS))
        answer(begun)
        call = self._call()
        self._begun().reply(b"y")
        self.assertEqual(call.result(), b"y")

    @parameterized.named_parameters(
        ("rows", _reply_rows), ("bytes", _reply_bytes)
    )
    def test_calls_of_many_connections_are_answered(
        self, answer: _Answer
    ) -> None:
        """Calls may be mixed, and each caller gets its own response."""
        self._answer_connections(answer, 1000)


class WireLaneServerReplyTest(_ServerReplyTestCase):
    """A promise that grpcio does not keep: its server waits for readers."""

    @parameterized.named_parameters(
        ("rows", _reply_rows), ("bytes", _reply_bytes)
    )
    def test_callers_that_take_little_at_a_time_are_answered(
        self, answer: _Answer
    ) -> None:
        """No caller waits for another one, nor does the thread of the calls."""
        self._answer_connections(answer, 1)


class GrpcioLaneServerReplyTest(ServerReplyTest):
    """The same, with the server of grpcio."""

    lane_class = grpcio_lane.GrpcioLane


if __name__ == "__main__":
    absltest.main()
