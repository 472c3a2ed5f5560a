"""Tests for poll_loop: when each servable is polled, on a thread."""

from collections.abc import Sequence

from absl.testing import absltest

from tensorflow_serving.sources.storage_path import poll_loop
from tensorflow_serving.test_util import fake_clock


class PollLoopTest(absltest.TestCase):
    """A loop on a clock that the test moves."""

    def setUp(self) -> None:
        """Makes a loop that records what it polls, and when."""
        super().setUp()
        self._clock = fake_clock.FakeClock()
        self._polls: list[tuple[float, Sequence[str]]] = []
        self._loop = poll_loop.PollLoop(self._poll, self._clock, "a thread")
        self.addCleanup(self._loop.join)
        self.addCleanup(self._loop.close)

    def _poll(self) -> None:
        self._polls.append((self._clock.now(), self._loop.take_due()))

    def _advance(self, *seconds: float) -> None:
        """Moves the clock step by step; the thread has looked each time."""
        for each in seconds:
            self._clock.advance_micros(round(each * 1e6))
            self._clock.settle(threads=1)

    def test_all_are_polled_at_the_start(self) -> None:
        """The thread begins with a poll of everything."""
        self._loop.poll_by("b", 9)
        self._loop.start_over(["a", "b"])
        self._loop.join()
        self.assertEqual(self._polls, [(0, ["a", "b"])])

    def test_servable_that_is_not_named_at_a_start_is_not_due(self) -> None:
        """A new start ends the times of before."""
        self._loop.poll_by("b", 0)
        self._loop.start_over(["a"])
        self._loop.join()
        self.assertEqual(self._polls, [(0, ["a"])])

    def test_each_is_polled_at_its_own_time(self) -> None:
        """The thread wakes at the first time of all, and ends at the last."""
        self._loop.poll_by("a", 2)
        self._loop.poll_by("b", 1)
        self._loop.poll_by("c", 4)
        self._loop.hurry("d")
        self._advance(0, 1, 1, 1)
        self._clock.advance_micros(1_000_000)
        self._loop.join()
        self.assertEqual(
            self._polls, [(0, ["d"]), (1, ["b"]), (2, ["a"]), (4, ["c"])]
        )

    def test_earlier_time_counts(self) -> None:
        """A time does not put off a poll that is due before."""
        self._loop.poll_by("a", 1)
        self._loop.poll_by("a", 5)
        self.assertEqual(self._loop.take_due(), [])
        self._clock.advance_micros(1_000_000)
        self.assertEqual(self._loop.take_due(), ["a"])
        self.assertEqual(self._loop.take_due(), [])

    def test_hurries_have_time_between_them(self) -> None:
        """Reasons that come at once lead to one poll in a quarter second."""
        self._loop.poll_by("z", 100)  # keeps the thread
        self._loop.hurry("a")
        self._advance(0)
        for _ in range(2):
            self._loop.hurry("a")
            self._advance(0.125, 0.125)
        self.assertEqual(self._polls, [(0, ["a"]), (0.25, ["a"]), (0.5, ["a"])])

    def test_servable_may_hurry_beside_another(self) -> None:
        """The time between hurries is that of one servable."""
        self._loop.hurry("a")
        self._loop.join()
        self._loop.hurry("b")
        self._loop.join()
        self.assertEqual(self._polls, [(0, ["a"]), (0, ["b"])])

    def test_forgotten_servable_may_hurry_at_once(self) -> None:
        """Another servable of the name has nothing to do with the old one."""
        self._loop.hurry("a")
        self._loop.join()
        self._loop.poll_by("a", 7)
        self._loop.forget("a")
        self._loop.hurry("a")
        self._loop.join()
        self.assertEqual(self._polls, [(0, ["a"])] * 2)

    def test_cleared_servable_is_not_due(self) -> None:
        """A servable that somebody polls now does not need another poll."""
        self._loop.poll_by("a", 0)
        self._loop.poll_by("b", 0)
        self._loop.clear(["a", "c"])
        self.assertEqual(self._loop.take_due(), ["b"])

    def test_thread_waits_for_no_time_after_its_close(self) -> None:
        """A closed loop ends without a poll, and starts no other thread."""
        self._loop.poll_by("b", 1)
        self._loop.hurry("a")
        self._advance(0)
        self._loop.close()
        self._loop.join()
        self._loop.start_over(["a", "b"])
        self._loop.hurry("a")
        self._loop.join()
        self.assertEqual(self._polls, [(0, ["a"])])


if __name__ == "__main__":
    absltest.main()
