"""Tests for swap_scenario; reload_under_load_test runs it."""

import collections
import dataclasses

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import (
    load_outcome,
    setting,
    swap_scenario,
)
from tensorflow_serving.util import errors

_LOAD = load_outcome.LoadOutcome(
    num_calls=1000,
    errors=collections.Counter(),
    num_wrong=0,
    num_too_early=0,
    num_too_late=0,
    p50_ms=1.0,
    p99_ms=2.0,
)
_GOOD = swap_scenario.SwapOutcome(
    num_swaps=500,
    load=_LOAD,
    num_first_swaps=10,
    first_resident_mb=600.0,
    last_resident_mb=660.0,
)


class SwapScenarioTest(parameterized.TestCase):
    """Versions that take each other's place."""

    def test_good_outcome_keeps_all_promises(self) -> None:
        """A tenth more memory is allowed."""
        rows = _GOOD.promises()
        self.assertTrue(all(row.is_kept for row in rows))
        self.assertIn("1.100 (600, 660 MB)", rows[-1].reached)

    @parameterized.parameters(
        (0, "3, UNAVAILABLE 3", {"errors": {"UNAVAILABLE": 3}}),
        (1, "1", {"num_wrong": 1}),
        (1, "1", {"num_too_early": 1}),
        (2, "1", {"num_too_late": 1}),
    )
    def test_one_bad_call_breaks_a_promise(
        self, row: int, text: str, changes: dict[str, object]
    ) -> None:
        """And only one."""
        if "errors" in changes:
            changes = {"errors": collections.Counter(changes["errors"])}  # type: ignore[call-overload]
        load = dataclasses.replace(_LOAD, **changes)  # type: ignore[arg-type]
        rows = dataclasses.replace(_GOOD, load=load).promises()
        self.assertEqual(
            [each.is_kept for each in rows], [each != row for each in range(5)]
        )
        self.assertEqual(rows[row].reached, text)

    def test_memory_that_grows_breaks_a_promise(self) -> None:
        """By more than a tenth."""
        rows = dataclasses.replace(_GOOD, last_resident_mb=661.0).promises()
        self.assertFalse(rows[-1].is_kept)

    def test_without_swaps_there_is_nothing_to_do(self) -> None:
        """No server is started for it."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "num_swaps"):
            swap_scenario.run(
                setting.Setting(), self.create_tempdir().full_path, 0
            )


if __name__ == "__main__":
    absltest.main()
