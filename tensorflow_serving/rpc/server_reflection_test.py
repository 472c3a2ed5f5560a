"""Tests for reflection as a server serves it, over real channels."""

import threading
from collections.abc import Sequence
from typing import Any

import grpc
from absl.testing import absltest, parameterized
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from tensorflow_serving.rpc import (
    echo_service,
    grpcio_lane,
    h2_client,
    lane,
    wire_lane,
)
from tensorflow_serving.rpc import server as server_lib

_SECONDS = 60.0
# Any: the module of the messages has no types.
_Request: Any = reflection_pb2.ServerReflectionRequest
_Response: Any = reflection_pb2.ServerReflectionResponse

# Both versions have the same messages.
_each_version = parameterized.parameters(
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)


class _ReflectionTestCase(parameterized.TestCase):
    """A server with an echo service, and a channel to it."""

    lane_class: type[lane.Lane] = wire_lane.WireLane

    def setUp(self) -> None:
        """Starts the server."""
        super().setUp()
        self.server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0",
                [echo_service.EchoService().service()],
                lane_class=self.lane_class,
            )
        )
        self.server.start()
        self.channel = self.enter_context(
            grpc.insecure_channel(f"127.0.0.1:{self.server.port}")
        )

    def _ask(self, service: str, requests: Sequence[Any]) -> Sequence[Any]:
        """Returns the answers to requests, which are sent at once."""
        info = self.channel.stream_stream(
            f"/{service}/ServerReflectionInfo",
            _Request.SerializeToString,
            _Response.FromString,
        )
        return list(info(iter(requests), timeout=_SECONDS))


class ReflectionTest(_ReflectionTestCase):
    """Tests of the answers to clients that ask for the services."""

    @_each_version
    def test_services_are_listed(self, service: str) -> None:
        """Health and reflection are among them."""
        (response,) = self._ask(service, [_Request(list_services="*")])
        self.assertCountEqual(
            [each.name for each in response.list_services_response.service],
            [
                echo_service.NAME,
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
            ],
        )

    @_each_version
    def test_each_service_has_its_file(self, service: str) -> None:
        """A tool can find out about all that is listed."""
        (listed,) = self._ask(service, [_Request(list_services="*")])
        names = [each.name for each in listed.list_services_response.service]
        responses = self._ask(
            service, [_Request(file_containing_symbol=name) for name in names]
        )
        for name, response in zip(names, responses, strict=True):
            data = response.file_descriptor_response.file_descriptor_proto[0]
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            package, _, short_name = name.rpartition(".")
            self.assertEqual(file.package, package)
            self.assertIn(short_name, [each.name for each in file.service])
            for method in file.service[0].method:
                self.assertTrue(method.input_type.startswith(f".{package}."))

    @_each_version
    def test_many_requests_may_be_sent_at_once(self, service: str) -> None:
        """The answers come in the order of the requests."""
        path = "tensorflow_serving/rpc/echo.proto"
        requests = [
            _Request(host=str(number), file_by_filename=path)
            for number in range(200)
        ]
        responses = self._ask(service, requests)
        self.assertEqual(
            [response.original_request for response in responses], requests
        )

    @_each_version
    def test_unknown_names_are_not_found(self, service: str) -> None:
        """That is an answer, and the call goes on."""
        responses = self._ask(
            service,
            [
                _Request(file_containing_symbol="no.Such"),
                _Request(file_by_filename="no/such.proto"),
            ],
        )
        self.assertEqual(
            [response.error_response.error_code for response in responses],
            [grpc.StatusCode.NOT_FOUND.value[0]] * 2,
        )

    @_each_version
    def test_garbage_is_an_invalid_argument(self, service: str) -> None:
        """The fault is the caller's."""
        info = self.channel.stream_stream(f"/{service}/ServerReflectionInfo")
        call: Any = info(iter([b"\xff\xff\xff"]), timeout=_SECONDS)
        self.assertIs(call.code(), grpc.StatusCode.INVALID_ARGUMENT)

    @_each_version
    def test_open_call_does_not_hold_up_a_stop(self, service: str) -> None:
        """It ends without an error."""
        with h2_client.H2Client(self.server.port) as client:
            stream_id = client.begin(f"/{service}/ServerReflectionInfo")
            request = _Request(list_services="*").SerializeToString()
            client.send(stream_id, h2_client.message(request))
            client.messages(stream_id, 1)
            stopper = threading.Thread(
                target=self.server.stop, args=(_SECONDS,)
            )
            stopper.start()
            self.assertEqual(client.response(stream_id).code, 0)
            client.receive_to_the_end()
            stopper.join()


class WireLaneReflectionTest(_ReflectionTestCase):
    """The limits that the server of grpcio has elsewhere."""

    def test_caller_that_asks_and_does_not_read_is_refused(self) -> None:
        """A caller that sends requests without reading replies is refused."""
        request = _Request(list_services="*").SerializeToString()
        with h2_client.H2Client(self.server.port, window_bytes=1) as client:
            stream_id = client.begin(
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
            )
            for _ in range(40):
                client.send(stream_id, h2_client.message(request) * 100)
            client.ping()  # all of them have been handled
            client.widen(1 << 24)
            self.assertEqual(
                client.response(stream_id).code,
                grpc.StatusCode.RESOURCE_EXHAUSTED.value[0],
            )


class GrpcioLaneReflectionTest(ReflectionTest):
    """The same, with the server of grpcio."""

    lane_class = grpcio_lane.GrpcioLane


if __name__ == "__main__":
    absltest.main()
