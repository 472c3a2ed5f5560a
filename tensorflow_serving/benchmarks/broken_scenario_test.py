"""Tests for broken_scenario; reload_under_load_test runs it."""

import collections
import dataclasses

from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import broken_scenario, load_outcome

_LOAD = load_outcome.LoadOutcome(
    num_calls=1000,
    errors=collections.Counter(),
    num_wrong=0,
    num_too_early=0,
    num_too_late=0,
    p50_ms=1.0,
    p99_ms=2.0,
)
_VERSION = broken_scenario.BrokenVersion(
    breaker="no signature",
    reason="FAILED_PRECONDITION: there is none",
    was_available=False,
    is_old_there=True,
    did_next_load=True,
)


class BrokenScenarioTest(parameterized.TestCase):
    """Versions that come broken."""

    def test_good_outcome_keeps_all_promises(self) -> None:
        """A row for each version has its reason."""
        rows = broken_scenario.BrokenOutcome((_VERSION,), _LOAD).promises()
        self.assertTrue(all(row.is_kept for row in rows))
        self.assertEqual(rows[0].what, "broken: no signature")
        self.assertEqual(rows[0].reached, _VERSION.reason)

    @parameterized.parameters(
        ("no reason", {"reason": ""}),
        ("was available", {"was_available": True}),
        ("old one ended", {"is_old_there": False}),
        ("next one did not load", {"did_next_load": False}),
    )
    def test_each_part_of_a_promise_can_be_broken(
        self, text: str, changes: dict[str, object]
    ) -> None:
        """The row says which."""
        version = dataclasses.replace(_VERSION, **changes)  # type: ignore[arg-type]
        rows = broken_scenario.BrokenOutcome((version,), _LOAD).promises()
        self.assertEqual([row.is_kept for row in rows], [False, True])
        self.assertIn(text, rows[0].reached)

    def test_one_bad_call_breaks_a_promise(self) -> None:
        """Though all versions came to the end that they should."""
        load = dataclasses.replace(_LOAD, num_wrong=1)
        rows = broken_scenario.BrokenOutcome((_VERSION,), load).promises()
        self.assertEqual([row.is_kept for row in rows], [True, False])

    def test_long_reason_is_cut(self) -> None:
        """The table stays readable."""
        version = dataclasses.replace(_VERSION, reason="x" * 500)
        rows = broken_scenario.BrokenOutcome((version,), _LOAD).promises()
        self.assertEqual(rows[0].reached, "x" * 77 + "...")


if __name__ == "__main__":
    absltest.main()
