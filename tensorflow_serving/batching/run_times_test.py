"""Tests for run_times."""

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import run_times


class _Fixture:
    """The run times of a queue, and a clock."""

    def __init__(self, *first_runs: float, size: int = 64) -> None:
        self.times = run_times.RunTimes()
        self.now = 0.0
        for seconds in first_runs:
            self.run(seconds, size)

    def run(self, seconds: float, size: int = 64) -> None:
        """Runs a batch."""
        self.now += seconds
        self.times.record(size, seconds, self.now)

    def runs_here(self, size: int = 64) -> bool:
        """Asks whether a caller should run a batch."""
        return self.times.may_run_here(size, self.now)

    def serve(self, num_batches: int, *, here: float, elsewhere: float) -> int:
        """Runs batches of 64; returns how many of them a caller ran.

        Args:
          num_batches: How many.
          here: How long a run takes on the thread of the caller.
          elsewhere: How long it takes on a batch thread.
        """
        num_here = 0
        for _ in range(num_batches):
            runs_here = self.runs_here()
            self.run(here if runs_here else elsewhere)
            num_here += runs_here
        return num_here


class QuickTest(parameterized.TestCase):
    """Batches that a caller runs itself."""

    def test_batch_that_never_ran_is_slow(self) -> None:
        """A size that never ran is slow, whatever is known of others."""
        fixture = _Fixture(0.0001, size=8)
        self.assertFalse(fixture.runs_here(64))
        self.assertFalse(fixture.runs_here(9))
        self.assertFalse(fixture.runs_here(4))

    @parameterized.parameters((0.0, True), (0.003, True), (0.0031, False))
    def test_first_run_decides(self, seconds: float, is_quick: bool) -> None:
        """A batch is quick if the one before took 3 ms or less."""
        self.assertEqual(_Fixture(seconds).runs_here(), is_quick)

    @parameterized.parameters(
        (1, (1,)), (2, (2,)), (3, (3, 4)), (4, (3, 4)), (33, (33, 48, 64))
    )
    def test_sizes_up_to_a_power_of_two_are_alike(
        self, size: int, alike: tuple[int, ...]
    ) -> None:
        """Sizes between two powers of two share their runs."""
        fixture = _Fixture(0.001, size=size)
        self.assertEqual(
            [
                n
                for n in (1, 2, 3, 4, 5, 32, 33, 48, 64, 65)
                if fixture.runs_here(n)
            ],
            list(alike),
        )

    def test_sizes_are_quick_each_for_itself(self) -> None:
        """Small batches are for callers though large ones are not."""
        fixture = _Fixture()
        for _ in range(20):
            fixture.run(0.001, 8)
            fixture.run(0.015, 64)
        self.assertTrue(fixture.runs_here(8))
        fixture.run(0.050, 64)
        self.assertTrue(fixture.runs_here(8))

    def test_batch_that_grows_slow_leaves_after_four_runs(self) -> None:
        """The model has a new version, which takes 100 ms."""
        fixture = _Fixture(0.001)
        self.assertEqual(fixture.serve(1_000, here=0.1, elsewhere=0.1), 4)

    def test_very_long_run_counts_at_once(self) -> None:
        """No hiccup is that long, and a caller must not wait again."""
        fixture = _Fixture(0.001, 0.001, 0.001, 0.3)
        self.assertFalse(fixture.runs_here())
        self.assertEqual(fixture.serve(100, here=0.3, elsewhere=0.3), 0)

    def test_batch_that_is_quick_again_comes_back(self) -> None:
        """The model has its old version back; the first run shows it."""
        fixture = _Fixture(0.001)
        fixture.serve(1_000, here=0.1, elsewhere=0.1)
        self.assertEqual(fixture.serve(100, here=0.001, elsewhere=0.001), 99)

    def test_batch_between_the_limits_stays_what_it_is(self) -> None:
        """A size is quick up to 3 ms, and slow until it is below 2 ms."""
        quick = _Fixture(0.001)
        self.assertEqual(quick.serve(50, here=0.0029, elsewhere=0.0029), 50)
        slow = _Fixture(0.001, 0.3)
        self.assertEqual(slow.serve(20, here=0.0021, elsewhere=0.0021), 0)
        self.assertEqual(slow.serve(20, here=0.0019, elsewhere=0.0019), 19)


class HiccupTest(parameterized.TestCase):
    """Runs that take longer than the model needs."""

    @parameterized.parameters(0.05, 0.24)
    def test_hiccup_changes_nothing(self, seconds: float) -> None:
        """Three hiccups in a row, or less, change nothing."""
        fixture = _Fixture(0.001)
        for _ in range(3):
            fixture.run(seconds)
            self.assertTrue(fixture.runs_here())
        fixture.run(0.001)
        self.assertEqual(fixture.serve(100, here=0.001, elsewhere=0.012), 100)

    @parameterized.parameters((0.05,) * 4, (0.3,), (5.0, 0.05, 0.05))
    def test_slow_state_does_not_outlast_a_long_hiccup(
        self, *hiccups: float
    ) -> None:
        """Runs of 12 ms on waiting batch threads do not keep a size slow."""
        fixture = _Fixture(0.001, *hiccups)
        self.assertFalse(fixture.runs_here())
        before = fixture.now
        num_elsewhere = 0
        while not fixture.runs_here():
            fixture.run(0.012)
            num_elsewhere += 1
        self.assertLess(fixture.now - before, 0.15)
        fixture.run(0.001)
        self.assertEqual(fixture.serve(100, here=0.001, elsewhere=0.012), 100)

    def test_first_run_may_be_the_hiccup(self) -> None:
        """A server that starts under load tries again soon."""
        fixture = _Fixture(0.011)
        num_here = fixture.serve(100, here=0.001, elsewhere=0.011)
        self.assertGreaterEqual(num_here, 90)

    def test_slow_model_is_tried_less_and_less(self) -> None:
        """A model of 15 ms holds callers ten times in the first minute."""
        fixture = _Fixture(0.015)
        num_first = fixture.serve(4_000, here=0.015, elsewhere=0.015)
        self.assertIn(num_first, range(8, 11))
        num_later = fixture.serve(40_000, here=0.015, elsewhere=0.015)
        self.assertIn(num_later, range(9, 12))

    def test_model_that_cannot_be_quick_is_never_tried(self) -> None:
        """More than 20 ms are not the doing of the interpreter."""
        fixture = _Fixture(0.021)
        self.assertEqual(fixture.serve(10_000, here=0.021, elsewhere=0.021), 0)

    def test_trial_that_has_a_hiccup_is_repeated(self) -> None:
        """A trial that has a hiccup is repeated after twice as long."""
        fixture = _Fixture(0.010)
        fixture.now = 0.2
        self.assertTrue(fixture.runs_here())
        self.assertFalse(fixture.runs_here())
        fixture.run(0.050)
        fixture.now = 0.39
        self.assertFalse(fixture.runs_here())
        fixture.now = 0.41
        self.assertTrue(fixture.runs_here())
        fixture.run(0.001)
        self.assertTrue(fixture.runs_here())


class TypicalTest(absltest.TestCase):
    """The length of a run of any size."""

    def test_typical_run_follows_the_last_ones(self) -> None:
        """A fifth of each run counts; the typical run is 0 before the first."""
        times = run_times.RunTimes()
        self.assertEqual(times.typical_seconds, 0)
        times.record(1, 1.0, 0)
        self.assertEqual(times.typical_seconds, 1.0)
        times.record(64, 2.0, 0)
        self.assertAlmostEqual(times.typical_seconds, 1.2)

    def test_round_has_as_many_runs_as_fit_in_a_millisecond(self) -> None:
        """A round is one run if that takes longer, or an unknown time."""
        for seconds, size in ((None, 1), (0.5, 1), (0.0004, 2), (0.00003, 33)):
            times = run_times.RunTimes()
            if seconds is not None:
                times.record(1, seconds, 0)
            self.assertEqual(times.round_size, size)


if __name__ == "__main__":
    absltest.main()
