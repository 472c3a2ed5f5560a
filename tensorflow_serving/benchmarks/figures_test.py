"""Tests for figures."""

import collections

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import (
    calls,
    checking_client,
    figures,
    process_watcher,
    server_timing,
)


def _calls() -> calls.Calls:
    return calls.Calls(
        begin_time=100.0,
        seconds=2.0,
        latency_seconds=np.full(10, 0.004),
        late_seconds=np.full(10, 0.001),
        done_seconds=np.full(10, 1.0),
        codes=np.array([0] * 8 + [14] * 2, np.int16),
        num_wrong=1,
    )


def _check(
    done_time: float, batch_size: float = 1.0, code: str = "OK"
) -> checking_client.Check:
    timing = server_timing.ServerTiming(1.0, 2.0, 3.0, 6.0, batch_size)
    return checking_client.Check(done_time, code, code == "OK", timing)


def _figures(p50_ms: float, num_wrong: int = 0) -> figures.Figures:
    return figures.Figures(
        num_calls=10,
        num_checked=5,
        num_wrong=num_wrong,
        load_errors=collections.Counter(UNAVAILABLE=num_wrong),
        check_errors=collections.Counter(),
        offered_per_second=1.0,
        answers_per_second=1.0,
        p50_ms=p50_ms,
        p90_ms=1.0,
        p99_ms=1.0,
        p999_ms=1.0,
        late_p99_ms=1.0,
    )


class FiguresOfOneRoundTest(absltest.TestCase):
    """What a row of the report says."""

    def test_errors_of_both_clients_add_up(self) -> None:
        """And their wrong answers."""
        wrong = checking_client.Check(101.0, "OK", False, None)
        checks = checking_client.Checks(
            [_check(101.0, code="UNAVAILABLE"), wrong]
        )
        found = figures.of(_calls(), checks)
        self.assertEqual(dict(found.errors), {"UNAVAILABLE": 3})
        self.assertEqual(found.num_wrong, 2)

    def test_cpu_is_that_of_all_requests(self) -> None:
        """0.006 s for 10 calls and 2 checks are 0.5 s for 1,000."""
        found = figures.of(
            _calls(),
            checking_client.Checks([_check(101.0)] * 2),
            process_watcher.Usage(1.0, 0),
            process_watcher.Usage(1.006, 3 * 2**20),
        )
        assert found.cpu_seconds_per_1000 is not None
        self.assertAlmostEqual(found.cpu_seconds_per_1000, 0.5)
        self.assertEqual(found.resident_mb, 3.0)

    def test_timing_is_that_of_the_load(self) -> None:
        """The server is idle before and after it, and its batches are small."""
        checks = checking_client.Checks(
            [
                _check(99.9),
                _check(100.5, batch_size=10.0),
                _check(101.5, batch_size=20.0),
                _check(102.1),
            ]
        )
        found = figures.of(_calls(), checks)
        assert found.timing is not None
        self.assertEqual(found.timing.batch_size, 15.0)

    def test_what_was_not_measured_is_not_known(self) -> None:
        """As for servers that others started."""
        found = figures.of(_calls())
        self.assertIsNone(found.timing)
        self.assertIsNone(found.cpu_seconds_per_1000)
        self.assertIsNone(found.resident_mb)


class OverRoundsTest(absltest.TestCase):
    """Several rounds as one."""

    def test_measures_are_medians(self) -> None:
        """One slow round does not count."""
        found = figures.over_rounds(
            [_figures(1.0), _figures(9.0), _figures(2.0)]
        )
        self.assertEqual(found.p50_ms, 2.0)
        self.assertIsNone(found.timing)

    def test_counts_are_sums(self) -> None:
        """One wrong answer does."""
        found = figures.over_rounds([_figures(1.0), _figures(1.0, num_wrong=1)])
        self.assertEqual(found.num_wrong, 1)
        self.assertEqual(found.num_calls, 20)
        self.assertEqual(dict(found.errors), {"UNAVAILABLE": 1})


if __name__ == "__main__":
    absltest.main()
