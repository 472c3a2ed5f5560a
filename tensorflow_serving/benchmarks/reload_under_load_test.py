"""End-to-end test of reload_under_load: real servers, few of everything."""

import json
import os
import signal
import subprocess
from typing import Any

import psutil
from absl.testing import absltest, parameterized

_PROGRAM = os.path.join(os.path.dirname(__file__), "reload_under_load")


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_PROGRAM, *arguments], capture_output=True, text=True, check=False
    )


class ReloadUnderLoadTest(parameterized.TestCase):
    """The program."""

    def test_scenarios_come_to_their_end_without_bad_answers(self) -> None:
        """Whatever the times; the folder is left empty."""
        base = self.create_tempdir().full_path
        output = os.path.join(self.create_tempdir().full_path, "json")
        program = _run(
            base,
            "--concurrency=8",
            # Nobody knows how slow the machine is.
            "--deadline_seconds=60",
            "--num_swaps=5",
            "--tail_rounds=1",
            "--tail_seconds=0.3",
            "--open_rate=50",
            "--large_megabytes=2",
            "--num_steps=6",
            "--step_seconds=0.1",
            "--hold_seconds=0.2",
            "--num_kills=2",
            f"--output_json={output}",
        )
        self.assertTrue(os.path.exists(output), program.stderr)
        with open(output) as file:
            scenarios = json.load(file)["scenarios"]
        self._check_rows(program.stdout, scenarios)
        outcomes = {name: found["outcome"] for name, found in scenarios.items()}
        self.assertEqual(outcomes["swaps"]["num_swaps"], 5)
        for name in ("swaps", "broken", "slow_copy"):
            self._check_load(outcomes[name]["load"])
        self._check_comparisons(outcomes["tail"]["comparisons"])
        for version in outcomes["broken"]["versions"]:
            self.assertNotEqual(version["reason"], "")
            self.assertFalse(version["was_available"])
            self.assertTrue(version["is_old_there"])
            self.assertTrue(version["did_next_load"])
        held = outcomes["held_handle"]
        self.assertFalse(held["ended_early"])
        self.assertEqual(held["num_failed"], 0)
        self.assertGreater(held["num_requests"], 0)
        for restart in outcomes["kills"]["restarts"]:
            self.assertEqual(restart["version"], restart["expected_version"])
        self.assertEqual(os.listdir(base), [])

    def _check_rows(self, text: str, scenarios: dict[str, Any]) -> None:
        """Each scenario has a row, and each row is in the table."""
        self.assertEqual(
            list(scenarios),
            ["swaps", "tail", "broken", "slow_copy", "held_handle", "kills"],
        )
        for found in scenarios.values():
            self.assertNotEqual(found["promises"], [])
            for row in found["promises"]:
                self.assertIn(row["what"], text)

    def _check_comparisons(self, comparisons: list[dict[str, Any]]) -> None:
        """Each call was answered rightly, with and without changes."""
        for comparison in comparisons:
            for each in comparison["without"] + comparison["during"]:
                self.assertGreater(each["num_calls"], 0)
                self.assertEqual(each["num_wrong"], 0)
                self.assertEqual(each["load_errors"], {})
                self.assertEqual(each["check_errors"], {})

    def _check_load(self, load: dict[str, Any]) -> None:
        """Each call was answered by a version that could."""
        self.assertGreater(load["num_calls"], 0)
        self.assertEqual(load["errors"], {})
        self.assertEqual(load["num_wrong"], 0)
        self.assertEqual(load["num_too_early"], 0)
        self.assertEqual(load["num_too_late"], 0)

    def test_nothing_is_left_when_it_is_interrupted(self) -> None:
        """No server, and no file."""
        base = os.path.join(self.create_tempdir().full_path, "base")
        with subprocess.Popen(
            [_PROGRAM, base, "--scenarios=swaps", "--concurrency=1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stderr is not None
            for line in program.stderr:
                if line.startswith("swapping"):
                    break
            servers = psutil.Process(program.pid).children(recursive=True)
            self.assertNotEqual(servers, [])
            program.send_signal(signal.SIGTERM)
            # To its end, so that it is not blocked by what it writes.
            program.stderr.read()
            self.assertEqual(program.wait(), 128 + signal.SIGTERM)
        self.assertFalse(any(server.is_running() for server in servers))
        self.assertFalse(os.path.exists(base))

    @parameterized.parameters(
        ("--scenarios", "--scenarios=swaps,x"),
        ("--num_swaps", "--num_swaps=0"),
    )
    def test_wrong_flag_is_named(self, name: str, flag: str) -> None:
        """The exit code is not 0."""
        program = _run(self.create_tempdir().full_path, flag)
        self.assertNotEqual(program.returncode, 0)
        self.assertIn(name, program.stdout + program.stderr)

    def test_folder_that_is_not_empty_is_refused(self) -> None:
        """What is in it stays."""
        base = self.create_tempdir()
        base.create_file("precious")
        program = _run(base.full_path)
        self.assertEqual(program.returncode, 1)
        self.assertIn("MODEL_BASE must be an empty folder", program.stderr)
        self.assertEqual(os.listdir(base.full_path), ["precious"])


if __name__ == "__main__":
    absltest.main()
