"""Checks types with mypy, strictly; pyproject.toml has the settings."""

import os
import subprocess
import sys

from absl.testing import absltest


class TypesTest(absltest.TestCase):
    """Every Python file of the checkout."""

    def test_types_are_right(self) -> None:
        """All modules have right types, generated ones by their .pyi files."""
        mypy = subprocess.run(
            [
                *(sys.executable, "-m", "mypy"),
                f"--cache-dir={self.create_tempdir().full_path}",
                "tensorflow_serving",
                "tools",
            ],
            env={**os.environ, "MYPYPATH": os.getcwd()},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(mypy.returncode, 0, mypy.stdout + mypy.stderr)


if __name__ == "__main__":
    absltest.main()
