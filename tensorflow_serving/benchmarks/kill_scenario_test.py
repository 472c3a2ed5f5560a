"""Tests for kill_scenario; reload_under_load_test runs it."""

from absl.testing import absltest

from tensorflow_serving.benchmarks import kill_scenario, setting
from tensorflow_serving.util import errors

_RIGHT = kill_scenario.Restart(7, 7, True, 3.5)
_WRONG = kill_scenario.Restart(7, 6, False, 3.0)


class KillScenarioTest(absltest.TestCase):
    """Servers that are killed."""

    def test_each_restart_must_be_right(self) -> None:
        """One that served an older version is not."""
        (row,) = kill_scenario.KillOutcome((_RIGHT, _RIGHT)).promises()
        self.assertTrue(row.is_kept)
        self.assertTrue(row.reached.startswith("2 (2 beside a half copy"))
        self.assertIn("at most 3.5 s", row.reached)
        (row,) = kill_scenario.KillOutcome((_RIGHT, _WRONG)).promises()
        self.assertFalse(row.is_kept)
        self.assertTrue(row.reached.startswith("1 (1 beside a half copy"))

    def test_without_kills_there_is_nothing_to_do(self) -> None:
        """No server is started for it."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "num_kills"):
            kill_scenario.run(
                setting.Setting(), self.create_tempdir().full_path, 0
            )


if __name__ == "__main__":
    absltest.main()
