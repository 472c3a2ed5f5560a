"""Tests for slow_copy_scenario; reload_under_load_test runs it."""

import collections
import dataclasses

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import load_outcome, slow_copy_scenario

_LOAD = load_outcome.LoadOutcome(
    num_calls=1000,
    errors=collections.Counter(),
    num_wrong=0,
    num_too_early=0,
    num_too_late=0,
    p50_ms=1.0,
    p99_ms=2.0,
)
_GOOD = slow_copy_scenario.SlowCopyOutcome(
    num_steps=20,
    seconds_until_available=1.4,
    poll_seconds=0.5,
    reason="UNAVAILABLE: version must be complete",
    load=_LOAD,
)


class SlowCopyScenarioTest(parameterized.TestCase):
    """A version that comes in parts."""

    def test_good_outcome_keeps_all_promises(self) -> None:
        """It may take one period and a second."""
        rows = _GOOD.promises()
        self.assertTrue(all(row.is_kept for row in rows))
        self.assertEqual(rows[1].target, "1.5 (one poll + 1)")

    @parameterized.parameters(
        ([True, False, True], {"seconds_until_available": 1.6}),
        ([False, False, True], {"seconds_until_available": -0.1}),
    )
    def test_time_can_break_a_promise(
        self, kept: list[bool], changes: dict[str, float]
    ) -> None:
        """Too late, or before the version was whole."""
        outcome = dataclasses.replace(_GOOD, **changes)  # type: ignore[arg-type]
        self.assertEqual([row.is_kept for row in outcome.promises()], kept)

    @parameterized.parameters(
        ([False, True, False], {"num_too_early": 1}),
        ([True, True, False], {"num_wrong": 1}),
    )
    def test_one_bad_call_breaks_a_promise(
        self, kept: list[bool], changes: dict[str, int]
    ) -> None:
        """Such as the answer of a version that was half there."""
        load = dataclasses.replace(_LOAD, **changes)  # type: ignore[arg-type]
        outcome = dataclasses.replace(_GOOD, load=load)
        self.assertEqual([row.is_kept for row in outcome.promises()], kept)


if __name__ == "__main__":
    absltest.main()
