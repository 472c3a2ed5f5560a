"""End-to-end test of soak: a real server, and a few seconds."""

import os
import subprocess

from absl.testing import absltest

_PROGRAM = os.path.join(os.path.dirname(__file__), "soak")


class SoakTest(absltest.TestCase):
    """The program."""

    def test_troubles_leave_nothing_behind(self) -> None:
        """Calls are answered right, and connections of all kinds are ended."""
        printed = subprocess.check_output(
            [
                _PROGRAM,
                "--seconds=10",
                "--rate=50",
                "--broken_connections=140",
                "--patience_seconds=2",
                "--interval_seconds=1",
                # It still grows in the first seconds.
                "--max_memory_ratio=1.5",
            ],
            text=True,
        )
        self.assertRegex(printed, r"[1-9]\d* reloads")
        self.assertRegex(printed, r"[1-9]\d* files of logged calls")
        self.assertRegex(printed, r"[1-9]\d* a gigabyte: (ended|left) 413")
        self.assertNotIn("not connected", printed)
        for row in ("alone", "beside, first", "beside"):
            self.assertRegex(
                printed, rf"(?m)open 50/s +{row} +python_load .* 0$"
            )


if __name__ == "__main__":
    absltest.main()
