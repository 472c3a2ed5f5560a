"""Tests for server with methods that answer later, in both lanes."""

import concurrent.futures
import math
import os
import queue
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

import grpc
from absl.testing import absltest

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    echo_pb2,
    grpcio_lane,
    lane,
    wire_lane,
)
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.test_util import certificates
from tensorflow_serving.util import errors

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
_DEFAULTS = server_lib.Options()
_ECHO = f"/{_SERVICE.full_name}/Echo"


class _Later:
    """Keeps its calls for the test; some texts have an effect at once."""

    def __init__(self) -> None:
        self.calls: queue.Queue[call_lib.Call] = queue.Queue()
        self.num_arrived = 0
        # The number of calls that had come, for each time of being idle.
        self.idle: queue.Queue[int] = queue.Queue()

    def begin(self, call: call_lib.Call) -> None:
        """Begins a call."""
        self.num_arrived += 1
        if call.request == b"refuse":
            raise errors.NotFoundError("no such echo")
        if call.request == b"fail":
            raise ZeroDivisionError("secret")
        if call.request == b"at once":
            call.reply(b"done")
            return
        self.calls.put(call)

    def when_idle(self) -> None:
        """Records the event."""
        self.idle.put(self.num_arrived)


class ServerAsyncTest(absltest.TestCase):
    """A server whose method answers when the test says so."""

    lane_class: type[lane.Lane] = wire_lane.WireLane

    def _start(
        self,
        address: str = "127.0.0.1:0",
        options: server_lib.Options = _DEFAULTS,
        others: Sequence[call_lib.Service] = (),
    ) -> server_lib.Server:
        self.later = _Later()
        service = call_lib.Service(
            _SERVICE,
            async_methods={"Echo": self.later.begin},
            when_idle=self.later.when_idle,
        )
        server: server_lib.Server = self.enter_context(
            server_lib.Server(
                address, [*others, service], options, self.lane_class
            )
        )
        server.start()
        return server

    def _client(self, address: str, **kwargs: Any) -> Any:
        """Returns a function that begins a call with bytes."""
        channel = self.enter_context(
            grpc.secure_channel(address, **kwargs)
            if kwargs
            else grpc.insecure_channel(address)
        )
        echo = channel.unary_unary(_ECHO)

        def call(request: bytes, **kwargs: Any) -> Any:
            return echo.future(request, **{"timeout": 60, **kwargs})

        return call

    def _begin(self, options: server_lib.Options = _DEFAULTS) -> Any:
        self.server = self._start(options=options)
        return self._client(f"127.0.0.1:{self.server.port}")

    def _check(self, call: Any, code: str, text: str = ".*") -> None:
        self.assertEqual(call.code(), grpc.StatusCode[code])
        self.assertRegex(call.details(), text)

    def test_reply_may_come_from_any_thread(self) -> None:
        """Replies are bytes or messages, in another order than the calls."""
        client = self._begin()
        calls = [client(b"%d" % number) for number in range(10)]
        begun = [self.later.calls.get() for _ in calls]
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            for call in reversed(begun):
                threads.submit(call.reply, b"re: " + call.request)
        self.assertEqual(
            [call.result() for call in calls],
            [b"re: %d" % number for number in range(10)],
        )
        message = echo_pb2.EchoResponse(text="message")
        call = client(b"last")
        self.later.calls.get().reply(message)
        self.assertEqual(call.result(), message.SerializeToString())

    def test_metadata_go_both_ways(self) -> None:
        """Metadata come with the call, and go with the reply."""
        client = self._begin()
        call = client(b"x", metadata=[("color", "green")])
        begun = self.later.calls.get()
        self.assertIn(("color", "green"), list(begun.metadata))
        begun.reply(b"y", [("mood", "good")])
        self.assertIn(("mood", "good"), list(call.trailing_metadata()))
        call = client(b"x")
        self.later.calls.get().fail(
            errors.AbortedError("no"), [("mood", "bad")]
        )
        self._check(call, "ABORTED", "^no$")
        self.assertIn(("mood", "bad"), list(call.trailing_metadata()))

    def test_what_a_method_raises_is_the_reply(self) -> None:
        """A caller gets a ServingError; other exceptions are logged, once."""
        client = self._begin()
        self._check(client(b"refuse"), "NOT_FOUND", "^no such echo$")
        with self.assertLogs(level="ERROR") as log:
            self._check(client(b"fail"), "INTERNAL", "^((?!secret).)*$")
        self.assertEqual(len(log.output), 1)
        self.assertEqual(client(b"at once").result(), b"done")

    def test_first_reply_counts(self) -> None:
        """Replies after the first have no effect on any thread."""
        client = self._begin()
        calls = [client(b"x") for _ in range(100)]
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            for _ in calls:
                begun = self.later.calls.get()
                for answer in (b"a", b"b", b"c"):
                    threads.submit(begun.reply, answer)
                threads.submit(begun.fail, errors.AbortedError("no"))
        for call in calls:
            self.assertIn(
                call.code(), (grpc.StatusCode.OK, grpc.StatusCode.ABORTED)
            )
        self.assertEqual(client(b"at once").result(), b"done")

    def test_deadline_is_that_of_the_caller(self) -> None:
        """The deadline is a monotonic time, infinite if the caller has none."""
        client = self._begin()
        before = time.monotonic()
        calls = [client(b"x", timeout=50)]
        self.assertAlmostEqual(
            self.later.calls.get().deadline, before + 50, delta=10
        )
        calls.append(client(b"x", timeout=None))
        self.assertEqual(self.later.calls.get().deadline, math.inf)

    def test_service_learns_that_a_caller_left(self) -> None:
        """The service learns of a cancel and of a timeout; replies are lost."""
        client = self._begin()
        for leave in (True, False):
            call = client(b"x", timeout=60 if leave else 0.2)
            begun = self.later.calls.get()
            left = threading.Event()
            self.assertTrue(begun.is_active)
            begun.on_cancelled = left.set
            if leave:
                call.cancel()
            left.wait()
            self.assertFalse(begun.is_active)
            begun.reply(b"too late")
            self._check(call, "CANCELLED" if leave else "DEADLINE_EXCEEDED")
        self.assertEqual(client(b"at once").result(), b"done")

    def test_service_is_told_when_no_call_is_at_hand(self) -> None:
        """The service is called after the last call, on the same thread."""
        client = self._begin()
        calls = [client(b"x") for _ in range(20)]
        while self.later.idle.get() < 20:
            pass
        self.assertEqual(self.later.num_arrived, len(calls))

    def test_service_that_fails_when_idle_costs_no_other(self) -> None:
        """The other services learn that no call is at hand all the same."""

        def fail() -> None:
            raise ZeroDivisionError

        server = self._start(
            others=[call_lib.Service(_SERVICE, when_idle=fail)]
        )
        call = self._client(f"127.0.0.1:{server.port}")(b"at once")
        self.assertEqual(call.result(), b"done")
        self.assertEqual(self.later.idle.get(timeout=60), 1)

    def test_calls_beyond_the_limit_are_refused_at_once(self) -> None:
        """A call too many gets RESOURCE_EXHAUSTED; others are not disturbed."""
        client = self._begin(server_lib.Options(max_concurrent_calls=2))
        calls = [client(b"x") for _ in range(2)]
        begun = [self.later.calls.get() for _ in calls]
        self._check(client(b"x"), "RESOURCE_EXHAUSTED", "limit 2")
        for each in begun:
            each.reply(b"y")
        self.assertEqual([call.result() for call in calls], [b"y"] * 2)
        self.assertEqual(client(b"at once").result(), b"done")

    def test_request_beyond_the_limit_is_refused(self) -> None:
        """One byte over the limit gets RESOURCE_EXHAUSTED."""
        client = self._begin(server_lib.Options(max_request_bytes=1000))
        self._check(client(b"x" * 1001), "RESOURCE_EXHAUSTED")
        call = client(b"x" * 1000)
        self.later.calls.get().reply(b"y")
        self.assertEqual(call.result(), b"y")
        self.assertEqual(self.later.num_arrived, 1)

    def test_stop_waits_for_replies(self) -> None:
        """Every call that was begun is answered before stop() returns."""
        client = self._begin()
        calls = [client(b"x") for _ in range(5)]
        begun = [self.later.calls.get() for _ in calls]
        with concurrent.futures.ThreadPoolExecutor(1) as threads:
            stopped = threads.submit(self.server.stop, 60)
            for each in begun:
                each.reply(b"y")
            self.assertTrue(stopped.result())
        self.assertEqual([call.result() for call in calls], [b"y"] * 5)

    def test_stop_aborts_what_has_no_reply_after_the_grace(self) -> None:
        """After the grace calls are aborted; stop() and services report it."""
        client = self._begin()
        call = client(b"x")
        begun = self.later.calls.get()
        left = threading.Event()
        begun.on_cancelled = left.set
        self.assertFalse(self.server.stop(0.01))
        left.wait()
        begun.reply(b"too late")
        self.assertIsNot(call.code(), grpc.StatusCode.OK)

    def test_unix_socket_is_served(self) -> None:
        """A second server on it is an error; a socket left behind is not."""
        # In a folder with a short name: the system allows 107 characters.
        folder = self.enter_context(tempfile.TemporaryDirectory())
        path = os.path.join(folder, "socket")
        server = self._start(f"unix:{path}")
        client = self._client(f"unix:{path}")
        self.assertEqual(client(b"at once").result(), b"done")
        with self.assertRaisesRegex(errors.UnavailableError, "must be free"):
            self._start(f"unix:{path}")
        self.assertEqual(client(b"at once").result(), b"done")
        server.stop(0)
        self._start(f"unix:{path}")
        again = self._client(f"unix:{path}")
        self.assertEqual(
            again(b"at once", wait_for_ready=True).result(), b"done"
        )

    def test_calls_may_be_encrypted(self) -> None:
        """A server with credentials serves TLS, and no other clients."""
        files = certificates.write(self.create_tempdir().full_path)
        server = self._start(
            options=server_lib.Options(
                tls=options_lib.TlsOptions(
                    files.server.key_file, files.server.certificate_file
                )
            )
        )
        address = f"localhost:{server.port}"
        with open(files.ca_file, "rb") as ca:
            credentials = grpc.ssl_channel_credentials(ca.read())
        client = self._client(address, credentials=credentials)
        self.assertEqual(client(b"at once").result(), b"done")
        plain = self._client(address)
        self._check(plain(b"at once"), "UNAVAILABLE")

    def test_processes_may_share_a_port_if_told_so(self) -> None:
        """Two servers listen on one port if both ask for that."""
        options = server_lib.Options(reuse_port=True)
        first = self._start(options=options)
        second = self._start(f"127.0.0.1:{first.port}", options)
        self.assertEqual(first.port, second.port)


class GrpcioLaneServerAsyncTest(ServerAsyncTest):
    """The same, with the server of grpcio."""

    lane_class = grpcio_lane.GrpcioLane


class OptionsTest(absltest.TestCase):
    """The options of a server."""

    def test_options_out_of_range_are_refused(self) -> None:
        """The error names the option and its value."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "num_threads must be at least 1; got 0"
        ):
            server_lib.Options(num_threads=0)


if __name__ == "__main__":
    absltest.main()
