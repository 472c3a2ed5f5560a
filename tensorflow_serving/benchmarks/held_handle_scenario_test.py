"""Tests for held_handle_scenario."""

import dataclasses

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import held_handle_scenario, setting

_GOOD = held_handle_scenario.HeldHandleOutcome(
    hold_seconds=30.0,
    ended_early=False,
    end_seconds=0.1,
    close_seconds=0.001,
    num_requests=10,
    num_failed=0,
    slowest_get_seconds=0.001,
    num_warnings=5,
)


class HeldHandleScenarioTest(parameterized.TestCase):
    """A handle that is held."""

    def test_unload_waits_for_the_handle(self) -> None:
        """Others get handles on the new version meanwhile."""
        outcome = held_handle_scenario.run(
            setting.Setting(poll_seconds=0.05),
            self.create_tempdir().full_path,
            hold_seconds=0.2,
        )
        self.assertFalse(outcome.ended_early)
        self.assertLess(outcome.end_seconds, float("inf"))
        self.assertGreater(outcome.num_requests, 0)
        self.assertEqual(outcome.num_failed, 0)

    def test_good_outcome_keeps_all_promises(self) -> None:
        """As it is after a short time, when there is no warning yet."""
        short = dataclasses.replace(_GOOD, hold_seconds=1.0, num_warnings=0)
        for outcome in (_GOOD, short):
            self.assertEqual(
                [each.is_kept for each in outcome.promises()], [True] * 3
            )

    @parameterized.parameters(
        (0, {"ended_early": True}),
        (0, {"end_seconds": 1.5}),
        (1, {"num_failed": 1}),
        (1, {"slowest_get_seconds": 0.6}),
        (1, {"close_seconds": 0.6}),
        (2, {"num_warnings": 0}),
    )
    def test_each_promise_can_be_broken(
        self, row: int, changes: dict[str, float]
    ) -> None:
        """By one figure."""
        outcome = dataclasses.replace(_GOOD, **changes)  # type: ignore[arg-type]
        kept = [each.is_kept for each in outcome.promises()]
        self.assertEqual(kept, [each != row for each in range(3)])


if __name__ == "__main__":
    absltest.main()
