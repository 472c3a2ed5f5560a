"""End-to-end test of large_model: a real model and server, few calls."""

import os
import subprocess

from absl.testing import absltest

_PROGRAM = os.path.join(os.path.dirname(__file__), "large_model")


class LargeModelTest(absltest.TestCase):
    """The program."""

    def test_server_is_measured_beside_the_session(self) -> None:
        """Each batch size has a row, and the answers are right."""
        printed = subprocess.check_output(
            [
                _PROGRAM,
                "--image_side=32",
                "--batch_size=1",
                "--batch_size=2",
                "--rounds=1",
                "--seconds=0.1",
            ],
            text=True,
        )
        for size in (1, 2):
            self.assertRegex(
                printed, rf"(?m)^ +{size} +[\d.]+ +[\d.]+ +[\d.]+ +True"
            )
        self.assertRegex(
            printed, r"Start to first answer, 10\d MB.*: \d+\.\d\d s"
        )


if __name__ == "__main__":
    absltest.main()
