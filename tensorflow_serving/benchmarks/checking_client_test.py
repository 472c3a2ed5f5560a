"""Tests for checking_client, with a server made up here."""

import concurrent.futures
import contextlib
import queue
from collections.abc import Iterator

import grpc
from absl.testing import absltest

from tensorflow_serving.benchmarks import (
    checking_client,
    server_timing,
    workload,
)
from tensorflow_serving.example import (
    mnist_inference_pb2,
    mnist_inference_pb2_grpc,
)
from tensorflow_serving.test_util import fake_clock

_TIMING = server_timing.ServerTiming(1.0, 2.0, 3.0, 6.0, 32.0)
_TRAILERS = (
    ("serving-queue-micros", "1"),
    ("serving-batch-micros", "2"),
    ("serving-run-micros", "3"),
    ("serving-total-micros", "6"),
    ("serving-batch-size", "32"),
)


class _Service(mnist_inference_pb2_grpc.MnistServiceServicer):
    """Answers rightly, then wrongly, then not at all."""

    def __init__(self) -> None:
        self.num_calls = 0
        self.arrived: queue.Queue[int] = queue.Queue()

    def Classify(  # noqa: N802
        self,
        request: mnist_inference_pb2.MnistRequest,
        context: grpc.ServicerContext,
    ) -> mnist_inference_pb2.MnistResponse:
        """See mnist_inference.proto."""
        number, self.num_calls = self.num_calls, self.num_calls + 1
        self.arrived.put(number)
        if ("serving-timing", "1") in context.invocation_metadata():
            context.set_trailing_metadata(_TRAILERS)
        if number == 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        first = 0 if number == 0 else 1
        return mnist_inference_pb2.MnistResponse(
            value=request.image_data[first : first + 10]
        )


@contextlib.contextmanager
def _serve(service: _Service) -> Iterator[str]:
    """Yields the address of a server."""
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        mnist_inference_pb2_grpc.add_MnistServiceServicer_to_server(
            service, server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


class CheckingClientTest(absltest.TestCase):
    """A client that makes a call now and then."""

    def test_calls_are_made_at_the_rate_and_checked(self) -> None:
        """One at once, and one every half a second."""
        service, clock = _Service(), fake_clock.FakeClock()
        with _serve(service) as address:
            images = workload.random_images(2, seed=0)
            with checking_client.CheckingClient(
                address,
                workload.Workload(images, images[:, :10]),
                rate=2.0,
                deadline_seconds=60.0,
                clock=clock,
            ) as client:
                for number in range(3):
                    self.assertEqual(service.arrived.get(timeout=60), number)
                    clock.settle(threads=1)
                    clock.advance_micros(499_999)
                    clock.settle(threads=1)
                    self.assertTrue(service.arrived.empty())
                    if number < 2:
                        clock.advance_micros(1)
            checks = client.checks()
        self.assertEqual(len(checks.calls), 3)
        self.assertEqual(checks.num_wrong, 1)
        self.assertEqual(dict(checks.errors()), {"UNAVAILABLE": 1})
        self.assertEqual(checks.mean_timing(0.0, float("inf")), _TIMING)
        self.assertIsNone(checks.mean_timing(0.0, 1.0))


if __name__ == "__main__":
    absltest.main()
