"""Tests for promises."""

import collections
import dataclasses
import json

from absl.testing import absltest

from tensorflow_serving.benchmarks import promises

_KEPT = promises.Promise("failed calls", "0", "0 of 7", True)
_BROKEN = promises.Promise("memory", "1.10", "1.50", False)


@dataclasses.dataclass(frozen=True)
class _Inner:
    errors: collections.Counter[str]


@dataclasses.dataclass(frozen=True)
class _Outcome:
    inner: _Inner
    ratios: tuple[float, ...]

    def promises(self) -> list[promises.Promise]:
        """See Outcome."""
        return [_KEPT, _BROKEN]


class PromisesTest(absltest.TestCase):
    """The report."""

    def test_table_says_what_was_not_kept(self) -> None:
        """A line each."""
        lines = promises.to_text([_KEPT, _BROKEN]).splitlines()
        self.assertEqual(
            [line.split() for line in lines[2:]],
            [
                ["failed", "calls", "0", "0", "of", "7", "yes"],
                ["memory", "1.10", "1.50", "NO"],
            ],
        )

    def test_scenario_that_failed_is_a_row(self) -> None:
        """With the first line of the error; JSON has all of it."""
        failure = promises.Failure("kills", "server must listen\ngot no log")
        self.assertEqual(
            failure.promises(),
            [
                promises.Promise(
                    "kills", "comes to its end", "server must listen", False
                )
            ],
        )
        found = json.loads(promises.to_json({"kills": failure}, {}))
        self.assertEqual(
            found["scenarios"]["kills"]["outcome"]["error"],
            "server must listen\ngot no log",
        )

    def test_json_has_rows_and_figures(self) -> None:
        """None for what is not known, as JSON has no NaN."""
        outcome = _Outcome(
            _Inner(collections.Counter(UNAVAILABLE=2)), (1.5, float("nan"))
        )
        found = json.loads(promises.to_json({"swaps": outcome}, {"cpus": 2}))
        self.assertEqual(found["facts"], {"cpus": 2})
        self.assertEqual(
            found["scenarios"]["swaps"]["promises"],
            [dataclasses.asdict(_KEPT), dataclasses.asdict(_BROKEN)],
        )
        self.assertEqual(
            found["scenarios"]["swaps"]["outcome"],
            {"inner": {"errors": {"UNAVAILABLE": 2}}, "ratios": [1.5, None]},
        )


if __name__ == "__main__":
    absltest.main()
