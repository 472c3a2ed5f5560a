"""End-to-end test of server_comparison: our server beside itself."""

import os
import subprocess
import unittest

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import h2load, served, workload
from tensorflow_serving.example import constant_model

_COMPARISON = os.path.join(os.path.dirname(__file__), "server_comparison")


class ServerComparisonTest(parameterized.TestCase):
    """The program."""

    def _compare(self, flag: str) -> str:
        return subprocess.check_output(
            [_COMPARISON, flag, "--rounds=1", "--seconds=0.2", "--load=2x2"],
            text=True,
        )

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
            tables = self._compare(
                f"--target=other,{target.address},{target.method},"
                f"{target.body_path}"
            )
        for row in (
            r"mnist_inference +h2load .* 0$",
            r"other +h2load",
            r"mnist_inference / other +\d",
            r"tensor_content, batching +h2load .* 0$",
            r"float_val / mnist_inference +\d",
        ):
            self.assertRegex(tables, rf"(?m)closed 2 x 2 +{row}")

    @unittest.skipUnless(h2load.is_installed(), "h2load is not installed")
    def test_servers_of_rest_are_measured_side_by_side(self) -> None:
        """Every call is answered, by ours and by the application."""
        tables = self._compare("--api=rest")
        self.assertRegex(tables, r"JSON takes \d+ us of a call")
        for row in (
            r"REST +h2load .* 0$",
            r"REST, scraped +h2load .* 0$",
            r"constant answer +h2load .* 0$",
            r"REST, scraped / REST +\d",
            r"REST / constant answer +\d",
        ):
            self.assertRegex(tables, rf"(?m)closed 2 x 2 +{row}")

    @parameterized.parameters(
        ("--load=8", "such as 8x32; got 8"),
        ("--load=0x8", "such as 8x32; got 0x8"),
        ("--target=x,y", "--target must be NAME,HOST:PORT"),
    )
    def test_wrong_flag_is_an_error(self, flag: str, text: str) -> None:
        """A load or target of another form is an error with an example."""
        comparison = subprocess.run(
            [_COMPARISON, flag], capture_output=True, text=True, check=False
        )
        self.assertEqual(comparison.returncode, 1)
        self.assertIn(text, comparison.stderr)


if __name__ == "__main__":
    absltest.main()
