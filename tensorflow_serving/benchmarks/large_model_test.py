"""End-to-end test of large_model: a real model and server, few calls."""

import os
import subprocess

from absl.testing import absltest

_PROGRAM = os.path.join(os.path.dirname(__file__), "large_model")


class LargeModelTest(absltest.TestCase):
    """The program."""

    def test_server_is_measured_beside_the_session(self) -> None:
        """Each batch size has a row, and the answers are right."""
        program = subprocess.run(
            [
                _PROGRAM,
                "--image_side=32",
                "--batch_size=1",
                "--batch_size=2",
                "--rounds=1",
                "--seconds=0.1",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(program.returncode, 0, program.stderr)
        for size in (1, 2):
            self.assertRegex(
                program.stdout, rf"(?m)^ +{size} +[\d.]+ +[\d.]+ +[\d.]+ +True"
            )
        self.assertRegex(
            program.stdout, r"Start to first answer, 10\d MB.*: \d+\.\d\d s"
        )


if __name__ == "__main__":
    absltest.main()
