"""End-to-end test of serving_benchmark: a real server, tiny loads."""

import json
import os
import subprocess

from absl.testing import absltest, parameterized

_BENCHMARK = os.path.join(os.path.dirname(__file__), "serving_benchmark")


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_BENCHMARK, *flags], capture_output=True, text=True, check=False
    )


class ServingBenchmarkTest(parameterized.TestCase):
    """The program."""

    def test_benchmark_measures_without_errors(self) -> None:
        """Every load has answers; none is wrong; the files are there."""
        folder = self.create_tempdir().full_path
        benchmark = _run(
            "--model=cnn",
            "--server_flags=--max_batch_size=16",
            "--rounds=1",
            "--seconds=0.2",
            "--concurrencies=1,32",
            "--open_fractions=0.3",
            "--sweep_fractions=0.2,0.4",
            "--noh2load",
            # Nobody knows how slow the machine is.
            "--deadline_seconds=60",
            f"--output_dir={folder}",
        )
        self.assertEqual(benchmark.returncode, 0, benchmark.stderr)
        with open(os.path.join(folder, "results.txt")) as file:
            self.assertEqual(benchmark.stdout, file.read())
        self.assertIn("In-process limit:", benchmark.stdout)
        self.assertTrue(
            os.path.exists(os.path.join(folder, "latency_against_load.png"))
        )
        with open(os.path.join(folder, "results.json")) as file:
            rows = json.load(file)["rows"]
        self.assertEqual(
            [row["load"] for row in rows], ["closed 1", "closed 32", "open 0.3"]
        )
        for row in rows:
            overall = row["overall"]
            self.assertGreater(overall["answers_per_second"], 0)
            self.assertGreater(overall["num_checked"], 0)
            self.assertGreater(overall["cpu_seconds_per_1000"], 0)
            self.assertEqual(overall["num_wrong"], 0)
            self.assertEqual(overall["load_errors"], {})
            self.assertEqual(overall["check_errors"], {})

    @parameterized.parameters(
        ("--target", "--target=x"),
        ("--concurrencies", "--concurrencies=1,x"),
    )
    def test_wrong_flag_is_named(self, name: str, *flags: str) -> None:
        """The exit code is not 0."""
        benchmark = _run(*flags)
        self.assertNotEqual(benchmark.returncode, 0)
        self.assertIn(name, benchmark.stdout + benchmark.stderr)


if __name__ == "__main__":
    absltest.main()
