"""Tests for arrivals."""

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import arrivals


class ClosedTest(absltest.TestCase):
    """A fixed number of calls in flight."""

    def test_all_calls_start_at_once(self) -> None:
        """A call starts for each that has ended, and no other."""
        closed = arrivals.Closed(3)
        self.assertEqual(closed.due(0.5), [0.5] * 3)
        self.assertEqual(closed.due(0.6), [])
        self.assertIsNone(closed.next_time())

    def test_call_that_ended_is_followed_by_another(self) -> None:
        """A call is due once another has ended, and not earlier."""
        closed = arrivals.Closed(3)
        closed.due(0.0)
        closed.ended()
        closed.ended()
        self.assertEqual(closed.due(1.5), [1.5] * 2)

    def test_no_call_starts_after_the_end(self) -> None:
        """No call starts after the time; the last ones may end later."""
        closed = arrivals.Closed(1, seconds=2.0)
        self.assertEqual(closed.due(1.9), [1.9])
        closed.ended()
        self.assertEqual(closed.due(2.0), [])

    def test_load_that_is_stopped_starts_no_more_calls(self) -> None:
        """A stopped load starts no calls though there is room for them."""
        closed = arrivals.Closed(2)
        closed.due(0.0)
        closed.ended()
        closed.stop()
        self.assertEqual(closed.due(1.0), [])

    def test_number_of_calls_is_exact(self) -> None:
        """The number of calls need not be a multiple of those in flight."""
        closed = arrivals.Closed(3, num_calls=4)
        self.assertEqual(len(closed.due(0.0)), 3)
        closed.ended()
        closed.ended()
        self.assertEqual(len(closed.due(0.0)), 1)
        closed.ended()
        self.assertFalse(closed.due(0.0))


class OpenTest(absltest.TestCase):
    """Calls with times of their own."""

    def test_calls_are_due_at_their_times(self) -> None:
        """Each time is due once, whether other calls have ended or not."""
        each = arrivals.Open(iter([0.1, 0.2, 0.3]))
        self.assertEqual(each.due(0.0), [])
        self.assertEqual(each.next_time(), 0.1)
        self.assertEqual(each.due(0.1), [0.1])
        self.assertEqual(each.due(0.25), [0.2])
        self.assertEqual(each.next_time(), 0.3)
        self.assertEqual(each.due(9.0), [0.3])
        self.assertIsNone(each.next_time())

    def test_late_calls_keep_the_time_that_they_were_meant_for(self) -> None:
        """Times that have passed are all due at once."""
        each = arrivals.Open(iter([0.1, 0.2, 0.3]))
        self.assertEqual(each.due(5.0), [0.1, 0.2, 0.3])

    def test_no_times_are_no_calls(self) -> None:
        """A load that is too short for a call has no times."""
        each = arrivals.Open(iter([]))
        self.assertEqual(each.due(1.0), [])
        self.assertIsNone(each.next_time())

    def test_open_load_that_is_stopped_has_no_next_time(self) -> None:
        """A stopped load has neither due calls nor later ones."""
        load = arrivals.Open(iter([1.0, 2.0]))
        load.stop()
        self.assertEqual(load.due(3.0), [])
        self.assertIsNone(load.next_time())


class PoissonTimesTest(absltest.TestCase):
    """Times at random."""

    def test_seed_decides_the_times(self) -> None:
        """The same seed gives the same times."""
        one, same, other = (
            list(arrivals.poisson_times(100.0, 1.0, seed)) for seed in (1, 1, 2)
        )
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)

    def test_times_have_the_rate(self) -> None:
        """Times are in order, and exponential from one to the next."""
        times = list(arrivals.poisson_times(1000.0, 10.0, 0))
        self.assertAlmostEqual(len(times), 10_000, delta=300)
        self.assertLess(times[-1], 10.0)
        between = np.diff(times)
        self.assertGreaterEqual(between.min(), 0.0)
        self.assertAlmostEqual(between.std() / between.mean(), 1.0, delta=0.05)


if __name__ == "__main__":
    absltest.main()
