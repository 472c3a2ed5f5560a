"""Tests for bounded_runs."""

import threading

from absl.testing import absltest

from tensorflow_serving.servables.tensorflow import bounded_runs
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors


class BoundedRunsTest(absltest.TestCase):
    """Tests with a clock that stands still, and functions that wait."""

    def setUp(self) -> None:
        """Starts two threads that have 10 s."""
        super().setUp()
        self._clock = fake_clock.FakeClock()
        self._runs = self.enter_context(
            bounded_runs.BoundedRuns("test", 2, 10, self._clock)
        )
        self._may_end = threading.Event()
        self.addCleanup(self._may_end.set)

    def test_functions_run_at_the_same_time(self) -> None:
        """Two functions that wait for each other both end."""
        barrier = threading.Barrier(2)
        for _ in range(2):
            self._runs.submit(barrier.wait)
        self.assertTrue(self._runs.wait())

    def test_submit_waits_for_a_free_thread(self) -> None:
        """A third function begins when one of the first two has ended."""
        ends = [threading.Event() for _ in range(2)]
        for end in ends:
            self._runs.submit(end.wait)
        third = threading.Event()
        submitting = threading.Thread(
            target=self._runs.submit, args=(third.set,)
        )
        submitting.start()
        self._clock.settle(threads=1)
        self.assertFalse(third.is_set())
        ends[1].set()
        third.wait()
        submitting.join()
        ends[0].set()
        self.assertTrue(self._runs.wait())

    def test_function_that_fails_is_one_that_has_ended(self) -> None:
        """An exception of a function keeps no thread."""

        def fail() -> None:
            raise ValueError("no")

        for _ in range(5):
            self._runs.submit(fail)
        self.assertTrue(self._runs.wait())

    def test_nothing_begins_after_the_time(self) -> None:
        """A function that runs is waited for, and the next one is refused."""
        self._runs.submit(self._may_end.wait)
        self._clock.advance_micros(10_000_000)
        with self.assertRaisesRegex(
            errors.DeadlineExceededError, "at most 10 s"
        ):
            self._runs.submit(self.fail)
        self._may_end.set()
        self.assertTrue(self._runs.wait())

    def test_submit_that_waits_is_refused_at_the_time(self) -> None:
        """No thread becomes free, so the next function never begins."""
        for _ in range(2):
            self._runs.submit(self._may_end.wait)
        raised: list[Exception] = []

        def submit() -> None:
            try:
                self._runs.submit(self.fail)
            except errors.DeadlineExceededError as error:
                raised.append(error)

        submitting = threading.Thread(target=submit)
        submitting.start()
        self._clock.settle(threads=1)
        self._clock.advance_micros(10_000_000)
        submitting.join()
        self.assertEqual(len(raised), 1)

    def test_wait_ends_though_a_function_does_not(self) -> None:
        """A function that runs has as much time again, then wait() ends."""
        self._runs.submit(self._may_end.wait)
        ended: list[bool] = []
        waiting = threading.Thread(
            target=lambda: ended.append(self._runs.wait())
        )
        waiting.start()
        self._clock.settle(threads=1)
        self._clock.advance_micros(19_999_999)
        self._clock.settle(threads=1)
        self.assertEqual(ended, [])
        self._clock.advance_micros(1)
        waiting.join()
        self.assertEqual(ended, [False])


if __name__ == "__main__":
    absltest.main()
