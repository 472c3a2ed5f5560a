"""Tests for arrivals."""

import numpy as np
from absl.testing import absltest

from tensorflow_serving.benchmarks import arrivals


class ClosedTest(absltest.TestCase):
    """A fixed number of calls in flight."""

    def test_all_calls_start_at_once(self) -> None:
        """And no more of them until one has ended."""
        closed = arrivals.Closed(3)
        self.assertEqual(closed.due(0.5), [0.5] * 3)
        self.assertEqual(closed.due(0.6), [])
        self.assertIsNone(closed.next_time())

    def test_call_that_ended_is_followed_by_another(self) -> None:
        """Meant to start then, and not earlier."""
        closed = arrivals.Closed(3)
        closed.due(0.0)
        closed.ended()
        closed.ended()
        self.assertEqual(closed.due(1.5), [1.5] * 2)

    def test_no_call_starts_after_the_end(self) -> None:
        """The last of them may end later."""
        closed = arrivals.Closed(1, seconds=2.0)
        self.assertEqual(closed.due(1.9), [1.9])
        closed.ended()
        self.assertEqual(closed.due(2.0), [])

    def test_load_that_is_stopped_starts_no_more_calls(self) -> None:
        """Though there is room for them."""
        closed = arrivals.Closed(2)
        closed.due(0.0)
        closed.ended()
        closed.stop()
        self.assertEqual(closed.due(1.0), [])

    def test_number_of_calls_is_exact(self) -> None:
        """Also when it is no multiple of those in flight."""
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
        """Each once, whether others have ended or not."""
        each = arrivals.Open(iter([0.1, 0.2, 0.3]))
        self.assertEqual(each.due(0.0), [])
        self.assertEqual(each.next_time(), 0.1)
        self.assertEqual(each.due(0.1), [0.1])
        self.assertEqual(each.due(0.25), [0.2])
        self.assertEqual(each.next_time(), 0.3)
        self.assertEqual(each.due(9.0), [0.3])
        self.assertIsNone(each.next_time())

    def test_late_calls_keep_the_time_that_they_were_meant_for(self) -> None:
        """All of them are due at once."""
        each = arrivals.Open(iter([0.1, 0.2, 0.3]))
        self.assertEqual(each.due(5.0), [0.1, 0.2, 0.3])

    def test_no_times_are_no_calls(self) -> None:
        """Such as those of a load that is too short."""
        each = arrivals.Open(iter([]))
        self.assertEqual(each.due(1.0), [])
        self.assertIsNone(each.next_time())


class PoissonTimesTest(absltest.TestCase):
    """Times at random."""

    def test_seed_decides_the_times(self) -> None:
        """So that rounds can be repeated."""
        one, same, other = (
            list(arrivals.poisson_times(100.0, 1.0, seed)) for seed in (1, 1, 2)
        )
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)

    def test_times_have_the_rate(self) -> None:
        """They are in order; the time between two is exponential."""
        times = list(arrivals.poisson_times(1000.0, 10.0, 0))
        self.assertAlmostEqual(len(times), 10_000, delta=300)
        self.assertLess(times[-1], 10.0)
        between = np.diff(times)
        self.assertGreaterEqual(between.min(), 0.0)
        self.assertAlmostEqual(between.std() / between.mean(), 1.0, delta=0.05)


if __name__ == "__main__":
    absltest.main()
