"""Tests for measurement."""

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import loads, measurement
from tensorflow_serving.util import errors


def _measurement(
    codes: list[int], latency_ms: float = 2.0, num_wrong: int = 0
) -> measurement.Measurement:
    number = len(codes)
    made = loads.Calls(
        begin_time=0.0,
        seconds=2.0,
        latency_seconds=np.full(number, latency_ms / 1e3),
        late_seconds=np.zeros(number),
        done_seconds=np.ones(number),
        codes=np.array(codes, np.int16),
        num_wrong=num_wrong,
    )
    return measurement.of(made, loads.ClosedLoad(8, 2.0), "ours", "h2load")


class MeasurementTest(absltest.TestCase):
    """Rows of a table."""

    def test_rounds_become_medians_of_measures_and_sums_of_counts(self) -> None:
        """One slow round does not count, one wrong answer does."""
        overall = measurement.over_rounds(
            [
                _measurement([0] * 10, latency_ms=3.0),
                _measurement([0] * 20, latency_ms=99.0, num_wrong=1),
                _measurement(
                    [0] * 12 + [errors.StatusCode.UNAVAILABLE], latency_ms=4.0
                ),
            ]
        )
        assert overall.p50_ms is not None
        self.assertAlmostEqual(overall.p50_ms, 4.0)
        self.assertEqual(overall.answers_per_second, 6.0)
        self.assertEqual(overall.num_calls, 43)
        self.assertEqual(overall.num_wrong, 1)
        self.assertEqual(overall.errors, {"UNAVAILABLE": 1})
        self.assertEqual(overall.load, "closed 8")
        self.assertIsNone(overall.resident_mb)
        self.assertFalse(overall.is_clean)

    def test_table_shows_numbers_and_what_is_not_known(self) -> None:
        """A load without answers has a dash in the place of its latency."""
        text = measurement.table(
            [_measurement([0, 0]), _measurement([errors.StatusCode.UNKNOWN])]
        )
        _, _, answered, failed = text.splitlines()
        self.assertRegex(answered, r"^closed 8 +ours +h2load +1 +1 +2\.00 .*0$")
        self.assertRegex(failed, r"^closed 8 +ours .* - .*UNKNOWN 1$")


if __name__ == "__main__":
    absltest.main()
