"""Tests for server_abuse, as the program that a person runs."""

import os
import subprocess

from absl.testing import absltest

_PROGRAM = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "server_abuse"
)


class ServerAbuseTest(absltest.TestCase):
    """The flags, and the table of short trials."""

    def test_table_has_a_line_for_each_abuse(self) -> None:
        """A line has both clients, the server and what that did."""
        table = subprocess.check_output(
            [_PROGRAM, "--seconds=0.3", "--only=half_tls,ping_flood"],
            text=True,
        )
        header, _, flood, tls = table.splitlines()
        self.assertEqual(header.split()[0], "abuse")
        self.assertRegex(
            flood,
            r"^ping_flood( +\d+\.\d+){4}( +\d+){2} +\d.* ENHANCE_YOUR_CALM",
        )
        self.assertRegex(tls, r"^half_tls .* 1000 open$")
        _, alone, beside, _, p99, before, peak, *_ = flood.split()
        self.assertGreater(float(alone), 0)
        self.assertGreaterEqual(float(p99), round(float(beside), 1))
        self.assertGreaterEqual(int(peak), int(before))

    def test_unknown_abuse_is_an_error(self) -> None:
        """An unknown name is an error that lists the known ones, in order."""
        ran = subprocess.run(
            [_PROGRAM, "--only=politeness"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertNotEqual(ran.returncode, 0)
        self.assertRegex(
            ran.stdout + ran.stderr,
            r"--only must be of \['ordinary_calls', .*'ping_flood'",
        )


if __name__ == "__main__":
    absltest.main()
