"""Tests for grpc_transport, with a real gRPC server in this process."""

import threading

from absl.testing import absltest

from tensorflow_serving.benchmarks import (
    call_driver,
    grpc_transport,
    workload,
)
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors


def _classify(
    request: mnist_inference_pb2.MnistRequest,
) -> mnist_inference_pb2.MnistResponse:
    if len(request.image_data) != 784:
        raise errors.InvalidArgumentError("no image")
    return mnist_inference_pb2.MnistResponse(value=request.image_data[:10])


class GrpcTransportTest(absltest.TestCase):
    """Calls on channels."""

    def _serve(
        self, method: call_lib.BlockingMethod = _classify
    ) -> server_lib.Server:
        service = call_lib.Service(
            mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"],
            {"Classify": method},
        )
        server = server_lib.Server(
            "127.0.0.1:0", [service], server_lib.Options(num_threads=2)
        )
        self.enter_context(server)
        server.start()
        return server

    def _connect(
        self,
        server: server_lib.Server,
        num_connections: int = 1,
        method: str = workload.CLASSIFY,
        asks_timing: bool = False,
    ) -> grpc_transport.GrpcTransport:
        transport = grpc_transport.GrpcTransport(
            f"127.0.0.1:{server.port}",
            method,
            num_connections=num_connections,
            deadline_seconds=60.0,
            asks_timing=asks_timing,
        )
        self.enter_context(transport)
        return transport

    def _wait_for(
        self, transport: grpc_transport.GrpcTransport, number: int
    ) -> list[call_driver.Ended]:
        ended: list[call_driver.Ended] = []
        while len(ended) < number:
            ended += transport.poll(60.0)
        return sorted(ended, key=lambda each: each.call)

    def test_calls_are_answered(self) -> None:
        """Calls beyond the window of each connection are answered, too."""
        images = workload.random_images(200, seed=0)
        work = workload.classify(workload.ScoredImages(images, images[:, :10]))
        transport = self._connect(self._serve(), num_connections=3)
        for call, request in enumerate(work.requests):
            transport.start(call, request)
        ended = self._wait_for(transport, 200)
        self.assertEqual([each.call for each in ended], list(range(200)))
        answers = [each.message for each in ended]
        self.assertTrue(work.are_right(range(200), answers).all())

    def test_errors_have_their_status(self) -> None:
        """A call has the status of the service, or of gRPC itself."""
        server = self._serve()
        transport = self._connect(server)
        unknown = self._connect(server, method="/a.B/C")
        transport.start(0, b"")
        unknown.start(0, b"")
        (ended,) = self._wait_for(transport, 1)
        self.assertEqual(ended.code, errors.StatusCode.INVALID_ARGUMENT)
        (ended,) = self._wait_for(unknown, 1)
        self.assertEqual(ended.code, errors.StatusCode.UNIMPLEMENTED)

    def test_poll_ends_after_its_time(self) -> None:
        """poll() returns after its time, and a cancelled call does not end."""
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def hang(request: object) -> mnist_inference_pb2.MnistResponse:
            go_on.wait()
            return mnist_inference_pb2.MnistResponse()

        transport = self._connect(self._serve(hang))
        transport.start(0, b"")
        self.assertFalse(transport.poll(0.01))
        transport.cancel(0)
        go_on.set()
        transport.start(1, b"")
        (ended,) = self._wait_for(transport, 1)
        self.assertEqual(ended.call, 1)

    def test_server_that_goes_fails_the_calls(self) -> None:
        """Calls to a server that has gone fail with UNAVAILABLE."""
        server = self._serve()
        transport = self._connect(server)
        server.stop(0)
        transport.start(0, b"")
        (ended,) = self._wait_for(transport, 1)
        self.assertEqual(ended.code, errors.StatusCode.UNAVAILABLE)

    def test_server_that_is_not_there_is_an_error(self) -> None:
        """A server that cannot be reached is an error with its address."""
        with self.assertRaisesRegex(errors.UnavailableError, "127.0.0.1:1"):
            grpc_transport.GrpcTransport(
                "127.0.0.1:1",
                "/a.B/C",
                num_connections=1,
                deadline_seconds=1.0,
                connect_seconds=0.1,
            )


if __name__ == "__main__":
    absltest.main()
