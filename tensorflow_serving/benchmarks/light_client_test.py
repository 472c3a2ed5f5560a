"""Tests for light_client: the real load_client, with a server made up here."""

import os

from absl.testing import absltest

from tensorflow_serving.benchmarks import light_client, loads, workload
from tensorflow_serving.example import mnist_inference_pb2
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors


def _target(port: int) -> loads.Target:
    return loads.Target("ours", f"127.0.0.1:{port}", workload.CLASSIFY, "")


class LightClientTest(absltest.TestCase):
    """Loads made by a process of its own."""

    def setUp(self) -> None:
        """Starts a server whose every fourth answer is wrong, or an error."""
        super().setUp()
        images = workload.random_images(4, seed=0)
        work = workload.Workload(images, images[:, :10])
        path = os.path.join(self.create_tempdir().full_path, "workload")
        work.save(path)
        self.client = light_client.LightClient(path, deadline_seconds=60.0)

        def classify(
            request: mnist_inference_pb2.MnistRequest,
        ) -> mnist_inference_pb2.MnistResponse:
            first = request.image_data[0]
            if first == images[2, 0]:
                raise errors.ResourceExhaustedError("no more")
            shift = 1 if first == images[3, 0] else 0
            return mnist_inference_pb2.MnistResponse(
                value=request.image_data[shift : shift + 10]
            )

        service = call_lib.Service(
            mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"],
            {"Classify": classify},
        )
        server = self.enter_context(
            server_lib.Server(
                "127.0.0.1:0", [service], server_lib.Options(num_threads=2)
            )
        )
        server.start()
        self.target = _target(server.port)

    def test_every_call_of_a_closed_load_is_checked(self) -> None:
        """A quarter of the answers is wrong, and a quarter errors."""
        made = self.client.run(self.target, loads.ClosedLoad(10, num_calls=400))
        self.assertEqual(made.num_calls, 400)
        self.assertEqual(dict(made.errors()), {"RESOURCE_EXHAUSTED": 100})
        self.assertEqual(made.num_wrong, 100)

    def test_open_load_has_the_times_of_its_seed(self) -> None:
        """So that each run offers the same."""
        load = loads.OpenLoad(rate=200.0, seconds=0.5)
        one, same, other = (
            self.client.run_open(self.target, load, seed).num_calls
            for seed in (1, 1, 3)
        )
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)

    def test_server_that_is_not_there_is_an_error(self) -> None:
        """With the text of the program."""
        with self.assertRaisesRegex(errors.UnavailableError, "127.0.0.1:1"):
            self.client.run(_target(1), loads.ClosedLoad(1, num_calls=1))


if __name__ == "__main__":
    absltest.main()
