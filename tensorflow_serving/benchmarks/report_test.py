"""Tests for report."""

import collections
import json

from absl.testing import absltest

from tensorflow_serving.benchmarks import (
    figures,
    report,
    results,
    server_timing,
)


def _figures(
    p99_ms: float = 7.0, timing: server_timing.ServerTiming | None = None
) -> figures.Figures:
    return figures.Figures(
        num_calls=2000,
        num_checked=50,
        num_wrong=3,
        load_errors=collections.Counter(UNAVAILABLE=2),
        check_errors=collections.Counter(UNKNOWN=1),
        offered_per_second=1001.0,
        answers_per_second=900.0,
        p50_ms=1.234,
        p90_ms=2.0,
        p99_ms=p99_ms,
        p999_ms=8.0,
        late_p99_ms=0.5,
        timing=timing,
        cpu_seconds_per_1000=0.25,
        resident_mb=300.0,
    )


def _row(
    target: str, load: str, measured: figures.Figures | None = None
) -> results.Row:
    return results.Row(target, load, "h2load", [measured or _figures()])


def _results(**changes: object) -> results.Results:
    arguments: dict[str, object] = {
        "model": "cnn",
        "server_flags": "--max_batch_size=64",
        "facts": {"cpus": 2},
        "in_process": {1: 500.0, 64: 1000.0},
        "capacity": 1800.0,
        "rows": [_row("ours", "closed 64")],
        "sweep": [],
        "overload": None,
        "soak": [],
        **changes,
    }
    return results.Results(**arguments)  # type: ignore[arg-type]


class TextTest(absltest.TestCase):
    """Results for people."""

    def test_table_has_a_row_for_each_load(self) -> None:
        """Errors with their names; what is not known is a dash."""
        text = report.to_text(_results())
        (row,) = (
            line for line in text.splitlines() if line.startswith("closed 64  ")
        )
        self.assertRegex(
            row,
            r"ours +h2load +1001 +900 +1\.23 +2\.00 +7\.00 +8\.00 +- +"
            r"3: UNAVAILABLE 2, UNKNOWN 1 +50 +3 +- +- +- +0\.250 +300$",
        )

    def test_timing_of_the_server_is_shown(self) -> None:
        """Batch size, and milliseconds."""
        timing = server_timing.ServerTiming(1500.0, 10.0, 2500.0, 4010.0, 31.25)
        row = _row("ours", "closed 64", _figures(timing=timing))
        self.assertRegex(
            report.to_text(_results(rows=[row])), r"50 +3 +31\.2 +1\.50 +2\.50 "
        )

    def test_limit_of_the_model_is_a_line(self) -> None:
        """At the best batch size; the server as a part of it."""
        text = report.to_text(_results())
        self.assertIn(
            "limit: 1000 images/s by session.run at batch size 64", text
        )
        self.assertIn("closed 64 (h2load) / limit: 0.900", text)

    def test_other_servers_have_ratios(self) -> None:
        """Ours to theirs."""
        rows = [
            _row("ours", "closed 64", _figures(p99_ms=7.0)),
            _row("triton", "closed 64", _figures(p99_ms=14.0)),
        ]
        self.assertRegex(
            report.to_text(_results(rows=rows)),
            r"closed 64 +ours / triton +1\.000 +1\.000 +0\.500",
        )

    def test_overload_and_soak_are_lines(self) -> None:
        """Goodput to capacity, memory to memory."""
        text = report.to_text(
            _results(
                overload=_row("ours", "open 2"),
                soak=[_row("ours", "soak 1"), _row("ours", "soak 2")],
            )
        )
        self.assertIn("1001 calls/s; goodput / capacity: 0.500", text)
        self.assertIn("300 MB, then 300 MB; ratio: 1.000", text)


class JsonTest(absltest.TestCase):
    """Results for programs."""

    def test_everything_is_in_it(self) -> None:
        """Each round, what is over them, and what they are from."""
        timing = server_timing.ServerTiming(1.0, 2.0, 3.0, 6.0, 4.0)
        measured = _figures(timing=timing)
        found = json.loads(
            report.to_json(_results(rows=[_row("ours", "closed 64", measured)]))
        )
        self.assertEqual(found["facts"], {"cpus": 2})
        (row,) = found["rows"]
        self.assertEqual(row["load"], "closed 64")
        for each in (row["overall"], *row["rounds"]):
            self.assertEqual(each["num_wrong"], 3)
            self.assertEqual(each["load_errors"], {"UNAVAILABLE": 2})
            self.assertEqual(each["timing"]["batch_size"], 4.0)

    def test_nan_is_null(self) -> None:
        """JSON has no NaN."""
        row = _row("ours", "closed 64", _figures(p99_ms=float("nan")))
        found = json.loads(report.to_json(_results(rows=[row])))
        self.assertIsNone(found["rows"][0]["overall"]["p99_ms"])


if __name__ == "__main__":
    absltest.main()
