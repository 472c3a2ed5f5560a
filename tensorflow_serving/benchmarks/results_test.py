"""Tests for results."""

import collections

from absl.testing import absltest

from tensorflow_serving.benchmarks import figures, results


def _row(target: str, throughputs: list[float], load: str = "x") -> results.Row:
    return results.Row(
        target,
        load,
        "h2load",
        [
            figures.Figures(
                num_calls=1,
                num_checked=0,
                num_wrong=1,
                load_errors=collections.Counter(),
                check_errors=collections.Counter(),
                offered_per_second=throughput,
                answers_per_second=throughput,
                p50_ms=1.0,
                p90_ms=1.0,
                p99_ms=2.0,
                p999_ms=2.0,
                late_p99_ms=0.0,
            )
            for throughput in throughputs
        ],
    )


def _results(
    rows: list[results.Row], soak: list[results.Row] | None = None
) -> results.Results:
    return results.Results("m", "", {}, {}, 1.0, rows, [], None, soak or [])


class ResultsTest(absltest.TestCase):
    """All that a run found out."""

    def test_ratio_is_the_median_of_those_of_the_rounds(self) -> None:
        """A round in which the machine was slow is slow for both servers."""
        (ratios,) = _results(
            [
                _row(results.OURS, [10.0, 100.0, 40.0]),
                _row("other", [20.0, 100.0, 10.0]),
            ]
        ).ratios()
        self.assertEqual(ratios, results.Ratios("other", "x", 1.0, 1.0, 1.0))

    def test_ratio_is_that_of_the_same_load(self) -> None:
        """Of several."""
        ratios = _results(
            [
                _row(results.OURS, [10.0], "closed 1"),
                _row("other", [20.0], "closed 1"),
                _row(results.OURS, [30.0], "closed 2"),
                _row("other", [20.0], "closed 2"),
            ]
        ).ratios()
        self.assertEqual([ratio.throughput for ratio in ratios], [0.5, 1.5])

    def test_wrong_answers_of_every_load_count(self) -> None:
        """Also of the soak."""
        row = _row(results.OURS, [1.0, 1.0])
        self.assertEqual(_results([row], soak=[row]).num_wrong, 4)


if __name__ == "__main__":
    absltest.main()
