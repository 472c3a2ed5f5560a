"""End-to-end test of serving_benchmark: a real server, tiny loads."""

import json
import os
import subprocess

from absl.testing import absltest

_BENCHMARK = os.path.join(os.path.dirname(__file__), "serving_benchmark")


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_BENCHMARK, *flags], capture_output=True, text=True, check=False
    )


class ServingBenchmarkTest(absltest.TestCase):
    """The program."""

    def test_benchmark_measures_without_errors(self) -> None:
        """Every load is answered, every answer is right."""
        output = os.path.join(self.create_tempdir().full_path, "json")
        benchmark = _run(
            "--model=cnn",
            "--server_flags=--max_batch_size=16",
            "--rounds=2",
            "--seconds=0.2",
            "--concurrency=1",
            "--concurrency=32",
            "--open_fraction=0.3",
            "--noh2load",
            # Nobody knows how slow the machine is.
            "--deadline_seconds=60",
            f"--output_json={output}",
        )
        self.assertEqual(benchmark.returncode, 0, benchmark.stderr)
        self.assertIn("In-process limit:", benchmark.stdout)
        with open(output) as file:
            rounds = json.load(file)["rounds"]
        self.assertEqual(len(rounds), 6)
        self.assertEqual(len({each["load"] for each in rounds}), 3)
        for each in rounds:
            self.assertGreater(each["answers_per_second"], 0)
            self.assertGreater(each["num_checked"], 0)
            self.assertGreater(each["cpu_seconds_per_1000"], 0)
            self.assertEqual(each["num_wrong"], 0)
            self.assertEqual(each["errors"], {})

    def test_wrong_flag_is_named(self) -> None:
        """A flag that is out of range ends the program with its name."""
        benchmark = _run("--soak_requests=7")
        self.assertEqual(benchmark.returncode, 1)
        self.assertIn("--soak_requests must be", benchmark.stderr)


if __name__ == "__main__":
    absltest.main()
