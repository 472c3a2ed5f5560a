"""Faults that once stopped a server, or left calls without an answer."""

import dataclasses
import multiprocessing
import multiprocessing.connection
import resource
import threading
import zlib
from collections.abc import Callable
from typing import Any
from unittest import mock

from absl.testing import absltest, parameterized
from grpc_health.v1 import health_pb2

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    echo_pb2,
    message_frame,
    peer,
    raw_client,
    server,
)
from tensorflow_serving.rpc.http2 import frame_script, frames
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.util import errors

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
_ECHO = f"/{_SERVICE.full_name}/Echo"
_CHECK = "/grpc.health.v1.Health/Check"
_WATCH = "/grpc.health.v1.Health/Watch"
_REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
_SERVING = health_pb2.HealthCheckResponse(
    status=health_pb2.HealthCheckResponse.SERVING
).SerializeToString()

_Method = Callable[[call_lib.Call], None]


def _echo(call: call_lib.Call) -> None:
    call.reply(call.request)


class _ServerTest(parameterized.TestCase):
    """A server with one method, and raw clients."""

    def _serve(
        self,
        method: _Method = _echo,
        when_idle: Callable[
            [], call_lib.Work | None
        ] = call_lib.do_nothing_when_idle,
        **options: Any,
    ) -> None:
        service = call_lib.Service(
            _SERVICE, async_methods={"Echo": method}, when_idle=when_idle
        )
        self.server: server.Server = self.enter_context(
            server.Server("127.0.0.1:0", [service], server.Options(**options))
        )
        self.server.start()

    def _connect(self, **settings: int) -> raw_client.RawClient:
        client: raw_client.RawClient = self.enter_context(
            raw_client.RawClient.connect(self.server.port)
        )
        window = settings.get("window")
        client.greet(
            None if window is None else {frames.INITIAL_WINDOW_SIZE: window}
        )
        return client

    def _call(
        self, message: bytes = b"hello", path: str = _ECHO, **header: bytes
    ) -> raw_client.Answer:
        """Makes a call on a connection of its own."""
        extra = [
            (name.replace("_", "-").encode(), value)
            for name, value in header.items()
        ]
        with raw_client.RawClient.connect(self.server.port) as client:
            client.greet()
            client.send(raw_client.request(1, path, message, extra))
            return client.answer(1)

    def _require_service(self) -> None:
        """Fails unless other clients get answers."""
        self.assertEqual(self._call().data, message_frame.frame(b"hello"))
        self.assertEqual(
            self._call(b"", _CHECK).data, message_frame.frame(_SERVING)
        )


class ClientFaultsTest(_ServerTest):
    """Clients that come, go, or stand still."""

    def test_churning_watches_stop_nobody(self) -> None:
        """50 watches at a time begin and end while the state changes."""
        self._serve()
        client = self._connect()
        for start in range(1, 801, 100):
            stream_ids = range(start, start + 100, 2)
            client.send(
                b"".join(
                    raw_client.request(stream_id, _WATCH, b"")
                    for stream_id in stream_ids
                )
            )
            client.send(
                b"".join(
                    frames.rst_stream(stream_id, frames.ErrorCode.CANCEL)
                    for stream_id in stream_ids
                )
            )
            self._require_service()
        client.settle()
        client.close()
        self.assertTrue(self.server.stop(60))

    @parameterized.parameters(_CHECK, _WATCH, _REFLECTION, _ECHO)
    def test_call_without_its_message_stops_nobody(self, path: str) -> None:
        """A client that dies between two packets holds nothing."""
        self._serve(max_concurrent_calls=2)
        client = self._connect()
        client.send(
            b"".join(
                raw_client.head(stream_id, path)
                for stream_id in range(1, 101, 2)
            )
        )
        client.settle()
        self._require_service()
        self.server.stop(0.01)

    @parameterized.parameters(_CHECK, _WATCH, _ECHO)
    def test_closed_window_stops_nobody(self, path: str) -> None:
        """Replies wait for it in memory, not on a thread."""
        self._serve()
        client = self._connect(window=0)
        client.send(
            b"".join(
                raw_client.request(stream_id, path, b"")
                for stream_id in range(1, 101, 2)
            )
        )
        client.settle()
        self._require_service()
        self.server.stop(0.01)

    def test_idle_streams_do_not_keep_a_server_that_stops(self) -> None:
        """A tool with reflection open, and a watch, are asked to leave."""
        self._serve()
        client = self._connect()
        client.send(
            raw_client.head(1, _REFLECTION) + raw_client.request(3, _WATCH, b"")
        )
        client.settle()
        stopper = threading.Thread(target=self.server.stop, args=(60,))
        stopper.start()
        client.leave_when_asked()
        stopper.join()
        self.assertTrue(self.server.stop(0))

    def test_message_that_does_not_come_has_a_time_limit(self) -> None:
        """A message that is late fails its call and frees the stream."""
        self._serve(limits=limits_lib.Limits(message_seconds=0.02))
        client = self._connect()
        client.send(raw_client.head(1, _ECHO))
        self.assertEqual(
            client.answer(1).status, errors.StatusCode.DEADLINE_EXCEEDED
        )

    def test_calls_without_messages_take_no_slots(self) -> None:
        """A call counts for the limit from its message on."""
        begun: list[call_lib.Call] = []
        self._serve(begun.append, max_concurrent_calls=1)
        client = self._connect()
        client.send(
            b"".join(
                raw_client.head(stream_id, _ECHO)
                for stream_id in range(1, 101, 2)
            )
        )
        client.settle()
        client.send(raw_client.request(101, _ECHO, b"x"))
        client.settle()
        self.assertEqual(len(begun), 1)
        other = self._call()
        self.assertEqual(other.status, errors.StatusCode.RESOURCE_EXHAUSTED)
        begun[0].reply(b"")

    def test_streams_of_a_connection_have_a_limit(self) -> None:
        """Those beyond it are refused, which clients try again."""
        self._serve(limits=limits_lib.Limits(max_concurrent_streams=100))
        client = self._connect()
        client.send(
            b"".join(
                raw_client.head(stream_id, _ECHO)
                for stream_id in range(1, 2_001, 2)
            )
        )
        client.settle()
        self._require_service()

    def test_client_that_dies_with_thousands_of_calls_frees_them(self) -> None:
        """Each call of a lost client ends once, and others are answered."""
        begun: list[call_lib.Call] = []
        left = threading.Semaphore(0)

        def begin(call: call_lib.Call) -> None:
            if call.request == b"hello":
                call.reply(call.request)
                return
            call.on_cancelled = left.release
            begun.append(call)

        self._serve(begin)
        clients = [self._connect() for _ in range(16)]
        for client in clients:
            client.send(
                b"".join(
                    raw_client.request(stream_id, _ECHO, b"x")
                    for stream_id in range(1, 501, 2)
                )
            )
        for client in clients:
            client.settle()
        self.assertEqual(len(begun), 4_000)
        for client in clients:
            client.close()
        for _ in begun:
            self.assertTrue(left.acquire(timeout=60))
        self.assertFalse(any(call.is_active for call in begun))
        self._require_service()

    def test_metadata_that_is_no_utf8_is_not_logged(self) -> None:
        """Anybody could fill a disk with it."""
        self._serve()
        # Each warning and error that the process logs would be seen.
        with self.assertNoLogs(level="WARNING"):
            for _ in range(20):
                self.assertEqual(self._call(x_bad=b"\xff\xfe" * 99).status, 0)


@dataclasses.dataclass(frozen=True)
class _BadReply:
    """A reply that cannot be sent, and what the caller gets instead."""

    send: Callable[[call_lib.Call], None]
    status: errors.StatusCode
    text: str = "the server failed on this call"


def _fail(text: str, metadata: Any = ()) -> Callable[[call_lib.Call], None]:
    return lambda call: call.fail(errors.InvalidArgumentError(text), metadata)


def _reply(
    response: Any, metadata: Any = ()
) -> Callable[[call_lib.Call], None]:
    return lambda call: call.reply(response, metadata)


_INTERNAL = errors.StatusCode.INTERNAL
_INVALID = errors.StatusCode.INVALID_ARGUMENT
_BAD_REPLIES = (
    ("surrogate", _BadReply(_fail("file \udcff"), _INVALID, "file ")),
    ("long_text", _BadReply(_fail("x" * 20_000), _INVALID, "xxx")),
    ("lines", _BadReply(_fail("a\r\nb\0"), _INVALID, "a%0D%0Ab%00")),
    ("number_as_metadata", _BadReply(_reply(b"", [("a", 5)]), _INTERNAL)),
    ("key_of_the_protocol", _BadReply(_reply(b"", [("te", b"x")]), _INTERNAL)),
    ("bad_key", _BadReply(_fail("no", [("A b", "x")]), _INTERNAL)),
    ("no_pairs", _BadReply(_fail("no", [1, 2]), _INTERNAL)),
    ("no_message", _BadReply(_reply(None), _INTERNAL)),
    ("text_as_message", _BadReply(_reply("text"), _INTERNAL)),
)


class ServiceFaultsTest(_ServerTest):
    """Services that fail."""

    @parameterized.named_parameters(
        (f"{name}_{where}", bad, where == "later")
        for name, bad in _BAD_REPLIES
        for where in ("now", "later")
    )
    def test_reply_that_cannot_be_sent_is_answered(
        self, bad: _BadReply, is_later: bool
    ) -> None:
        """A bad reply fails on any thread, and a stop does not wait for it."""
        threads: list[threading.Thread] = []

        def begin(call: call_lib.Call) -> None:
            if call.request == b"hello":
                call.reply(call.request)
            elif is_later:
                threads.append(threading.Thread(target=bad.send, args=(call,)))
                threads[-1].start()
            else:
                bad.send(call)

        self._serve(begin)
        answer = self._call(b"bad")
        self.assertEqual(answer.status, bad.status)
        self.assertTrue(answer.fields["grpc-message"].startswith(bad.text))
        for thread in threads:
            thread.join()
        self._require_service()
        self.assertTrue(self.server.stop(60))

    @parameterized.parameters(ZeroDivisionError, SystemExit, KeyboardInterrupt)
    def test_method_that_raises_anything_costs_its_call(
        self, error: type[BaseException]
    ) -> None:
        """The thread of all calls goes on."""

        def begin(call: call_lib.Call) -> None:
            if call.request == b"bad":
                raise error
            call.reply(call.request)

        self._serve(begin)
        self.assertEqual(self._call(b"bad").status, _INTERNAL)
        self._require_service()

    def test_callback_that_raises_costs_nobody_else(self) -> None:
        """A service that fails when its caller leaves is logged."""
        begun: list[call_lib.Call] = []
        failed = threading.Event()

        def fail() -> None:
            failed.set()
            raise ZeroDivisionError

        def begin(call: call_lib.Call) -> None:
            if call.request == b"hello":
                call.reply(call.request)
                return
            begun.append(call)
            call.on_cancelled = fail

        self._serve(begin)
        client = self._connect()
        client.send(
            raw_client.request(1, _ECHO, b"x")
            + raw_client.request(3, _ECHO, b"x")
        )
        client.settle()
        client.close()
        self.assertTrue(failed.wait(60))
        self._require_service()
        self.assertFalse(any(call.is_active for call in begun))

    def test_service_that_fails_when_idle_costs_nobody(self) -> None:
        """It is logged, and called again after the next calls."""

        def fail() -> None:
            raise ZeroDivisionError

        self._serve(when_idle=fail)
        self._require_service()
        self.assertTrue(self.server.stop(60))

    def test_server_needs_no_thread_after_its_start(self) -> None:
        """Under load there may be none to be had."""
        self._serve()
        with mock.patch.object(
            threading.Thread,
            "start",
            side_effect=RuntimeError("can't start new thread"),
        ):
            self._require_service()
            client = self._connect()
            client.send(
                raw_client.head(1, _ECHO, [(b"grpc-encoding", b"deflate")])
                + frame_script.data(1, _deflated(b"hello"), ends=True)
            )
            self.assertEqual(
                client.answer(1).data, message_frame.frame(b"hello")
            )
            client.close()
            self.assertTrue(self.server.stop(60))

    def test_stop_returns_while_a_method_hangs(self) -> None:
        """stop() leaves a batch that never ends on the thread of calls."""
        started, go_on = threading.Event(), threading.Event()
        self.addCleanup(go_on.set)

        def hang(call: call_lib.Call) -> None:
            started.set()
            go_on.wait()

        self._serve(hang)
        client = self._connect()
        client.send(raw_client.request(1, _ECHO, b"x"))
        self.assertTrue(started.wait(60))
        self.assertFalse(self.server.stop(0.01))
        self.assertFalse(self.server.stop(60))  # it was said once and for all


def _deflated(message: bytes) -> bytes:
    data = zlib.compress(message)
    return b"\x01" + len(data).to_bytes(4, "big") + data


# Servers that end, or that have few descriptors, are processes of their own.

_CONTEXT = multiprocessing.get_context("spawn")
_Connection = multiprocessing.connection.Connection


def _run(connection: _Connection, num_descriptors: int, dies: bool) -> None:
    """Serves until a message comes."""
    if num_descriptors:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (num_descriptors, num_descriptors)
        )
    service = call_lib.Service(_SERVICE, async_methods={"Echo": _echo})
    with server.Server("127.0.0.1:0", [service]) as serving:
        serving.start()
        if dies:
            peer.Peer.flush = _die  # type: ignore[method-assign]
        connection.send(serving.port)
        connection.recv()


def _die(self: peer.Peer) -> None:
    """Is a fault of the event thread itself, which has no call."""
    raise SystemExit(3)


class ProcessFaultsTest(absltest.TestCase):
    """A server as a process."""

    def _start(self, num_descriptors: int, *, dies: bool) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(
            target=_run, args=(theirs, num_descriptors, dies)
        )
        self.process.start()
        self.addCleanup(self.process.join)
        self.addCleanup(self.process.kill)
        self.port = self.pipe.recv()

    def _connect(self) -> raw_client.RawClient:
        client = raw_client.RawClient.connect(self.port)
        self.addCleanup(client.close)
        client.greet()
        return client

    def test_end_of_the_event_thread_is_the_end_of_the_process(self) -> None:
        """A server that listens and never answers would be worse."""
        self._start(0, dies=True)
        client = self._connect()
        client.wait_for_end()
        self.process.join(60)
        self.assertEqual(self.process.exitcode, 70)

    def test_server_without_descriptors_goes_on_when_it_has_some(self) -> None:
        """Clients wait meanwhile, and those who are in are served."""
        self._start(48, dies=False)
        first = self._connect()
        first.settle()
        clients = [self._connect() for _ in range(64)]
        first.settle()
        self.assertFalse(first.is_over)
        for client in clients[:-1]:
            client.close()
        last = clients[-1]
        last.send(raw_client.request(1, _ECHO, b"x"))
        self.assertEqual(last.answer(1).data, message_frame.frame(b"x"))
        self.pipe.send("stop")
        self.process.join(60)
        self.assertEqual(self.process.exitcode, 0)


if __name__ == "__main__":
    absltest.main()
