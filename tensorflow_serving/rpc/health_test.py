"""Tests for health, over a real channel."""

import concurrent.futures

import grpc
from absl.testing import absltest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tensorflow_serving.rpc import health

_Request = health_pb2.HealthCheckRequest
_Response = health_pb2.HealthCheckResponse


class HealthTest(absltest.TestCase):
    """The standard gRPC health service."""

    def setUp(self) -> None:
        """Starts a server with a service, and no thread for its calls."""
        super().setUp()
        self.health = health.Health(["a.Service"])
        self.addCleanup(self.health.close)
        busy = concurrent.futures.ThreadPoolExecutor(1)
        release = concurrent.futures.Future[None]()
        busy.submit(release.result)
        server = grpc.server(busy)
        server.add_generic_rpc_handlers([self.health.handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(busy.shutdown)
        self.addCleanup(release.set_result, None)
        self.addCleanup(lambda: server.stop(0).wait())
        channel = self.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        self.stub = health_pb2_grpc.HealthStub(channel)

    def _check(self, name: str) -> int:
        response = self.stub.Check(_Request(service=name), timeout=60)
        return int(response.status)

    def test_check_answers_for_each_name(self) -> None:
        """NOT_SERVING, SERVING, NOT_SERVING, for "" and the service."""
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
        """As the protocol says."""
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
        states += [response.status for response in watch]
        self.assertEqual(
            states,
            [
                _Response.NOT_SERVING,
                _Response.SERVING,
                _Response.NOT_SERVING,
            ],
        )
        self.assertEqual(watch.code(), grpc.StatusCode.OK)

    def test_watch_that_comes_too_late_ends_at_once(self) -> None:
        """With NOT_SERVING."""
        self.health.drain()
        watch = self.stub.Watch(_Request(service="a.Service"), timeout=60)
        states = [response.status for response in watch]
        self.assertEqual(states, [_Response.NOT_SERVING])
        self.assertEqual(watch.code(), grpc.StatusCode.OK)


if __name__ == "__main__":
    absltest.main()
