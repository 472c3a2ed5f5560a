"""Tests for server with calls of several messages, in both lanes."""

import threading
from typing import Any

import grpc
from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    echo_pb2,
    grpcio_lane,
    h2_client,
    lane,
    puppet_chat,
    wire_lane,
)
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
_CHAT = f"/{_SERVICE.full_name}/Chat"
_SECONDS = 60.0
# Messages of 1 MiB that fill all buffers between a server and a client that
# does not read.
_MANY_MESSAGES = 64


class ServerStreamTest(parameterized.TestCase):
    """A server whose method does what the test says, in the wire lane."""

    lane_class: type[lane.Lane] = wire_lane.WireLane

    def setUp(self) -> None:
        """Starts the server and a channel to it."""
        super().setUp()
        self.chat = puppet_chat.PuppetChat()
        self.server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0",
                [
                    call_lib.Service(
                        _SERVICE,
                        stream_methods={"Chat": self.chat.begin},
                        when_idle=self.chat.when_idle,
                    )
                ],
                lane_class=self.lane_class,
            )
        )
        self.server.start()
        self.channel = self.enter_context(
            grpc.insecure_channel(f"127.0.0.1:{self.server.port}")
        )

    def _begin(self, **kwargs: Any) -> tuple[puppet_chat.Requests, Any]:
        """Returns the requests and the responses of a new call."""
        requests = puppet_chat.Requests()
        self.addCleanup(requests.end)
        chat = self.channel.stream_stream(_CHAT)
        return requests, chat(requests, **{"timeout": _SECONDS, **kwargs})

    def _check(self, call: Any, code: str, text: str = ".*") -> None:
        self.assertEqual(call.code(), grpc.StatusCode[code])
        self.assertRegex(call.details(), text)

    def _news(self) -> bytes | str:
        return self.chat.news.get(timeout=_SECONDS)

    def _wait_for_the_loss(self) -> None:
        """Checks that the service learns that the caller is lost."""
        news = self._news()
        if news == "end":  # see the module of the other lane
            news = self._news()
        self.assertEqual(news, "cancelled")

    def _call(self) -> call_lib.StreamCall:
        return self.chat.calls.get(timeout=_SECONDS)

    def test_messages_go_both_ways_in_order(self) -> None:
        """A service may answer before, between and after requests."""
        requests, responses = self._begin()
        call = self._call()
        call.send(b"hello")
        self.assertEqual(next(responses), b"hello")
        for number in range(5):
            requests.send(b"%d" % number)
            self.assertEqual(self._news(), b"%d" % number)
            call.send(b"re: %d" % number)
            call.send(echo_pb2.EchoResponse(text="message"))
        requests.end()
        self.assertEqual(self._news(), "end")
        call.send(b"bye")
        call.finish()
        message = echo_pb2.EchoResponse(text="message").SerializeToString()
        expected = []
        for number in range(5):
            expected += [b"re: %d" % number, message]
        self.assertEqual(list(responses), [*expected, b"bye"])
        self._check(responses, "OK")

    def test_requests_at_once_are_handed_on_one_by_one(self) -> None:
        """A client need not wait for a response, and messages may be empty."""
        requests, _ = self._begin()
        sent = [b"", b"a", b"b" * 100_000, b"", *[b"c"] * 50]
        for request in sent:
            requests.send(request)
        requests.end()
        self.assertEqual([self._news() for _ in sent], sent)
        self.assertEqual(self._news(), "end")

    def test_large_messages_go_both_ways(self) -> None:
        """Three million bytes are more than any window of HTTP/2."""
        requests, responses = self._begin()
        call = self._call()
        large = bytes(range(250)) * 12_000
        for _ in range(3):
            requests.send(large)
            self.assertEqual(self._news(), large)
            call.send(large)
            self.assertEqual(next(responses), large)

    def test_one_request_may_have_many_responses(self) -> None:
        """A stream of responses needs no stream of requests."""
        stub = self.channel.unary_stream(_CHAT)
        responses = stub(b"count", timeout=_SECONDS)
        call = self._call()
        self.assertEqual([self._news(), self._news()], [b"count", "end"])
        for number in range(100):
            call.send(b"%d" % number)
        call.finish()
        self.assertEqual(list(responses), [b"%d" % n for n in range(100)])

    def test_many_requests_may_have_one_response(self) -> None:
        """A stream of requests needs no stream of responses."""
        stub = self.channel.stream_unary(_CHAT)
        response = stub.future(iter([b"a", b"b"]), timeout=_SECONDS)
        call = self._call()
        self.assertEqual(
            [self._news(), self._news(), self._news()], [b"a", b"b", "end"]
        )
        call.send(b"ab")
        call.finish()
        self.assertEqual(response.result(), b"ab")

    def test_call_may_end_without_a_response(self) -> None:
        """Nothing was asked for, and nothing comes."""
        _, responses = self._begin()
        self._call().finish()
        self.assertEqual(list(responses), [])
        self._check(responses, "OK")

    def test_failure_is_the_end(self) -> None:
        """A call that sent nothing has its code and its text."""
        _, responses = self._begin()
        self._call().fail(errors.DataLossError("gone"))
        self._check(responses, "DATA_LOSS", "^gone$")

    def test_failure_comes_behind_what_was_sent(self) -> None:
        """Responses that were sent before a failure still arrive."""
        _, responses = self._begin()
        call = self._call()
        call.send(b"a")
        call.send(b"b")
        call.fail(errors.DataLossError("gone"))
        self.assertEqual([next(responses), next(responses)], [b"a", b"b"])
        self._check(responses, "DATA_LOSS", "^gone$")

    def test_nothing_follows_the_end(self) -> None:
        """The first end of a call counts, and nothing is sent after it."""
        _, responses = self._begin()
        call = self._call()
        call.send(b"a")
        call.finish([("end", "first")])
        call.send(b"late")
        call.fail(errors.AbortedError("late"))
        call.finish([("end", "second")])
        self.assertEqual(list(responses), [b"a"])
        self.assertFalse(call.is_active)
        self.assertFalse(call.is_writable)
        self._check(responses, "OK")
        self.assertIn(("end", "first"), list(responses.trailing_metadata()))
        self.assertNotIn(("end", "second"), list(responses.trailing_metadata()))

    def test_metadata_go_both_ways(self) -> None:
        """Text and bytes go with calls that succeed and with failures."""
        sent: call_lib.Metadata = [
            ("color", "green"),
            ("color-bin", bytes(range(256))),
        ]
        for fails in (False, True):
            _, responses = self._begin(metadata=sent)
            call = self._call()
            self.assertLessEqual(set(sent), set(call.metadata))
            if fails:
                call.fail(errors.AbortedError("no"), sent)
            else:
                call.finish(sent)
            self.assertLessEqual(set(sent), set(responses.trailing_metadata()))

    def test_what_a_method_raises_is_the_end(self) -> None:
        """An error of this project reaches the caller, others only the log."""
        _, responses = self._begin(metadata=[("mood", "bad")])
        self._check(responses, "NOT_FOUND", "^no such chat$")
        with self.assertLogs(level="ERROR"):
            _, responses = self._begin(metadata=[("mood", "worse")])
            self._check(responses, "INTERNAL", "^((?!secret).)*$")

    def test_what_a_callback_raises_is_the_end(self) -> None:
        """An error of this project reaches the caller, others only the log."""
        requests, responses = self._begin()
        requests.send(b"raise")
        self._check(responses, "ABORTED", "^enough$")
        with self.assertLogs(level="ERROR"):
            requests, responses = self._begin()
            requests.send(b"break")
            self._check(responses, "INTERNAL", "^((?!secret).)*$")

    def test_service_learns_that_a_caller_left(self) -> None:
        """A cancel and a timeout both reach the service, once."""
        for leave in (True, False):
            _, responses = self._begin(timeout=_SECONDS if leave else 0.5)
            call = self._call()
            if leave:
                responses.cancel()
            self._wait_for_the_loss()
            self.assertFalse(call.is_active)
            self.assertFalse(call.is_writable)
            call.send(b"late")
            call.finish()
            self._check(
                responses, "CANCELLED" if leave else "DEADLINE_EXCEEDED"
            )

    def test_methods_and_callbacks_share_one_thread(self) -> None:
        """A service of the event thread needs no lock for its own state."""
        for _ in range(3):
            requests, responses = self._begin()
            call = self._call()
            requests.send(b"a")
            requests.end()
            self.assertEqual([self._news(), self._news()], [b"a", "end"])
            call.finish()
            self.assertEqual(list(responses), [])
        self.assertEqual(len(self.chat.threads), 1)

    def _send_until_unwritable(self, call: call_lib.StreamCall) -> int:
        """Returns how many messages that took."""
        chunk = bytes(1 << 20)
        num_messages = 0
        with h2_client.H2Client(self.server.port) as bystander:
            while call.is_writable:
                self.assertLess(num_messages, _MANY_MESSAGES)
                call.send(chunk)
                num_messages += 1
                # This is answered on the same thread, after that was sent.
                bystander.response(bystander.call("/no.Service/Method"))
        return num_messages

    @parameterized.named_parameters(
        ("window", 1 << 16), ("socket", _MANY_MESSAGES << 20)
    )
    def test_call_is_unwritable_while_what_it_sent_is_not_read(
        self, window_bytes: int
    ) -> None:
        """A service that stops sending then is called back to go on."""
        with h2_client.H2Client(
            self.server.port, window_bytes=window_bytes
        ) as client:
            stream_id = client.call(_CHAT)
            call = self._call()
            self.assertEqual([self._news(), self._news()], [b"", "end"])
            num_messages = self._send_until_unwritable(call)
            client.widen(_MANY_MESSAGES << 20)
            client.messages(stream_id, num_messages)
            self.assertTrue(self.chat.writable.acquire(timeout=_SECONDS))
            self.assertEqual(len(self.chat.threads), 1)
            self.assertTrue(call.is_writable)
            call.finish()
            response = client.response(stream_id)
            self.assertEqual(response.code, 0)
            self.assertEqual(len(response.messages), num_messages)

    def test_what_on_writable_raises_is_the_end(self) -> None:
        """The call ends, and the server goes on."""

        def break_down() -> None:
            raise ZeroDivisionError("secret")

        with (
            h2_client.H2Client(
                self.server.port, window_bytes=1 << 16
            ) as client,
            self.assertLogs(level="ERROR"),
        ):
            stream_id = client.call(_CHAT)
            call = self._call()
            call.on_writable = break_down
            self._send_until_unwritable(call)
            client.widen(_MANY_MESSAGES << 20)
            self.assertEqual(client.response(stream_id).code, 13)  # INTERNAL
        _, responses = self._begin()
        self._call().finish()
        self._check(responses, "OK")

    def test_calls_are_asked_to_end_when_the_server_stops(self) -> None:
        """A stop asks calls to end, and waits until they have."""
        _, responses = self._begin()
        call = self._call()
        stopper = threading.Thread(target=self.server.stop, args=(_SECONDS,))
        stopper.start()
        self.assertEqual(self._news(), "drain")
        self.assertTrue(call.is_active)
        call.send(b"bye")
        call.finish()
        self.assertEqual(list(responses), [b"bye"])
        self._check(responses, "OK")
        stopper.join()

    def test_call_that_outlasts_the_grace_is_aborted(self) -> None:
        """The server says that not all went well, and the service learns it."""
        _, responses = self._begin()
        call = self._call()
        self.assertFalse(self.server.stop(0.01))
        self.assertEqual(self._news(), "drain")
        self._wait_for_the_loss()
        self.assertFalse(call.is_active)
        self.assertIsNot(responses.code(), grpc.StatusCode.OK)

    def test_service_may_work_when_no_call_is_at_hand(self) -> None:
        """The hook runs after the callbacks of a call, and its beginning."""
        requests, responses = self._begin()
        call = self._call()
        self.chat.on_idle = lambda: call.send(b"idle")
        requests.send(b"a")
        self.assertEqual(next(responses), b"idle")
        self.chat.on_idle = call.finish
        requests.end()
        self._check(responses, "OK")

    def test_failure_when_no_call_is_at_hand_is_logged(self) -> None:
        """The service is called again for the next call."""

        def break_down() -> None:
            raise ZeroDivisionError("secret")

        requests, responses = self._begin()
        call = self._call()
        with self.assertLogs(level="ERROR"):
            self.chat.on_idle = break_down
            requests.send(b"a")
            self.assertEqual(self._news(), b"a")
            # It begins after the work that fails.
            _, other = self._begin()
            self._call()
            other.cancel()
        self.chat.on_idle = call.finish
        requests.send(b"b")
        self._check(responses, "OK")

    def test_answers_may_come_from_any_thread(self) -> None:
        """The order is that of the thread."""
        _, responses = self._begin()
        call = self._call()
        for number in range(20):
            thread = threading.Thread(target=call.send, args=(b"%d" % number,))
            thread.start()
            thread.join()
        thread = threading.Thread(target=call.finish)
        thread.start()
        thread.join()
        self.assertEqual(list(responses), [b"%d" % n for n in range(20)])


class WireLaneServerStreamTest(absltest.TestCase):
    """The promises that only the wire lane keeps."""

    def test_call_becomes_writable_once(self) -> None:
        """A service that sends more than it should is called back once."""
        chat = puppet_chat.PuppetChat()
        service = call_lib.Service(
            _SERVICE, stream_methods={"Chat": chat.begin}
        )
        with server_lib.Server("127.0.0.1:0", [service]) as server:
            server.start()
            with h2_client.H2Client(
                server.port, window_bytes=1 << 16
            ) as client:
                stream_id = client.call(_CHAT)
                call = chat.calls.get(timeout=_SECONDS)
                for _ in range(10):
                    call.send(bytes(1 << 17))
                client.ping()
                client.widen(_MANY_MESSAGES << 20)
                client.messages(stream_id, 10)
                self.assertTrue(chat.writable.acquire(timeout=_SECONDS))
                client.ping()
                self.assertFalse(chat.writable.acquire(blocking=False))

    def test_endless_call_does_not_hold_up_others(self) -> None:
        """A service that sends whenever it may leaves time for other calls."""

        def flood(call: call_lib.StreamCall) -> None:
            def send() -> None:
                while call.is_writable:
                    call.send(bytes(1 << 16))

            call.on_requests_end = call.on_writable = send

        service = call_lib.Service(_SERVICE, stream_methods={"Chat": flood})
        with server_lib.Server("127.0.0.1:0", [service]) as server:
            server.start()
            with (
                h2_client.H2Client(server.port) as greedy,
                h2_client.H2Client(server.port) as modest,
            ):
                stream_id = greedy.call(_CHAT)
                reader = threading.Thread(
                    target=greedy.messages, args=(stream_id, 1000)
                )
                reader.start()
                for _ in range(20):
                    modest.ping()
                reader.join()


class GrpcioLaneServerStreamTest(ServerStreamTest):
    """The same, with the server of grpcio."""

    lane_class = grpcio_lane.GrpcioLane


if __name__ == "__main__":
    absltest.main()
