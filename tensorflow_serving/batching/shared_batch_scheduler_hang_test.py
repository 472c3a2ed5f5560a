"""Tests of shared_batch_scheduler: batches that hang, and who does the rest."""

import contextlib
import queue as queue_lib
import threading
from collections.abc import Iterator
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    shared_batch_scheduler,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors


class _Task(batch_scheduler.BatchTask):
    def __init__(self, *, hangs: bool = False) -> None:
        self.size = 1
        self.hangs = hangs

    def fail(self, error: errors.ServingError) -> None:
        """Needs no answer."""


class _Model:
    """Runs the tasks of a batch one by one; some wait until they are let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.run_seconds = 0.0001
        # The tasks that hang, once they do; and those that have run, and where.
        self.hanging: queue_lib.Queue[_Task] = queue_lib.Queue()
        self.ran: queue_lib.Queue[tuple[_Task, int]] = queue_lib.Queue()

    def process(self, batch: batch_scheduler.Batch[_Task]) -> float:
        """Runs a batch."""
        tasks = [*reversed(batch.tasks)]
        batch.let_go_with(lambda: [tasks.pop() for _ in range(len(tasks))])
        while tasks:
            task = tasks.pop()
            if task.hangs:
                self.hanging.put(task)
                self.go_on.wait()
            self.ran.put((task, threading.get_ident()))
        return self.run_seconds * batch.size

    def next_ran(self) -> _Task:
        """Waits for a task that has run."""
        return self.ran.get(timeout=60)[0]


class _Fixture:
    """A scheduler with two queues of tasks that run alone."""

    def __init__(self, stack: contextlib.ExitStack, num_threads: int) -> None:
        self.clock = fake_clock.FakeClock()
        # An item each time that queues have become stuck or are no longer.
        self.news: queue_lib.Queue[None] = queue_lib.Queue()
        self.scheduler = stack.enter_context(
            shared_batch_scheduler.SharedBatchScheduler(
                shared_batch_scheduler.Options(num_threads),
                self.clock,
                on_stuck=lambda: self.news.put(None),
            )
        )
        self.model = _Model()
        options = batch_queue.QueueOptions(
            9, 0, 9, runs_tasks_alone=True, idle_means_go=True
        )
        self.bad, self.good = (
            stack.enter_context(
                self.scheduler.add_queue(options, self.model.process)
            )
            for _ in range(2)
        )
        stack.callback(self.model.go_on.set)

    def warm_up(self) -> None:
        """Runs a task of each queue, which are quick from then on."""
        for queue in (self.bad, self.good):
            queue.schedule(task := _Task())
            assert self.model.next_ran() is task
            while queue.statistics().typical_run_seconds == 0.0:
                pass

    def hang(self, num_tasks: int) -> None:
        """Has tasks hang on batch threads."""
        for _ in range(num_tasks):
            self.bad.schedule(_Task(hangs=True))
            self.model.hanging.get(timeout=60)

    def require_answer(self, after_seconds: int) -> None:
        """Fails unless a task of the good queue has run after that time."""
        self.good.schedule(task := _Task())
        self.clock.advance_micros(after_seconds * 1_000_000)
        assert self.model.next_ran() is task

    def require_stuck(self, *expected: bool) -> None:
        """Fails unless the bad and the good queue are stuck as expected."""
        self.news.get(timeout=60)
        found = [q.statistics().is_stuck for q in (self.bad, self.good)]
        assert found == [*expected], found


@contextlib.contextmanager
def _fixture(num_threads: int = 1) -> Iterator[_Fixture]:
    with contextlib.ExitStack() as stack:
        yield _Fixture(stack, num_threads)


class CallerHangsTest(absltest.TestCase):
    """A caller of schedule_all() that hangs in a batch."""

    def _hang(
        self, fixture: _Fixture, *others: _Task
    ) -> tuple[threading.Thread, _Task]:
        """Starts a caller that hangs; returns it, and the task it hangs in."""
        fixture.warm_up()
        task = _Task(hangs=True)
        caller = threading.Thread(
            target=fixture.bad.schedule_all, args=([task, *others],)
        )
        caller.start()
        self.assertIs(fixture.model.hanging.get(timeout=60), task)
        return caller, task

    def test_threads_see_to_what_it_has_not_begun(self) -> None:
        """It keeps only the task in which it hangs, and runs no other."""
        with _fixture() as fixture:
            others = [_Task() for _ in range(5)]
            caller, hanging = self._hang(fixture, *others)
            self.assertTrue(fixture.model.ran.empty())
            self.assertFalse(fixture.bad.schedule_all([], runs_here=False))
            for task in others:
                ran, thread_id = fixture.model.ran.get(timeout=60)
                self.assertIs(ran, task)
                self.assertNotEqual(thread_id, caller.ident)
            fixture.model.go_on.set()
            caller.join()
            self.assertIs(fixture.model.next_ran(), hanging)
            self.assertTrue(fixture.model.ran.empty())

    def test_others_help_in_its_place(self) -> None:
        """Nobody helps with the queue in which it hangs, until it is back."""
        with _fixture() as fixture:
            caller, _ = self._hang(fixture)
            self.assertFalse(fixture.good.schedule_all([_Task()]))
            fixture.bad.schedule_all([], runs_here=False)
            fixture.model.next_ran()
            self.assertFalse(fixture.bad.schedule_all([_Task()]))
            fixture.model.next_ran()
            self.assertTrue(fixture.good.schedule_all([_Task()]))
            self.assertEqual(
                fixture.model.ran.get(timeout=60)[1], threading.get_ident()
            )
            fixture.model.go_on.set()
            caller.join()
            fixture.model.next_ran()
            self.assertTrue(fixture.bad.schedule_all([_Task()]))


class ThreadsHangTest(absltest.TestCase):
    """Batches that hang on all batch threads."""

    def test_threads_that_hang_are_replaced(self) -> None:
        """One that waits gets a thread after 10 s, the next a second later."""
        with _fixture(num_threads=2) as fixture:
            fixture.hang(2)
            fixture.good.schedule(first := _Task())
            fixture.clock.advance_micros(10_000_000)
            fixture.clock.settle(threads=1)
            self.assertTrue(fixture.model.ran.empty())
            with self.assertLogs(level="WARNING") as log:
                fixture.clock.advance_micros(1_000_000)
                self.assertIs(fixture.model.next_ran(), first)
            self.assertIn("A batch hangs", log.output[0])
            fixture.hang(1)
            fixture.good.schedule(second := _Task())
            fixture.clock.advance_micros(999_999)
            fixture.clock.settle(threads=1)
            self.assertTrue(fixture.model.ran.empty())
            fixture.clock.advance_micros(1)
            self.assertIs(fixture.model.next_ran(), second)
            self.assertTrue(fixture.news.empty())

    def test_thread_that_comes_back_goes_if_it_was_replaced(self) -> None:
        """The scheduler keeps as many threads as it had at first."""
        with _fixture(num_threads=2) as fixture:
            for _ in range(2):
                fixture.hang(2)
                fixture.require_answer(after_seconds=11)
                fixture.hang(1)
                fixture.require_answer(after_seconds=1)
                fixture.model.go_on.set()
                for _ in range(3):
                    fixture.model.next_ran()
                fixture.model.go_on.clear()
            fixture.hang(2)
            fixture.bad.schedule(_Task(hangs=True))
            fixture.clock.advance_micros(0)
            self.assertTrue(fixture.model.hanging.empty())

    def test_statistics_say_how_long_a_batch_runs(self) -> None:
        """The oldest of those that run now counts, wherever it runs."""
        with _fixture(num_threads=2) as fixture:
            self.assertEqual(fixture.bad.statistics().oldest_run_seconds, 0.0)
            fixture.hang(1)
            fixture.clock.advance_micros(3_000_000)
            fixture.hang(1)
            fixture.clock.advance_micros(500_000)
            self.assertEqual(fixture.bad.statistics().oldest_run_seconds, 3.5)
            self.assertEqual(fixture.good.statistics().oldest_run_seconds, 0.0)

    def test_batch_that_is_slow_as_a_rule_does_not_hang(self) -> None:
        """It is given ten times as long as such a batch takes."""
        with _fixture() as fixture:
            fixture.model.run_seconds = 2.0
            fixture.warm_up()
            fixture.hang(1)
            fixture.good.schedule(task := _Task())
            fixture.clock.advance_micros(20_000_000)
            fixture.clock.settle(threads=1)
            self.assertTrue(fixture.model.ran.empty())
            fixture.clock.advance_micros(1_000_000)
            self.assertIs(fixture.model.next_ran(), task)

    def test_queues_are_stuck_while_no_thread_can_be_started(self) -> None:
        """Those with tasks are; the system is asked again each second."""
        with _fixture() as fixture:
            fixture.hang(1)
            with (
                mock.patch.object(
                    threading.Thread, "start", side_effect=RuntimeError("full")
                ),
                self.assertLogs(level="WARNING") as log,
            ):
                fixture.good.schedule(task := _Task())
                fixture.clock.advance_micros(10_000_001)
                fixture.require_stuck(False, True)
            self.assertIn("No thread can process batches: full", log.output[0])
            fixture.clock.advance_micros(1_000_000)
            self.assertIs(fixture.model.next_ran(), task)
            fixture.bad.schedule(_Task(hangs=True))
            fixture.model.hanging.get(timeout=60)
            fixture.good.schedule(_Task())
            fixture.clock.advance_micros(1_000_000)
            fixture.require_stuck(False, False)

    def test_queues_are_stuck_once_64_threads_were_replaced(self) -> None:
        """They are no longer when a batch has come back."""
        with _fixture() as fixture:
            fixture.hang(1)
            for _ in range(64):
                fixture.bad.schedule(_Task(hangs=True))
                fixture.clock.advance_micros(11_000_000)
                fixture.model.hanging.get(timeout=60)
            fixture.good.schedule(task := _Task())
            fixture.clock.advance_micros(1_000_000)
            fixture.clock.settle(threads=1)
            self.assertTrue(fixture.news.empty())
            fixture.clock.advance_micros(10_000_000)
            fixture.require_stuck(False, True)
            self.assertTrue(fixture.model.ran.empty())
            fixture.model.go_on.set()
            while fixture.model.next_ran() is not task:
                pass
            fixture.clock.advance_micros(1_000_000)
            fixture.require_stuck(False, False)

    def test_callback_that_raises_ends_nothing(self) -> None:
        """The error is logged; deadlines are watched all the same."""
        with (
            _fixture() as fixture,
            mock.patch.object(
                threading.Thread, "start", side_effect=RuntimeError("full")
            ),
            mock.patch.object(
                fixture.news, "put", side_effect=ValueError("bad callback")
            ),
            self.assertLogs(level="ERROR") as log,
        ):
            fixture.hang(1)
            task = _Task()
            task.deadline = 12.5
            fixture.good.schedule(task)
            fixture.clock.advance_micros(12_000_000)
            fixture.clock.settle(threads=1)
            self.assertTrue(fixture.good.statistics().is_stuck)
            fixture.clock.advance_micros(1_000_000)
            fixture.clock.settle(threads=1)
            self.assertEqual(fixture.good.statistics().num_expired, 1)
        self.assertIn("bad callback", log.output[0])

    def test_queue_without_tasks_is_not_stuck(self) -> None:
        """When those that wait have expired, it can be tried again."""
        with (
            _fixture() as fixture,
            mock.patch.object(
                threading.Thread, "start", side_effect=RuntimeError("full")
            ),
        ):
            fixture.hang(1)
            task = _Task()
            task.deadline = 12.5
            fixture.good.schedule(task)
            fixture.clock.advance_micros(12_000_000)
            fixture.require_stuck(False, True)
            fixture.clock.advance_micros(1_000_000)
            fixture.require_stuck(False, False)


if __name__ == "__main__":
    absltest.main()
