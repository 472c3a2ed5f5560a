"""Tests for mnist_server; its programs have tests with real processes."""

import os
import signal
import socket

import grpc
from absl.testing import absltest, flagsaver
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tensorflow_serving.example import mnist_inference_pb2, mnist_server
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors, signals

_SERVICE = call_lib.Service(
    mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"],
    {"Classify": lambda request: mnist_inference_pb2.MnistResponse()},
)


class MnistServerTest(absltest.TestCase):
    """Tests of the code that the servers of MnistService share."""

    def setUp(self) -> None:
        """Takes over the signals, for the time of the test."""
        super().setUp()
        self.termination = signals.Termination()
        self.addCleanup(self.termination.close)

    @flagsaver.flagsaver(port=0)
    def test_server_serves_until_a_signal_comes(self) -> None:
        """It is healthy when it says that it runs."""
        statuses = []

        def on_running(port: int) -> None:
            with grpc.insecure_channel(f"localhost:{port}") as channel:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=60
                )
            statuses.append(answer.status)
            os.kill(os.getpid(), signal.SIGTERM)

        mnist_server.serve(_SERVICE, self.termination, on_running)
        self.assertEqual(statuses, [health_pb2.HealthCheckResponse.SERVING])

    def test_error_of_the_port_names_the_flag(self) -> None:
        """The error of a port that is in use names the port and the flag."""
        with socket.create_server(("0.0.0.0", 0)) as taken:
            port = taken.getsockname()[1]
            with (
                flagsaver.flagsaver(port=port),
                self.assertRaisesRegex(
                    errors.UnavailableError,
                    f"^--port must be a free port.*; got --port={port} ",
                ),
            ):
                mnist_server.serve(_SERVICE, self.termination)


if __name__ == "__main__":
    absltest.main()
