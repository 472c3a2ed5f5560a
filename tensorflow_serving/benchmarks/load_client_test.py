"""Tests for the flags of load_client; light_client_test makes loads with it."""

import os
import subprocess

from absl.testing import absltest, parameterized

_CLIENT = os.path.join(os.path.dirname(__file__), "load_client")
_FILES = ("--server=localhost:1", "--workload=w", "--output=o")


class LoadClientTest(parameterized.TestCase):
    """The program."""

    @parameterized.parameters(
        ("--concurrency", *_FILES, "--seconds=1"),
        (
            "--concurrency",
            *_FILES,
            "--seconds=1",
            "--rate=1",
            "--concurrency=1",
        ),
        ("--seconds", *_FILES, "--rate=1"),
        ("--seconds", *_FILES, "--rate=1", "--seconds=1", "--num_calls=1"),
        ("--server", "--workload=w", "--output=o"),
        ("more", *_FILES, "more"),
    )
    def test_wrong_flag_is_named(self, name: str, *arguments: str) -> None:
        """The exit code is not 0."""
        client = subprocess.run(
            [_CLIENT, *arguments], capture_output=True, text=True, check=False
        )
        self.assertNotEqual(client.returncode, 0)
        self.assertIn(name, client.stdout + client.stderr)


if __name__ == "__main__":
    absltest.main()
