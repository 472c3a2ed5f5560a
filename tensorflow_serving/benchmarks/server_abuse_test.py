"""Tests for server_abuse, as the program that a person runs."""

import os
import subprocess

from absl.testing import absltest

_PROGRAM = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "server_abuse"
)


class ServerAbuseTest(absltest.TestCase):
    """The flags, and the table."""

    def _run(self, *flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_PROGRAM, *flags], capture_output=True, text=True, check=False
        )

    def test_table_has_a_line_for_each_abuse(self) -> None:
        """The table has a line for each abuse that a flag names."""
        ran = self._run("--seconds=0.2", "--only=settings_flood,malformed")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        lines = ran.stdout.splitlines()
        self.assertEqual(
            [line.split()[0] for line in lines],
            ["abuse", "settings_flood", "malformed"],
        )

    def test_unknown_abuse_is_an_error(self) -> None:
        """An unknown name is an error that lists the known ones."""
        ran = self._run("--only=politeness")
        self.assertNotEqual(ran.returncode, 0)
        self.assertRegex(
            ran.stdout + ran.stderr, r"--only must be of \[.*'ping_flood'"
        )


if __name__ == "__main__":
    absltest.main()
