"""Tests for stall_guard."""

import functools
import itertools
import threading
from collections.abc import Callable

from absl.testing import absltest

from tensorflow_serving.sources.storage_path import stall_guard
from tensorflow_serving.test_util import fake_clock

_PATIENCE_MICROS = 3_000_000


class StallGuardTest(absltest.TestCase):
    """Jobs, some of which do not end."""

    def setUp(self) -> None:
        """Makes a guard on a clock that the test moves."""
        super().setUp()
        self._clock = fake_clock.FakeClock()
        self._guard = stall_guard.StallGuard[str, int](
            _PATIENCE_MICROS / 1e6, self._clock
        )
        self._go_on = threading.Event()
        self.addCleanup(self._go_on.set)
        self._outcomes: list[dict[str, int]] = []

    def _hang(self) -> int:
        self._go_on.wait()
        return 7

    def _start(self, jobs: dict[str, Callable[[], int]]) -> threading.Thread:
        """Runs jobs on a thread, until one of them hangs."""
        thread = threading.Thread(
            target=lambda: self._outcomes.append(self._guard.run(jobs))
        )
        thread.start()
        self._clock.settle(threads=1)
        return thread

    def _run_while_one_stalls(self) -> None:
        started = threading.Event()

        def hang() -> int:
            started.set()
            return self._hang()

        thread = self._start({"a": lambda: 1, "b": hang, "c": lambda: 3})
        started.wait()
        self._clock.settle(threads=1)
        self._clock.advance_micros(_PATIENCE_MICROS)
        thread.join()

    def test_outcomes_are_those_of_all_jobs(self) -> None:
        """They run in their order, and again the next time."""
        for _ in range(2):
            numbers = itertools.count(1)
            jobs = dict.fromkeys("abc", functools.partial(next, numbers))
            self.assertEqual(self._guard.run(jobs), {"a": 1, "b": 2, "c": 3})

    def test_stalled_job_holds_up_no_other(self) -> None:
        """It has no outcome, and is left alone from then on."""
        self._run_while_one_stalls()
        self.assertEqual(self._outcomes, [{"a": 1, "c": 3}])
        self.assertTrue(self._guard.is_stalled("b"))
        self.assertFalse(self._guard.is_stalled("a"))
        self.assertEqual(
            self._guard.run({"b": lambda: 9, "c": lambda: 4}), {"c": 4}
        )

    def test_outcome_of_a_job_that_ends_late_is_that_of_the_next_run(
        self,
    ) -> None:
        """A slow job is not run in vain."""
        self._run_while_one_stalls()
        self._go_on.set()
        for thread in threading.enumerate():
            if thread.name == "stall_guard":
                thread.join()
        self.assertFalse(self._guard.is_stalled("b"))
        self.assertEqual(self._guard.run({"b": lambda: 9}), {"b": 7})
        self.assertEqual(self._guard.run({"b": lambda: 9}), {"b": 9})

    def test_forgotten_job_is_run_again(self) -> None:
        """A forgotten job is run again beside the one that still hangs."""
        self._run_while_one_stalls()
        self._guard.forget("b")
        self.assertEqual(self._guard.run({"b": lambda: 9}), {"b": 9})

    def test_close_ends_a_run_at_once(self) -> None:
        """close() ends a run that hangs; later runs do nothing."""
        thread = self._start({"a": self._hang})
        self._guard.close()
        thread.join()
        self.assertEqual(self._outcomes, [{}])
        self.assertEqual(self._guard.run({"c": lambda: 3}), {})

    def test_job_that_raises_has_no_outcome(self) -> None:
        """The next one runs all the same."""

        def fail() -> int:
            raise SystemExit

        with self.assertLogs(level="ERROR"):
            outcomes = self._guard.run({"a": fail, "b": lambda: 2})
        self.assertEqual(outcomes, {"b": 2})


if __name__ == "__main__":
    absltest.main()
