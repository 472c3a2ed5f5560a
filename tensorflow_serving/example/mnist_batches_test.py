"""Tests for mnist_batches, with functions that are made up."""

from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import basic_batch_scheduler
from tensorflow_serving.example import mnist_batches, mnist_inference_pb2
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors


def _classify(images: npt.NDArray[Any]) -> Sequence[npt.NDArray[Any]]:
    return [images[:, :10], np.full(len(images), 7)]


class FunctionSessionTest(parameterized.TestCase):
    """A function as a session that can be batched."""

    def test_function_is_called_with_the_images(self) -> None:
        """The function gets the images, and all that it returns is returned."""
        session = mnist_batches.FunctionSession(
            _classify, ["scores:0", "version:0"]
        )
        run = session.make_callable(["scores:0", "version:0"], ["images:0"])
        scores, version = run(np.ones([3, 784], np.float32))
        self.assertEqual(scores.shape, (3, 10))
        self.assertEqual(list(version), [7, 7, 7])

    @parameterized.parameters(
        (["y:0"], ["images:0"], "fetches must be .*; got .*y:0"),
        (["version:0"], ["images:0"], "fetches must be .*; got .*version:0"),
        (["scores:0"], ["x:0"], "feeds must be .*; got .*x:0"),
        (["scores:0"], [], "feeds must be"),
    )
    def test_other_tensors_are_refused(
        self, fetches: list[str], feeds: list[str], text: str
    ) -> None:
        """Other tensors are INVALID_ARGUMENT with those that there are."""
        session = mnist_batches.FunctionSession(_classify, ["scores:0"])
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            session.make_callable(fetches, feeds)
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "images:0.*scores:0.*; got y:0"
        ):
            session.tensor_spec("y:0")


class ServingTest(absltest.TestCase):
    """The service of a function."""

    def test_service_answers_with_the_function(self) -> None:
        """A caller who asks for timing gets the version, too."""
        with (
            mnist_batches.serving(
                _classify,
                [mnist_batches.SCORES, mnist_batches.VERSION],
                basic_batch_scheduler.Options(),
            ) as service,
            server_lib.Server("127.0.0.1:0", [service]) as server,
        ):
            server.start()
            request = mnist_inference_pb2.MnistRequest(image_data=[0.25] * 784)
            with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                classify: Any = channel.unary_unary(
                    "/tensorflow.serving.MnistService/Classify"
                )
                response, call = classify.with_call(
                    request.SerializeToString(),
                    timeout=60,
                    metadata=[("serving-timing", "1")],
                )
        self.assertEqual(
            list(mnist_inference_pb2.MnistResponse.FromString(response).value),
            [0.25] * 10,
        )
        self.assertEqual(dict(call.trailing_metadata())["serving-version"], "7")


if __name__ == "__main__":
    absltest.main()
