"""Tests for health, over a real channel."""

import grpc
from absl.testing import absltest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tensorflow_serving.rpc import (
    grpcio_lane,
    health,
    lane,
    options,
    wire_lane,
)

_Request = health_pb2.HealthCheckRequest
_Response = health_pb2.HealthCheckResponse


class HealthTest(absltest.TestCase):
    """The standard gRPC health service."""

    lane_class: type[lane.Lane] = wire_lane.WireLane

    def setUp(self) -> None:
        """Starts a lane with nothing but a health service."""
        super().setUp()
        self.health = health.Health(["a.Service"])
        service = self.health.service()
        self.lane = self.lane_class(
            lane.Methods(
                {service.path("Check"): service.async_methods["Check"]},
                {service.path("Watch"): service.stream_methods["Watch"]},
            ),
            options.Options(),
        )
        port = self.lane.listen("127.0.0.1:0")
        self.lane.start()
        self.addCleanup(self.lane.stop, 0)
        self.channel = self.enter_context(
            grpc.insecure_channel(f"127.0.0.1:{port}")
        )
        self.stub = health_pb2_grpc.HealthStub(self.channel)

    def _check(self, name: str) -> int:
        response = self.stub.Check(_Request(service=name), timeout=60)
        return int(response.status)

    def test_check_answers_for_each_name(self) -> None:
        """The health is NOT_SERVING, SERVING, NOT_SERVING for both names."""
        for name in ("", "a.Service"):
            self.assertEqual(self._check(name), _Response.NOT_SERVING)
        self.health.set_serving()
        for name in ("", "a.Service"):
            self.assertEqual(self._check(name), _Response.SERVING)
        self.health.drain()
        self.health.set_serving()  # too late
        for name in ("", "a.Service"):
            self.assertEqual(self._check(name), _Response.NOT_SERVING)

    def test_unknown_name_is_not_found(self) -> None:
        """An unknown name is NOT_FOUND, as the protocol requires."""
        with self.assertRaises(grpc.RpcError) as caught:
            self._check("no.Service")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_watch_is_told_of_the_end_and_ends(self) -> None:
        """A watch does not keep a server that wants to stop."""
        watch = self.stub.Watch(_Request(service="a.Service"), timeout=60)
        states = [next(watch).status]
        self.health.set_serving()
        states.append(next(watch).status)
        self.health.drain()
        states.append(next(watch).status)
        self.assertTrue(self.lane.stop(60))
        self.assertEqual(list(watch), [])
        self.assertEqual(
            states,
            [
                _Response.NOT_SERVING,
                _Response.SERVING,
                _Response.NOT_SERVING,
            ],
        )
        self.assertEqual(watch.code(), grpc.StatusCode.OK)

    def test_watch_of_an_unknown_name_waits_for_it(self) -> None:
        """A watch may come before its service, and is not an error."""
        watch = self.stub.Watch(_Request(service="no.Service"), timeout=60)
        self.assertEqual(next(watch).status, _Response.SERVICE_UNKNOWN)

    def test_watches_that_come_and_go_disturb_nobody(self) -> None:
        """Each change of state reaches those who stay."""
        stays = self.stub.Watch(_Request(service="a.Service"), timeout=60)
        self.assertEqual(next(stays).status, _Response.NOT_SERVING)
        for _ in range(50):
            watch = self.stub.Watch(_Request(service="a.Service"), timeout=60)
            next(watch)
            watch.cancel()
        self.health.set_serving()
        self.assertEqual(next(stays).status, _Response.SERVING)


class GrpcioLaneHealthTest(HealthTest):
    """The same, with the server of grpcio."""

    lane_class = grpcio_lane.GrpcioLane


if __name__ == "__main__":
    absltest.main()
