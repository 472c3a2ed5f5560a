"""Tests for loads."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.benchmarks import loads
from tensorflow_serving.util import errors

_OK = errors.StatusCode.OK
_UNAVAILABLE = errors.StatusCode.UNAVAILABLE


class ClosedLoadTest(parameterized.TestCase):
    """A fixed number of calls in flight."""

    @parameterized.parameters(
        (1, 1), (8, 1), (16, 1), (32, 2), (64, 4), (127, 1), (256, 8), (1000, 8)
    )
    def test_connections_share_the_calls_evenly(
        self, concurrency: int, num_connections: int
    ) -> None:
        """Each connection has 16 calls in flight, or more if there are 8."""
        load = loads.ClosedLoad(concurrency, 1.0)
        self.assertEqual(load.num_connections, num_connections)

    def test_connections_may_be_given(self) -> None:
        """The label has the calls in flight on each of them."""
        load = loads.ClosedLoad(256, 1.0, connections=64)
        self.assertEqual(load.num_connections, 64)
        self.assertEqual(str(load), "closed 64 x 4")

    def test_call_that_ended_is_followed_by_another(self) -> None:
        """All start at once, then one for each that has ended, and no other."""
        closed = loads.ClosedLoad(3, 2.0)
        self.assertEqual(closed.due(0.5, 0), [0.5] * 3)
        self.assertEqual(closed.due(0.6, 3), [])
        self.assertIsNone(closed.next_time())
        self.assertEqual(closed.due(1.5, 1), [1.5] * 2)

    def test_no_call_starts_after_the_end(self) -> None:
        """No call starts after the time; the last ones may end later."""
        closed = loads.ClosedLoad(1, 2.0)
        self.assertEqual(closed.due(1.9, 0), [1.9])
        self.assertEqual(closed.due(2.0, 0), [])


class OpenLoadTest(absltest.TestCase):
    """Calls with times of their own."""

    def test_calls_are_due_at_their_times(self) -> None:
        """Each time is due once, whether other calls have ended or not."""
        each = loads.Open(iter([0.1, 0.2, 0.3]))
        self.assertEqual(each.due(0.0, 0), [])
        self.assertEqual(each.next_time(), 0.1)
        self.assertEqual(each.due(0.1, 0), [0.1])
        self.assertEqual(each.due(0.25, 0), [0.2])
        self.assertEqual(each.next_time(), 0.3)
        self.assertEqual(each.due(9.0, 0), [0.3])
        self.assertIsNone(each.next_time())

    def test_late_calls_keep_the_time_that_they_were_meant_for(self) -> None:
        """Times that have passed are all due at once; there may be none."""
        each = loads.Open(iter([0.1, 0.2, 0.3]))
        self.assertEqual(each.due(5.0, 0), [0.1, 0.2, 0.3])
        nothing = loads.Open(iter([]))
        self.assertEqual(nothing.due(1.0, 0), [])
        self.assertIsNone(nothing.next_time())

    def test_seed_decides_the_times(self) -> None:
        """The same seed gives the same times."""
        one, same, other = (
            loads.OpenLoad(100.0, 1.0, seed).arrivals().due(1.0, 0)
            for seed in (1, 1, 2)
        )
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)

    def test_times_have_the_rate(self) -> None:
        """Times are in order, and exponential from one to the next."""
        times = loads.OpenLoad(1000.0, 10.0).arrivals().due(99.0, 0)
        self.assertAlmostEqual(len(times), 10_000, delta=300)
        self.assertLess(times[-1], 10.0)
        between = np.diff(times)
        self.assertGreaterEqual(between.min(), 0.0)
        self.assertAlmostEqual(between.std() / between.mean(), 1.0, delta=0.05)


def _calls(
    latency_seconds: list[float],
    codes: list[int] | None = None,
    *,
    num_unanswered: int = 0,
) -> loads.Calls:
    """Returns calls that ended after each other, in 10 seconds."""
    number = len(latency_seconds)
    return loads.Calls(
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
        no_answers = _calls([0.5], [_UNAVAILABLE])
        self.assertEqual(no_answers.latency_percentiles_ms([50.0]), [None])

    def test_unanswered_calls_are_errors(self) -> None:
        """Calls with status 200 of HTTP and no message are errors."""
        made = _calls([0.5] * 20, num_unanswered=5)
        self.assertEqual(dict(made.errors()), {loads.NO_ANSWER: 5})
        self.assertEqual(made.answers_per_second, 1.5)


if __name__ == "__main__":
    absltest.main()
