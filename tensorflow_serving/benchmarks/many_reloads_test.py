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
        program = subprocess.run(
            [
                _PROGRAM,
                "--seconds=2",
                "--concurrency=16",
                "--load_seconds=1",
                "--interval_seconds=0.2",
                f"--server_log={log}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(program.returncode, 0, program.stderr)
        self.assertRegex(
            program.stdout, r"[1-9]\d* reloads; p99 with changes to without: \d"
        )
        with open(log, encoding="utf-8") as file:
            text = file.read()
        for line in (
            "name: m0 version: 1} is END",
            "name: slow version: 1} is AVAILABLE",
            "broken version: 1}.*AddV9",
        ):
            self.assertRegex(text, line)
        self.assertNotIn("name: broken version: 1} is AVAILABLE", text)


if __name__ == "__main__":
    absltest.main()
