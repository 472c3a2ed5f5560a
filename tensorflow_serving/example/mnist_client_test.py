"""Tests for mnist_client: the real program, against servers made up here."""

import os
import subprocess
import sys

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.example import mnist_inference_pb2, mnist_input_data
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors

_CLIENT = os.path.join(os.path.dirname(__file__), "mnist_client")


def _labels() -> dict[bytes, int]:
    """Returns the label of each test image of the digits."""
    test_set = mnist_input_data.read_test_set("", "digits")
    return {
        image.tobytes(): int(label)
        for image, label in zip(test_set.images, test_set.labels, strict=True)
    }


class MnistClientTest(parameterized.TestCase):
    """The client, on the digits that come with the project."""

    def _run(self, *flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_CLIENT, "--dataset=digits", *flags],
            capture_output=True,
            text=True,
            check=False,
        )

    def _serve(
        self, *, num_wrong: int = 0, num_failures: int = 0, num_values: int = 10
    ) -> str:
        """Starts a server whose first answers are wrong, or errors."""
        labels = _labels()
        num_calls = 0

        def classify(
            request: mnist_inference_pb2.MnistRequest,
        ) -> mnist_inference_pb2.MnistResponse:
            nonlocal num_calls
            num_calls += 1
            if num_calls <= num_failures:
                raise errors.ResourceExhaustedError("no more answers")
            image = np.array(request.image_data, np.float32)
            label = labels[image.tobytes()]
            if num_calls <= num_failures + num_wrong:
                label = (label + 1) % 10
            scores = [0.0] * 10
            scores[label] = 1.0
            return mnist_inference_pb2.MnistResponse(value=scores[:num_values])

        service = call_lib.Service(
            mnist_inference_pb2.DESCRIPTOR.services_by_name["MnistService"],
            {"Classify": classify},
        )
        server = self.enter_context(server_lib.Server("127.0.0.1:0", [service]))
        server.start()
        return f"--server=localhost:{server.port}"

    def test_client_needs_no_tensorflow(self) -> None:
        """It starts in a moment, also where TensorFlow is not installed."""
        script = (
            "import sys; import tensorflow_serving.example.mnist_client; "
            "print('tensorflow' in sys.modules)"
        )
        client = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(client.stdout, "False\n", client.stderr)

    @parameterized.parameters(1, 10)
    def test_error_rate_is_the_last_line(self, concurrency: int) -> None:
        """The error rate comes after throughput and latency."""
        client = self._run(
            self._serve(num_wrong=20),
            "--num_tests=200",
            f"--concurrency={concurrency}",
        )
        self.assertEqual(client.returncode, 0, client.stderr)
        *_, figures, rate = client.stdout.splitlines()
        self.assertRegex(
            figures,
            r"^Throughput: \d+ requests/s; latency: p50 [\d.]+ ms, "
            r"p99 [\d.]+ ms$",
        )
        self.assertEqual(rate, "Inference error rate: 10%")

    def test_images_are_used_again_when_there_are_too_few(self) -> None:
        """The digits have 500 test images."""
        client = self._run(self._serve(), "--num_tests=600", "--concurrency=9")
        self.assertEqual(client.returncode, 0, client.stderr)
        self.assertIn("Inference error rate: 0%", client.stdout)

    def test_failed_calls_count_as_errors(self) -> None:
        """One message for all that failed alike; the exit code is 1."""
        client = self._run(self._serve(num_failures=5), "--num_tests=50")
        self.assertEqual(client.returncode, 1)
        self.assertEqual(
            client.stderr,
            "5 calls failed: RESOURCE_EXHAUSTED: no more answers\n",
        )
        self.assertEqual(
            client.stdout.splitlines()[-1], "Inference error rate: 10%"
        )

    @parameterized.parameters(0, 9)
    def test_answer_of_another_size_is_a_failure(self, num_values: int) -> None:
        """An answer of another size is a failure that ends the client."""
        client = self._run(self._serve(num_values=num_values), "--num_tests=20")
        self.assertEqual(client.returncode, 1)
        self.assertEqual(
            client.stderr,
            f"20 calls failed: answer must have 10 values; got {num_values}\n",
        )
        self.assertEqual(client.stdout, "Inference error rate: 100%\n")

    def test_server_that_cannot_be_reached_is_one_message(self) -> None:
        """A server that cannot be reached is reported once for all images."""
        client = self._run("--server=localhost:1", "--num_tests=1000")
        self.assertEqual(client.returncode, 1)
        self.assertRegex(
            client.stderr,
            "(?m)^ERROR: --server must be .*localhost:1: nothing listens there",
        )
        self.assertEqual(client.stdout, "")

    @parameterized.named_parameters(
        ("no_server", [], "--server"),
        ("too_many", ["--server=x:1", "--num_tests=10001"], "--num_tests"),
        ("too_few", ["--server=x:1", "--num_tests=0"], "--num_tests"),
        ("concurrency", ["--server=x:1", "--concurrency=0"], "--concurrency"),
        ("server", ["--server=http://localhost:9000/"], "without http://"),
        ("dataset", ["--server=x:1", "--dataset=cats"], "--dataset"),
        ("unknown", ["--server=x:1", "--colour=red"], "colour"),
        ("argument", ["--server=x:1", "more"], "more"),
    )
    def test_wrong_flag_is_named(self, flags: list[str], name: str) -> None:
        """A wrong flag is named, and the exit code is not 0."""
        client = self._run(*flags)
        self.assertNotEqual(client.returncode, 0)
        self.assertIn(name, client.stderr)


if __name__ == "__main__":
    absltest.main()
