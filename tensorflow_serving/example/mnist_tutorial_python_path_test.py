"""Tests that the programs run whatever packages PYTHONPATH leads to.

The package tensorflow-serving-api has the name of this project's.
"""

import os
import subprocess

from absl.testing import absltest, parameterized

_FOLDER = os.path.dirname(__file__)


class PythonPathTest(parameterized.TestCase):
    """The real programs, beside a package of the same name."""

    @parameterized.parameters(
        "mnist_client",
        "mnist_export",
        "mnist_inference",
        "mnist_inference_2",
        "mnist_tutorial",
    )
    def test_package_of_the_same_name_is_not_used(self, program: str) -> None:
        """Neither modules nor subpackages of such a package are used."""
        folder = self.create_tempdir()
        package = folder.mkdir("tensorflow_serving")
        for name in ("", "apis/", "example/", "util/"):
            package.create_file(f"{name}__init__.py")
        for name in ("example/mnist_inference_pb2", "util/errors"):
            package.create_file(f"{name}.py", "raise ImportError('not ours')")
        ended = subprocess.run(
            [os.path.join(_FOLDER, program), "--help"],
            env={**os.environ, "PYTHONPATH": folder.full_path},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertIn("Usage: ", ended.stdout, ended.stderr)
        self.assertNotIn("Traceback", ended.stderr)


if __name__ == "__main__":
    absltest.main()
