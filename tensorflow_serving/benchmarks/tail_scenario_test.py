"""Tests for tail_scenario; reload_under_load_test runs it."""

import collections
import dataclasses

from absl.testing import absltest

from tensorflow_serving.benchmarks import figures, tail_scenario


def _figures(p99_ms: float, num_wrong: int = 0) -> figures.Figures:
    return figures.Figures(
        num_calls=100,
        num_checked=10,
        num_wrong=num_wrong,
        load_errors=collections.Counter(),
        check_errors=collections.Counter(),
        offered_per_second=100.0,
        answers_per_second=100.0,
        p50_ms=1.0,
        p90_ms=2.0,
        p99_ms=p99_ms,
        p999_ms=p99_ms,
        late_p99_ms=0.0,
    )


_GOOD = tail_scenario.Comparison(
    "closed 64",
    "h2load",
    # An outlier among three rounds does not count.
    without=(_figures(10.0), _figures(11.0), _figures(50.0)),
    during=(_figures(22.0), _figures(90.0), _figures(12.0)),
)


class TailScenarioTest(absltest.TestCase):
    """Latency while versions change."""

    def test_medians_are_compared(self) -> None:
        """Twice the latency is allowed."""
        self.assertEqual(_GOOD.ratio, 2.0)
        outcome = tail_scenario.TailOutcome((_GOOD,), 12, 5)
        rows = outcome.promises()
        self.assertTrue(all(row.is_kept for row in rows))
        self.assertIn("12 swaps, and 5 of a large model", rows[-1].what)
        self.assertEqual(rows[-1].reached, "0 failed, 0 wrong of 660 calls")

    def test_ratio_can_break_a_promise(self) -> None:
        """When it is more than 2."""
        slow = dataclasses.replace(_GOOD, during=(_figures(22.1),) * 3)
        rows = tail_scenario.TailOutcome((slow,), 12, 5).promises()
        self.assertEqual([row.is_kept for row in rows], [False, True])

    def test_one_wrong_answer_breaks_a_promise(self) -> None:
        """In any of the rounds."""
        wrong = dataclasses.replace(
            _GOOD, without=(*_GOOD.without[:2], _figures(50.0, num_wrong=1))
        )
        rows = tail_scenario.TailOutcome((wrong,), 12, 5).promises()
        self.assertEqual([row.is_kept for row in rows], [True, False])


if __name__ == "__main__":
    absltest.main()
