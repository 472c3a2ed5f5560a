"""Tests for calls."""

import os

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import calls
from tensorflow_serving.util import errors

_OK = errors.StatusCode.OK
_UNAVAILABLE = errors.StatusCode.UNAVAILABLE


def _calls(
    latency_seconds: list[float],
    codes: list[int] | None = None,
    *,
    num_unanswered: int = 0,
) -> calls.Calls:
    """Returns calls that ended after each other, in 10 seconds."""
    number = len(latency_seconds)
    return calls.Calls(
        begin_time=1000.0,
        seconds=10.0,
        latency_seconds=np.array(latency_seconds),
        late_seconds=np.zeros(number),
        done_seconds=np.linspace(1.0, 10.0, number),
        codes=np.array(codes or [_OK] * number, np.int16),
        num_unanswered=num_unanswered,
    )


class CallsTest(absltest.TestCase):
    """What became of the calls of one load."""

    def test_percentiles_are_milliseconds(self) -> None:
        """Linear between the nearest two calls."""
        made = _calls([0.001 * number for number in range(101)])
        np.testing.assert_allclose(
            made.latency_percentiles_ms([50.0, 99.0, 99.9]), [50.0, 99.0, 99.9]
        )

    def test_failed_calls_have_no_latency(self) -> None:
        """An error that comes at once makes no server fast."""
        made = _calls([0.5, 0.0, 0.5], [_OK, _UNAVAILABLE, _OK])
        self.assertEqual(made.latency_percentiles_ms([0.0]), [500.0])
        self.assertEqual(made.answers_per_second, 0.2)
        self.assertEqual(dict(made.errors()), {"UNAVAILABLE": 1})

    def test_load_without_answers_has_no_percentiles(self) -> None:
        """NaN, which the report shows as unknown."""
        made = _calls([0.5], [_UNAVAILABLE])
        np.testing.assert_equal(made.latency_percentiles_ms([50.0]), [np.nan])

    def test_unanswered_calls_are_errors(self) -> None:
        """Though HTTP calls them a success."""
        made = _calls([0.5] * 20, num_unanswered=5)
        self.assertEqual(dict(made.errors()), {calls.NO_ANSWER: 5})
        self.assertEqual(made.answers_per_second, 1.5)

    def test_start_is_known_on_the_monotonic_clock(self) -> None:
        """When a call did start, not when it was meant to."""
        made = calls.Calls(
            begin_time=1000.0,
            seconds=10.0,
            latency_seconds=np.array([2.0]),
            late_seconds=np.array([0.5]),
            done_seconds=np.array([3.0]),
            codes=np.array([_OK], np.int16),
            begin_monotonic_seconds=70.0,
        )
        np.testing.assert_allclose(made.start_monotonic_seconds, [71.5])
        np.testing.assert_allclose(made.done_monotonic_seconds, [73.0])

    def test_file_keeps_everything(self) -> None:
        """Numbers and arrays."""
        made = _calls([0.1, 0.2], [_OK, _UNAVAILABLE], num_unanswered=1)
        path = os.path.join(self.create_tempdir().full_path, "calls")
        made.save(path)
        for name, value in vars(calls.load(path)).items():
            np.testing.assert_array_equal(value, getattr(made, name), name)


if __name__ == "__main__":
    absltest.main()
