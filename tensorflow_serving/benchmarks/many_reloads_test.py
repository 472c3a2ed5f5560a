"""End-to-end test of many_reloads: a real server, and a few seconds."""

import os
import subprocess

from absl.testing import absltest

_PROGRAM = os.path.join(os.path.dirname(__file__), "many_reloads")


class ManyReloadsTest(absltest.TestCase):
    """The program."""

    def test_reloads_beside_broken_and_slow_models_lose_no_call(self) -> None:
        """Every call of the healthy models is answered right."""
        log = os.path.join(self.create_tempdir().full_path, "log")
        printed = subprocess.check_output(
            [
                _PROGRAM,
                "--seconds=2",
                "--concurrency=16",
                "--load_seconds=1",
                "--interval_seconds=0.2",
                "--rate=50",
                "--large_megabytes=2",
                f"--server_log={log}",
            ],
            text=True,
        )
        for line in (
            r"p99 of closed 16 with changes to without: \d",
            r"p99 of open 50/s with changes to without: \d",
            r"[1-9]\d* reloads; seconds until available: median \d+\.\d",
            r"Memory after changes to before: \d\.\d",
        ):
            self.assertRegex(printed, line)
        with open(log, encoding="utf-8") as file:
            text = file.read()
        for line in (
            "name: m0 version: 1} is END",
            "name: large version: 1} is END",
            "name: slow version: 1} is AVAILABLE",
            "broken version: 1}.*AddV9",
        ):
            self.assertRegex(text, line)
        self.assertNotIn("name: broken version: 1} is AVAILABLE", text)


if __name__ == "__main__":
    absltest.main()
