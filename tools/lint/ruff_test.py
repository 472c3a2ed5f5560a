"""Checks formatting and lint with ruff; pyproject.toml has the settings."""

import subprocess
import sys

from absl.testing import absltest


class RuffTest(absltest.TestCase):
    """Every Python file of the checkout."""

    def _run(self, *arguments: str) -> None:
        ruff = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(ruff.returncode, 0, ruff.stdout + ruff.stderr)

    def test_files_are_formatted(self) -> None:
        """The command to repair a format is: ruff format."""
        self._run("format", "--diff")

    def test_files_have_no_lint(self) -> None:
        """The command to repair some lint is: ruff check --fix."""
        self._run("check")


if __name__ == "__main__":
    absltest.main()
