"""Tests for many_models, as the program that a person runs."""

import os
import re
import subprocess

from absl.testing import absltest

_PROGRAM = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "many_models"
)


def _run(*flags: str) -> subprocess.CompletedProcess[str]:
    """Runs the program."""
    return subprocess.run(
        [_PROGRAM, *flags], capture_output=True, text=True, check=False
    )


class ManyModelsTest(absltest.TestCase):
    """The table, and the errors in flags."""

    def test_table_has_a_row_for_each_number_of_models(self) -> None:
        """The header names the units."""
        ended = _run("--num_models=2,3", "--idle_seconds=0.01")
        self.assertEqual(ended.returncode, 0, ended.stderr)
        header, *rows = ended.stdout.splitlines()
        self.assertRegex(header, "models .*CPU s.*idle CPU %.*KB a model")
        self.assertEqual([row.split()[0] for row in rows], ["2", "3"])

    def test_numbers_that_are_none_are_refused(self) -> None:
        """The text says which flag, and what it may be."""
        ended = _run("--num_models=2,many")
        self.assertNotEqual(ended.returncode, 0)
        self.assertTrue(
            re.search(
                r"--num_models must be whole numbers from 1 on, such as "
                r"10,100; got\s+2,many",
                ended.stdout + ended.stderr,
            )
        )


if __name__ == "__main__":
    absltest.main()
