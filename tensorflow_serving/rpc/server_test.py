"""Tests for server, over real channels."""

import collections
import concurrent.futures
import threading
from typing import Any

import grpc
from absl.testing import absltest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import (
    echo_pb2,
    echo_pb2_grpc,
    grpcio_lane,
    lane,
    wire_lane,
)
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_NAME = "tensorflow.serving.test.EchoService"


class _Echo:
    """Echoes texts; some texts have an effect."""

    def __init__(self) -> None:
        self.started = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.num_finished = 0
        self._lock = threading.Lock()

    def echo(self, request: echo_pb2.EchoRequest) -> echo_pb2.EchoResponse:
        """Fails, waits, or echoes."""
        if request.text == "refuse":
            raise errors.ResourceExhaustedError("no more echoes")
        if request.text == "fail":
            raise ZeroDivisionError("secret")
        if request.text == "wait":
            self.started.release()
            self.go_on.wait()
        with self._lock:
            self.num_finished += 1
        return echo_pb2.EchoResponse(text=request.text)


def _service(echo: _Echo) -> call_lib.Service:
    return call_lib.Service(
        echo_pb2.DESCRIPTOR.services_by_name["EchoService"],
        {"Echo": echo.echo},
    )


class ServerTest(absltest.TestCase):
    """A gRPC server with an echo service on four threads, in the wire lane."""

    lane_class: type[lane.Lane] = wire_lane.WireLane

    def setUp(self) -> None:
        """Starts the server and a channel to it."""
        super().setUp()
        self.echo = _Echo()
        self.addCleanup(self.echo.go_on.set)
        self.server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0",
                [_service(self.echo)],
                server_lib.Options(num_threads=4),
                self.lane_class,
            )
        )
        self.server.start()
        self.address = f"127.0.0.1:{self.server.port}"
        self.channel = self.enter_context(grpc.insecure_channel(self.address))
        self.stub = echo_pb2_grpc.EchoServiceStub(self.channel)

    def _call(self, text: str) -> Any:
        return self.stub.Echo.future(
            echo_pb2.EchoRequest(text=text), timeout=60
        )

    def _check(self, call: Any, code: str, text: str = ".*") -> None:
        self.assertEqual(call.code(), grpc.StatusCode[code])
        self.assertRegex(call.details(), text)

    def _wait_for_arrival(self) -> None:
        """Returns once what was sent so far has reached the server.

        Calls of a channel arrive in order, and an unknown method is answered
        without a thread.
        """
        probe = self.channel.unary_unary("/no.Service/Method")
        self._check(probe.future(b"", timeout=60), "UNIMPLEMENTED")

    def test_method_answers(self) -> None:
        """The response of the method comes back."""
        self.assertEqual(self._call("hello").result().text, "hello")

    def test_error_of_a_method_keeps_code_and_text(self) -> None:
        """An error of this project is for the client."""
        self._check(
            self._call("refuse"), "RESOURCE_EXHAUSTED", "^no more echoes$"
        )

    def test_unexpected_error_is_internal_and_logged_once(self) -> None:
        """Its text is for the log only; the server goes on."""
        with self.assertLogs(level="ERROR") as log:
            self._check(self._call("fail"), "INTERNAL", "^((?!secret).)*$")
        self.assertEqual(len(log.output), 1)
        self.assertIn("secret", log.output[0])
        self.assertEqual(self._call("hello").result().text, "hello")

    def test_garbage_is_an_invalid_argument(self) -> None:
        """The fault is the caller's."""
        call = self.channel.unary_unary(f"/{_NAME}/Echo").future(
            b"\xff\xff\xff", timeout=60
        )
        self._check(
            call,
            "INVALID_ARGUMENT",
            "must be a tensorflow.serving.test.EchoRequest; got 3 bytes",
        )

    def test_unknown_method_is_unimplemented(self) -> None:
        """A method that only the proto has is unimplemented as well."""
        for path in (f"/{_NAME}/Unserved", "/no.Service/Method"):
            call = self.channel.unary_unary(path).future(b"", timeout=60)
            self._check(call, "UNIMPLEMENTED")

    def test_reflection_names_the_services(self) -> None:
        """Tools such as grpcurl find what they need."""
        reflection = ProtoReflectionDescriptorDatabase(self.channel)
        self.assertIn(_NAME, reflection.get_services())
        self.assertIn("grpc.health.v1.Health", reflection.get_services())

    def test_health_is_answered_while_all_threads_are_busy(self) -> None:
        """A busy server is not a dead one."""
        calls = [self._call("wait") for _ in range(9)]
        for _ in range(4):
            self.echo.started.acquire()
        response = health_pb2_grpc.HealthStub(self.channel).Check(
            health_pb2.HealthCheckRequest(service=_NAME), timeout=60
        )
        self.assertEqual(
            response.status, health_pb2.HealthCheckResponse.SERVING
        )
        self.echo.go_on.set()
        for call in calls:
            self.assertEqual(call.result().text, "wait")

    def test_thousands_of_calls_at_once_are_all_answered(self) -> None:
        """They wait their turn, in gRPC and in the server."""
        calls = [self._call("hello") for _ in range(5000)]
        codes = collections.Counter(call.code() for call in calls)
        self.assertEqual(codes, {grpc.StatusCode.OK: 5000})

    def test_call_whose_caller_is_gone_is_not_started(self) -> None:
        """Four calls run, the fifth is cancelled while it waits."""
        calls = [self._call("wait") for _ in range(4)]
        for _ in range(4):
            self.echo.started.acquire()
        cancelled = self._call("hello")
        self._wait_for_arrival()
        self.assertTrue(cancelled.cancel())
        self._wait_for_arrival()
        self.echo.go_on.set()
        for call in calls:
            call.result()
        self.assertEqual(self._call("last").result().text, "last")
        self.assertEqual(self.echo.num_finished, 5)

    def test_port_in_use_is_an_error(self) -> None:
        """The two servers do not share it; the first one goes on."""
        with self.assertRaisesRegex(
            errors.UnavailableError, f"must be free.*; got {self.address}"
        ):
            server_lib.Server(
                self.address,
                [_service(self.echo)],
                lane_class=self.lane_class,
            )
        self.assertEqual(self._call("hello").result().text, "hello")

    def test_stop_finishes_what_was_accepted(self) -> None:
        """Running calls and those that wait for a thread are finished."""
        calls = [self._call("wait") for _ in range(9)]
        for _ in range(4):
            self.echo.started.acquire()
        self._wait_for_arrival()
        stopper = threading.Thread(target=self.server.stop, args=(60,))
        stopper.start()
        self.echo.go_on.set()
        for call in calls:
            self.assertEqual(call.result().text, "wait")
        stopper.join()
        refused = self.stub.Echo.future(
            echo_pb2.EchoRequest(text="late"), timeout=60
        )
        self._check(refused, "UNAVAILABLE")

    def test_calls_during_a_stop_are_refused(self) -> None:
        """New calls get UNAVAILABLE while a stop waits for an older one."""
        first = self._call("wait")
        self.echo.started.acquire()
        stopper = threading.Thread(target=self.server.stop, args=(60,))
        stopper.start()
        code = grpc.StatusCode.OK
        while code is grpc.StatusCode.OK:
            code = self._call("hello").code()
        self.assertIs(code, grpc.StatusCode.UNAVAILABLE)
        self.echo.go_on.set()
        stopper.join()
        self.assertEqual(first.result().text, "wait")

    def test_stop_aborts_what_outlasts_the_grace(self) -> None:
        """A hanging method does not keep the server, which says so."""
        call = self._call("wait")
        self.echo.started.acquire()
        self.assertFalse(self.server.stop(0.01))
        self.assertIsNotNone(call.exception())

    def test_stop_of_an_idle_server_needs_no_grace(self) -> None:
        """Nothing is left to finish; a second stop is no error."""
        self.assertEqual(self._call("hello").result().text, "hello")
        self.assertTrue(self.server.stop(0))
        self.assertTrue(self.server.stop(0))

    def test_server_without_services_serves_health_and_stops(self) -> None:
        """It has methods of its own."""
        with server_lib.Server(
            "127.0.0.1:0", [], lane_class=self.lane_class
        ) as empty:
            empty.start()
            with grpc.insecure_channel(f"127.0.0.1:{empty.port}") as channel:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=60
                )
            self.assertEqual(
                answer.status, health_pb2.HealthCheckResponse.SERVING
            )
            self.assertTrue(empty.stop(60))

    def test_no_answer_is_lost_by_a_stop_under_load(self) -> None:
        """Every call that the method finished was answered with OK."""
        codes: collections.Counter[grpc.StatusCode] = collections.Counter()
        lock = threading.Lock()
        enough = threading.Event()

        def load() -> None:
            code = grpc.StatusCode.OK
            while code is grpc.StatusCode.OK:
                code = self._call("x").code()
                with lock:
                    codes[code] += 1
                    if sum(codes.values()) > 500:
                        enough.set()

        with concurrent.futures.ThreadPoolExecutor(16) as clients:
            loads = [clients.submit(load) for _ in range(16)]
            enough.wait()
            self.server.stop(60)
            for each in loads:
                each.result()
        self.assertEqual(codes[grpc.StatusCode.OK], self.echo.num_finished)
        self.assertEqual(
            set(codes), {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        )


class GrpcioLaneServerTest(ServerTest):
    """The same, with the server of grpcio."""

    lane_class = grpcio_lane.GrpcioLane


if __name__ == "__main__":
    absltest.main()
