"""End-to-end test of server_comparison: our server beside itself."""

import os
import subprocess
import unittest

from absl.testing import absltest

from tensorflow_serving.benchmarks import h2load, served, workload
from tensorflow_serving.example import constant_model

_COMPARISON = os.path.join(os.path.dirname(__file__), "server_comparison")


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_COMPARISON, *flags], capture_output=True, text=True, check=False
    )


class ServerComparisonTest(absltest.TestCase):
    """The program."""

    @unittest.skipUnless(h2load.is_installed(), "h2load is not installed")
    def test_servers_are_measured_side_by_side(self) -> None:
        """Each load has a row for each server, and a row of ratios."""
        path = constant_model.export(self.create_tempdir().full_path, 1)
        images = workload.random_images(1, seed=0)
        work = workload.classify(workload.ScoredImages(images, images[:, :10]))
        with served.Served(
            "example/mnist_inference", work, argument=path
        ) as other:
            target = other.target
            comparison = _run(
                f"--target=other,{target.address},{target.method},"
                f"{target.body_path}",
                "--rounds=1",
                "--seconds=0.2",
                "--load=2x2",
            )
        self.assertEqual(comparison.returncode, 0, comparison.stderr)
        for row in (
            r"mnist_inference +h2load .* 0$",
            r"other +h2load",
            r"mnist_inference / other +\d",
            r"tensor_content, batching +h2load .* 0$",
            r"float_val / mnist_inference +\d",
        ):
            self.assertRegex(comparison.stdout, rf"(?m)closed 2 x 2 +{row}")

    @unittest.skipUnless(h2load.is_installed(), "h2load is not installed")
    def test_servers_of_rest_are_measured_side_by_side(self) -> None:
        """Every call is answered, by ours and by the application."""
        comparison = _run(
            "--api=rest", "--rounds=1", "--seconds=0.2", "--load=2x2"
        )
        self.assertEqual(comparison.returncode, 0, comparison.stderr)
        self.assertRegex(comparison.stdout, r"JSON takes \d+ us of a call")
        for row in (
            r"REST +h2load .* 0$",
            r"REST, scraped +h2load .* 0$",
            r"constant answer +h2load .* 0$",
            r"REST, scraped / REST +\d",
            r"REST / constant answer +\d",
        ):
            self.assertRegex(comparison.stdout, rf"(?m)closed 2 x 2 +{row}")

    def test_wrong_load_is_an_error(self) -> None:
        """A load that is not two numbers is an error with an example."""
        comparison = _run("--load=8")
        self.assertEqual(comparison.returncode, 1)
        self.assertIn("such as 8x32; got 8", comparison.stderr)

    def test_wrong_target_is_an_error(self) -> None:
        """A target without its four parts is an error with an example."""
        comparison = _run("--target=x,y")
        self.assertEqual(comparison.returncode, 1)
        self.assertIn("--target must be NAME,HOST:PORT", comparison.stderr)


if __name__ == "__main__":
    absltest.main()
