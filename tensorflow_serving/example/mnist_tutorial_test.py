"""Runs the tutorial, on real MNIST where it is there."""

import os
import re
import subprocess

from absl import logging
from absl.testing import absltest

from tensorflow_serving.test_util import shared_data

_TUTORIAL = os.path.join(os.path.dirname(__file__), "mnist_tutorial")


class MnistTutorialTest(absltest.TestCase):
    """The three programs, one after the other."""

    def test_every_step_works(self) -> None:
        """Each command is shown; the error rate is that of the data."""
        mnist = shared_data.find("mnist")
        if mnist is None:
            logging.warning("No MNIST in ../shared/data; using the digits")
            lowest, highest = 6.0, 9.0
        else:
            lowest, highest = 9.0, 12.0
        tutorial = subprocess.run(
            [
                _TUTORIAL,
                f"--dataset={'mnist' if mnist else 'digits'}",
                f"--work_dir={self.create_tempdir().full_path}",
            ],
            env={**os.environ, "MNIST_DATA_DIR": mnist or ""},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(tutorial.returncode, 0, tutorial.stderr)
        commands = re.findall(r"(?m)^\$ .*/(mnist_\w+) ", tutorial.stdout)
        self.assertEqual(
            commands, ["mnist_export", "mnist_inference", "mnist_client"]
        )
        rate = re.search(
            r"(?m)^Inference error rate: ([\d.]+)%$", tutorial.stdout
        )
        assert rate is not None
        self.assertGreaterEqual(float(rate[1]), lowest)
        self.assertLessEqual(float(rate[1]), highest)

    def test_step_that_fails_ends_the_tutorial(self) -> None:
        """A step that fails ends the tutorial with its message, not with 0."""
        folder = self.create_tempdir().create_file("no_folder").full_path
        tutorial = subprocess.run(
            [_TUTORIAL, "--dataset=mnist", f"--work_dir={folder}"],
            env={**os.environ, "MNIST_DATA_DIR": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(tutorial.returncode, 1)
        self.assertIn("ERROR: mnist_export must exit with 0", tutorial.stderr)
        self.assertNotIn("mnist_client", tutorial.stdout)


if __name__ == "__main__":
    absltest.main()
