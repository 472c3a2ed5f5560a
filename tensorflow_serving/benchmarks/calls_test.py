"""Tests for calls."""

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
    """Rates, percentiles and errors of calls."""

    def test_percentiles_are_milliseconds(self) -> None:
        """Percentiles are linear between the nearest two calls."""
        made = _calls([0.001 * number for number in range(101)])
        found = made.latency_percentiles_ms([50.0, 99.0, 99.9])
        np.testing.assert_allclose(
            np.array(found, np.float64), [50.0, 99.0, 99.9]
        )

    def test_failed_calls_have_no_latency(self) -> None:
        """Errors that come at once do not make a server look fast."""
        made = _calls([0.5, 0.0, 0.5], [_OK, _UNAVAILABLE, _OK])
        self.assertEqual(made.latency_percentiles_ms([0.0]), [500.0])
        self.assertEqual(made.answers_per_second, 0.2)
        self.assertEqual(dict(made.errors()), {"UNAVAILABLE": 1})

    def test_load_without_answers_has_no_percentiles(self) -> None:
        """Percentiles of no answers are None."""
        made = _calls([0.5], [_UNAVAILABLE])
        self.assertEqual(made.latency_percentiles_ms([50.0]), [None])

    def test_unanswered_calls_are_errors(self) -> None:
        """Calls with status 200 of HTTP and no message are errors."""
        made = _calls([0.5] * 20, num_unanswered=5)
        self.assertEqual(dict(made.errors()), {calls.NO_ANSWER: 5})
        self.assertEqual(made.answers_per_second, 1.5)


if __name__ == "__main__":
    absltest.main()
