"""End-to-end test of reload_under_load: real servers, few of everything."""

import os
import signal
import subprocess

import psutil
from absl.testing import absltest

_PROGRAM = os.path.join(os.path.dirname(__file__), "reload_under_load")


class ReloadUnderLoadTest(absltest.TestCase):
    """The program."""

    def test_reloads_lose_no_call(self) -> None:
        """Every call is answered right while versions change."""
        program = subprocess.run(
            [
                _PROGRAM,
                "--concurrency=8",
                # Nobody knows how slow the machine is.
                "--deadline_seconds=60",
                "--file_system_poll_wait_seconds=0.05",
                "--num_swaps=3",
                "--rounds=1",
                "--seconds=0.3",
                "--rate=50",
                "--large_megabytes=2",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(program.returncode, 0, program.stderr)
        self.assertIn("3 swaps", program.stdout)
        self.assertRegex(program.stdout, r"Memory after 3 swaps .*: \d\.\d")
        self.assertEqual(program.stdout.count("p99 with changes"), 2)

    def test_servers_end_with_the_program(self) -> None:
        """SIGTERM ends the program, its servers, and removes its files."""
        folder = self.create_tempdir().full_path
        with subprocess.Popen(
            [_PROGRAM, "--concurrency=1"],
            env={**os.environ, "TMPDIR": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stderr is not None
            for line in program.stderr:
                if line.startswith("Swapping"):
                    break
            children = psutil.Process(program.pid).children(recursive=True)
            program.send_signal(signal.SIGTERM)
            # Read to the end, so that no write of the program blocks.
            program.stderr.read()
            self.assertEqual(program.wait(), 128 + signal.SIGTERM)
        self.assertFalse(any(child.is_running() for child in children))
        self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    absltest.main()
