"""Tests for reloading_server; see reload_under_load_test as well."""

import os
import subprocess

from absl.testing import absltest

_SERVER = os.path.join(os.path.dirname(__file__), "reloading_server")


class ReloadingServerTest(absltest.TestCase):
    """The program."""

    def test_arguments_are_two(self) -> None:
        """An error names the arguments when one of them is missing."""
        server = subprocess.run(
            [_SERVER, "one"], capture_output=True, text=True, check=False
        )
        self.assertNotEqual(server.returncode, 0)
        self.assertIn("LARGE_BASE_PATH", server.stdout + server.stderr)


if __name__ == "__main__":
    absltest.main()
