"""Tests for many_models, as the program that a person runs."""

import os
import subprocess

from absl.testing import absltest, parameterized

_PROGRAM = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "many_models"
)


class ManyModelsTest(parameterized.TestCase):
    """The table, and the errors in flags."""

    @parameterized.parameters("--nofiles", "--files")
    def test_table_has_a_row_for_each_number_of_models(self, flag: str) -> None:
        """All phases take some time, except the idle one."""
        table = subprocess.check_output(
            [_PROGRAM, "--num_models=2,3", "--idle_seconds=0.01", flag],
            text=True,
        )
        header, _, *rows = table.splitlines()
        self.assertRegex(header, "models .*CPU s.*idle CPU %.*KB a model")
        self.assertEqual([row.split()[0] for row in rows], ["2", "3"])
        for row in rows:
            _, _, _, idle_cpu, change_cpu, _ = map(float, row.split())
            self.assertGreaterEqual(idle_cpu, 0)
            self.assertGreater(change_cpu, 0)

    def test_numbers_that_are_none_are_refused(self) -> None:
        """The text says which flag, and what it may be."""
        ended = subprocess.run(
            [_PROGRAM, "--num_models=2,many"],
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertNotEqual(ended.returncode, 0)
        self.assertRegex(
            ended.stdout + ended.stderr,
            r"--num_models must be whole numbers from 1 on, such as "
            r"10,100; got\s+2,many",
        )


if __name__ == "__main__":
    absltest.main()
