"""End-to-end test of serving_benchmark: a real server, tiny loads."""

import os
import subprocess

from absl.testing import absltest

_BENCHMARK = os.path.join(os.path.dirname(__file__), "serving_benchmark")


class ServingBenchmarkTest(absltest.TestCase):
    """The program."""

    def test_benchmark_measures_without_errors(self) -> None:
        """Every load is answered, every answer is right."""
        table = subprocess.check_output(
            [
                _BENCHMARK,
                "--model=cnn",
                "--server_flags=--max_batch_size=16",
                "--rounds=2",
                "--seconds=0.2",
                "--concurrency=1",
                "--concurrency=32",
                "--open_fraction=0.3",
                # Nobody knows how slow the machine is.
                "--deadline_seconds=60",
            ],
            text=True,
        )
        self.assertRegex(table, "(?m)^In-process limit: [1-9]")
        for load in ("closed 1", "closed 32", r"open \d+/s"):
            # Answers, checks and CPU are numbers, wrong answers and errors 0.
            self.assertRegex(
                table,
                rf"(?m)^{load} +ours +(h2load|python_load) +\d+ +[1-9]\d*"
                r"( +[\d.-]+){5} +[1-9]\d* +0 .* \d\.\d+ +\d+ +0$",
            )
        # Batch, queue and run of a load are numbers that the server reported.
        self.assertRegex(table, r" 0 +\d+\.\d( +\d+\.\d\d){2} +\d+\.\d{3} ")


if __name__ == "__main__":
    absltest.main()
