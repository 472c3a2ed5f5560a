"""Tests for leader_thread."""

import queue
import threading
from collections.abc import Callable
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.util import leader_thread

# A step that is longer than the last one of these holds the thread up.
_SOON_SECONDS = 0.001
_NEVER_SECONDS = 3600.0


class _Steps:
    """Steps that a test hands to whatever thread leads."""

    def __init__(self, max_step_seconds: float) -> None:
        self._steps: queue.Queue[Callable[[], None] | None] = queue.Queue()
        # Whether a thread took over, of each that began to lead.
        self.begun: queue.Queue[bool] = queue.Queue()
        # The id of each that led no longer when its step had ended.
        self.relieved: queue.Queue[int] = queue.Queue()
        self.thread = leader_thread.LeaderThread(
            self._lead, "leader", max_step_seconds
        )

    def run(self, step: Callable[[], None]) -> None:
        """Has the leader run a step."""
        self._steps.put(step)

    def end(self) -> bool:
        """Has the work end; returns whether it is over."""
        self._steps.put(None)
        return self.thread.join(60)

    def _lead(self, takes_over: bool) -> None:
        self.begun.put(takes_over)
        while (step := self._steps.get()) is not None:
            self.thread.begin_step()
            step()
            if not self.thread.end_step():
                self.relieved.put(threading.get_ident())
                return


def _threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "leader"}


class LeaderThreadTest(absltest.TestCase):
    """Tests with steps that end when the test says so."""

    def setUp(self) -> None:
        """Has steps that may hang."""
        super().setUp()
        self.released = threading.Event()
        self.addCleanup(self.released.set)

    def _hang(self) -> None:
        self.released.wait()

    def _start(self, max_step_seconds: float = _SOON_SECONDS) -> _Steps:
        steps = _Steps(max_step_seconds)
        steps.thread.start()
        self.addCleanup(steps.end)
        self.assertFalse(steps.begun.get(timeout=60))
        return steps

    def test_one_thread_leads_while_steps_are_short(self) -> None:
        """No other thread is asked for anything."""
        steps = self._start(_NEVER_SECONDS)
        ids: queue.Queue[int] = queue.Queue()
        for _ in range(100):
            steps.run(lambda: ids.put(threading.get_ident()))
        self.assertEqual(len({ids.get(timeout=60) for _ in range(100)}), 1)
        self.assertTrue(steps.end())
        self.assertTrue(steps.begun.empty())
        self.assertFalse(_threads())

    def test_thread_that_is_held_up_is_replaced(self) -> None:
        """The next one does the steps that follow, and the other one ends."""
        steps = self._start()
        held_up: queue.Queue[int] = queue.Queue()

        def hang() -> None:
            held_up.put(threading.get_ident())
            self.released.wait()

        steps.run(hang)
        self.assertTrue(steps.begun.get(timeout=60))
        leaders: queue.Queue[int] = queue.Queue()
        steps.run(lambda: leaders.put(threading.get_ident()))
        self.assertNotEqual(leaders.get(timeout=60), held_up.get(timeout=60))
        self.assertTrue(steps.relieved.empty())
        self.released.set()
        steps.relieved.get(timeout=60)

    def test_every_leader_that_hangs_is_replaced(self) -> None:
        """A follower of its own follows each of them."""
        steps = self._start()
        for _ in range(5):
            steps.run(self._hang)
            self.assertTrue(steps.begun.get(timeout=60))
        self.released.set()
        self.assertEqual(
            len({steps.relieved.get(timeout=60) for _ in range(5)}), 5
        )
        done = threading.Event()
        steps.run(done.set)
        self.assertTrue(done.wait(60))

    def test_leader_whose_step_raises_is_replaced(self) -> None:
        """The thread ends with the exception, which Python reports."""
        steps = self._start()
        reported: queue.Queue[threading.ExceptHookArgs] = queue.Queue()

        def fail() -> None:
            raise ZeroDivisionError

        with mock.patch.object(threading, "excepthook", reported.put):
            steps.run(fail)
            self.assertTrue(steps.begun.get(timeout=60))
            found = reported.get(timeout=60)
        self.assertIs(found.exc_type, ZeroDivisionError)
        self.assertTrue(steps.end())

    def test_end_does_not_wait_for_a_thread_that_hangs(self) -> None:
        """The work is over when the last leader says so."""
        steps = self._start()
        steps.run(self._hang)
        self.assertTrue(steps.begun.get(timeout=60))
        self.assertTrue(steps.end())
        self.assertEqual(len(_threads()), 1)

    def test_join_waits_no_longer_than_it_may(self) -> None:
        """The work is not over as long as there is a leader."""
        steps = self._start()
        self.assertFalse(steps.thread.join(0))

    def test_only_the_leader_runs_functions(self) -> None:
        """A thread that was held up does not, and no other thread does."""
        steps = self._start()
        ran: queue.Queue[str] = queue.Queue()
        leads: queue.Queue[bool] = queue.Queue()

        def run_nested() -> None:
            steps.thread.run(lambda: ran.put("nested"))

        def hang() -> None:
            self.released.wait()
            leads.put(steps.thread.run(lambda: ran.put("late")))

        steps.run(lambda: leads.put(steps.thread.run(run_nested)))
        steps.run(hang)
        self.assertTrue(steps.begun.get(timeout=60))
        self.released.set()
        self.assertEqual(
            [leads.get(timeout=60) for _ in range(2)], [True, False]
        )
        self.assertFalse(steps.thread.run(lambda: ran.put("other")))
        self.assertTrue(steps.end())
        self.assertFalse(steps.thread.run(lambda: ran.put("over")))
        self.assertEqual(ran.get_nowait(), "nested")
        self.assertTrue(ran.empty())

    def test_function_of_the_leader_is_not_interrupted(self) -> None:
        """Nobody takes over in it, however long it takes."""
        steps = self._start()
        may_end = threading.Event()
        runs = threading.Event()

        def run() -> None:
            runs.set()
            may_end.wait()

        def step() -> None:
            steps.thread.run(run)
            self.released.wait()

        steps.run(step)
        self.assertTrue(runs.wait(60))
        with self.assertRaises(queue.Empty):
            steps.begun.get(timeout=50 * _SOON_SECONDS)
        may_end.set()
        self.assertTrue(steps.begun.get(timeout=60))

    def test_thread_that_comes_back_follows_if_nobody_does(self) -> None:
        """A system without threads to spare gets over it."""
        steps = self._start()
        with (
            mock.patch.object(
                threading.Thread, "start", side_effect=RuntimeError("no more")
            ),
            self.assertLogs(level="WARNING") as log,
        ):
            steps.run(self._hang)
            self.assertTrue(steps.begun.get(timeout=60))
        self.assertIn("No thread can follow: no more", log.output[0])
        self.released.set()
        steps.relieved.get(timeout=60)
        self.released.clear()
        steps.run(self._hang)
        self.assertTrue(steps.begun.get(timeout=60))
        done = threading.Event()
        steps.run(done.set)
        self.assertTrue(done.wait(60))

    def test_start_without_threads_leaves_none(self) -> None:
        """The follower that was started ends."""
        steps = _Steps(_SOON_SECONDS)
        start = threading.Thread.start
        with (
            mock.patch.object(
                threading.Thread,
                "start",
                autospec=True,
                side_effect=[None, RuntimeError("no more")],
            ) as starts,
            self.assertRaisesRegex(RuntimeError, "no more"),
        ):
            steps.thread.start()
        follower = starts.call_args_list[0].args[0]
        start(follower)
        follower.join()
        self.assertTrue(steps.thread.join(0))


if __name__ == "__main__":
    absltest.main()
