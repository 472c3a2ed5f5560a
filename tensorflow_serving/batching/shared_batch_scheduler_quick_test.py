"""Tests of shared_batch_scheduler: who runs quick batches, and who is woken."""

import contextlib
import math
import queue as queue_lib
import threading
from collections.abc import Iterator

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    shared_batch_scheduler,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_FOREVER = 10**12


class _Task(batch_scheduler.BatchTask):
    def __init__(self, size: int = 1, deadline: float = math.inf) -> None:
        self.size = size
        self.deadline = deadline


class _Clock(fake_clock.FakeClock):
    """A fake clock that knows until when threads chose to wait."""

    def __init__(self) -> None:
        super().__init__()
        self._waits: queue_lib.Queue[float | None] = queue_lib.Queue()
        self._offset_seconds = 0.0

    def now(self) -> float:
        """Returns the time of the fake clock, and what passed unseen."""
        return super().now() + self._offset_seconds

    def pass_unseen(self, seconds: float) -> None:
        """Moves the clock without waking anybody."""
        self._offset_seconds += seconds

    def wait_until(
        self, condition: threading.Condition, deadline: float | None
    ) -> None:
        """Records the wait, and waits."""
        self._waits.put(deadline)
        super().wait_until(condition, deadline)

    def wait_for_waiters(self, *deadlines: float | None) -> None:
        """Blocks until threads chose to wait until then, in any order."""
        missing = [*deadlines]
        while missing:
            deadline = self._waits.get(timeout=60)
            if deadline in missing:
                missing.remove(deadline)

    @property
    def num_waits(self) -> int:
        """How often a thread chose to wait, since the last look."""
        return self._waits.qsize()


class _Model:
    """Takes some time for each batch, by the thread that runs it."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        # By the callers of schedule_all(), and by batch threads.
        self.seconds_here = self.seconds_elsewhere = 0.001
        # The time that a batch takes in addition to the run.
        self.extra_micros = 0
        # The batches, and whether a caller ran them.
        self.runs: queue_lib.Queue[tuple[list[int], bool]] = queue_lib.Queue()
        self.go_on = threading.Event()
        self.go_on.set()

    def process(self, batch: batch_scheduler.Batch[_Task]) -> float:
        """Runs a batch."""
        is_here = threading.current_thread() is threading.main_thread()
        if self.extra_micros:
            self._clock.advance_micros(self.extra_micros)
        self.runs.put(([task.size for task in batch.tasks], is_here))
        if not is_here:
            self.go_on.wait()
        return self.seconds_here if is_here else self.seconds_elsewhere

    def next_run(self) -> tuple[list[int], bool]:
        """Waits for a batch; returns its sizes, and whether a caller ran it."""
        return self.runs.get(timeout=60)


class _Fixture:
    """A scheduler with one queue, whose batches of up to two rows are quick."""

    def __init__(self, stack: contextlib.ExitStack, num_threads: int) -> None:
        self.clock = _Clock()
        self.model = _Model(self.clock)
        self.scheduler = stack.enter_context(
            shared_batch_scheduler.SharedBatchScheduler(
                shared_batch_scheduler.Options(num_threads), self.clock
            )
        )
        self.queue = self.add_queue(stack, 1_000_000)
        stack.callback(self.model.go_on.set)
        self.num_threads = num_threads

    def add_queue(
        self, stack: contextlib.ExitStack, batch_timeout_micros: int
    ) -> batch_scheduler.BatchScheduler[_Task]:
        """Adds a queue for the same model."""
        options = batch_queue.QueueOptions(2, batch_timeout_micros, 99)
        return stack.enter_context(
            self.scheduler.add_queue(options, self.model.process)
        )

    def settle(self) -> None:
        """Waits until no thread has anything to do."""
        self.clock.wait_for_waiters(*[None] * (self.num_threads + 1))
        assert self.clock.num_waits == 0

    def run_here(self, size: int = 2) -> bool:
        """Schedules a task; returns whether the caller ran it."""
        more = self.queue.schedule_all([_Task(size)])
        sizes, is_here = self.model.next_run()
        assert (sizes, is_here) == ([size], more)
        return is_here


@contextlib.contextmanager
def _fixture(num_threads: int = 1) -> Iterator[_Fixture]:
    with contextlib.ExitStack() as stack:
        fixture = _Fixture(stack, num_threads)
        fixture.settle()
        # One thread runs the first batch, and waits again.
        assert not fixture.run_here()
        fixture.clock.wait_for_waiters(None)
        yield fixture


class QuickTest(parameterized.TestCase):
    """Which batches the callers of schedule_all() run themselves."""

    def test_time_of_the_model_decides(self) -> None:
        """Only the run decides whether a batch is quick, not work after it."""
        with _fixture() as fixture:
            fixture.model.extra_micros = 1_000_000
            for _ in range(10):
                self.assertTrue(fixture.run_here())
            statistics = fixture.queue.statistics()
            self.assertAlmostEqual(statistics.typical_run_seconds, 0.001)

    def test_hiccup_does_not_move_batches_to_the_threads(self) -> None:
        """A run of 50 ms is forgotten with the next one."""
        with _fixture() as fixture:
            fixture.model.seconds_here = 0.05
            self.assertTrue(fixture.run_here())
            fixture.model.seconds_here = 0.001
            for _ in range(10):
                self.assertTrue(fixture.run_here())

    def test_batches_come_back_from_threads_that_are_held_up(self) -> None:
        """Runs there take 12 ms only because of busy callers."""
        with _fixture() as fixture:
            fixture.model.seconds_elsewhere = 0.012
            fixture.model.seconds_here = 0.3
            self.assertTrue(fixture.run_here())
            fixture.model.seconds_here = 0.001
            for _ in range(10):
                self.assertFalse(fixture.run_here())
                fixture.clock.wait_for_waiters(None)
            fixture.clock.advance_micros(100_000)
            for _ in range(10):
                self.assertTrue(fixture.run_here())

    def test_batches_come_back_though_all_threads_are_busy(self) -> None:
        """Under load threads are never idle, and callers need not wait."""
        with _fixture() as fixture:
            fixture.model.seconds_here = 0.3
            self.assertTrue(fixture.run_here())
            fixture.model.seconds_here = 0.001
            fixture.model.seconds_elsewhere = 0.012
            self.assertFalse(fixture.run_here())
            fixture.clock.wait_for_waiters(None)
            fixture.model.go_on.clear()
            self.assertFalse(fixture.run_here())
            fixture.clock.advance_micros(100_000)
            for _ in range(10):
                self.assertTrue(fixture.run_here())

    def test_model_that_has_become_slow_goes_to_the_threads(self) -> None:
        """A model with four slow runs is left to the threads until quick."""
        with _fixture() as fixture:
            fixture.model.seconds_here = fixture.model.seconds_elsewhere = 0.1
            runs = [fixture.run_here() for _ in range(4)]
            self.assertEqual(runs, [True] * 4)
            for _ in range(10):
                self.assertFalse(fixture.run_here())
                fixture.clock.wait_for_waiters(None)
            fixture.model.seconds_here = fixture.model.seconds_elsewhere = 0.001
            self.assertFalse(fixture.run_here())
            fixture.clock.wait_for_waiters(None)
            self.assertTrue(fixture.run_here())


class WakeUpTest(parameterized.TestCase):
    """Which threads look at the queues, and when."""

    @parameterized.parameters(
        ([2, 2, 2], math.inf), ([2], 60.0), ([1, 1], 60.0)
    )
    def test_quick_batches_wake_nobody(
        self, sizes: list[int], deadline: float
    ) -> None:
        """Quick batches wake neither a batch thread nor the watching one."""
        with _fixture(num_threads=2) as fixture:
            for _ in range(3):
                more = fixture.queue.schedule_all(
                    [_Task(size, deadline) for size in sizes]
                )
                while more:
                    more = fixture.queue.schedule_all([])
                for _ in range(sum(sizes) // 2):
                    self.assertTrue(fixture.model.next_run()[1])
            fixture.clock.advance_micros(0)
            fixture.settle()

    def test_deadlines_are_watched_while_a_caller_runs_a_batch(self) -> None:
        """A task that waits for its turn expires at its time."""
        failed = threading.Event()

        class Task(_Task):
            """Says that it failed."""

            def fail(self, error: errors.ServingError) -> None:
                """Sets failed."""
                failed.set()

        was_failed: list[bool] = []

        def process(batch: batch_scheduler.Batch[_Task]) -> float:
            if threading.current_thread() is threading.main_thread():
                fixture.clock.advance_micros(500_000)
                was_failed.append(failed.wait(timeout=60))
            return 0.001

        with (
            _fixture() as fixture,
            fixture.scheduler.add_queue(
                batch_queue.QueueOptions(2, _FOREVER, 9), process
            ) as queue,
        ):
            queue.schedule(_Task(2))
            fixture.clock.wait_for_waiters(None)
            deadline = fixture.clock.now() + 0.5
            tasks = [_Task(2), Task(1, deadline)]
            self.assertTrue(queue.schedule_all(tasks))
            self.assertEqual(was_failed, [True])

    def test_thread_looks_after_what_the_caller_leaves(self) -> None:
        """A batch that is not due runs when its time has come."""
        with _fixture() as fixture:
            tasks = [_Task(2), _Task(1)]
            self.assertTrue(fixture.queue.schedule_all(tasks))
            self.assertEqual(fixture.clock.num_waits, 0)
            self.assertFalse(fixture.queue.schedule_all([]))
            fixture.clock.wait_for_waiters(1.0)
            fixture.clock.advance_micros(1_000_000)
            runs = [fixture.model.next_run() for _ in range(2)]
            self.assertEqual(runs, [([2], True), ([1], False)])

    def test_thread_looks_after_what_the_caller_does_not_come_for(self) -> None:
        """A caller that may run nothing leaves threads all that is due."""
        with _fixture() as fixture:
            self.assertTrue(fixture.queue.schedule_all([_Task(2), _Task(2)]))
            self.assertEqual(fixture.model.next_run(), ([2], True))
            task = _Task(2)
            self.assertFalse(fixture.queue.schedule_all([], runs_here=False))
            self.assertEqual(fixture.model.next_run(), ([2], False))
            fixture.clock.wait_for_waiters(None)
            more = fixture.queue.schedule_all([task], runs_here=False)
            self.assertFalse(more)
            self.assertEqual(fixture.model.next_run(), ([2], False))

    def test_nobody_is_woken_twice_for_one_batch(self) -> None:
        """A caller that looks again and again wakes no thread."""
        with _fixture() as fixture:
            fixture.queue.schedule_all([_Task(1)])
            fixture.clock.wait_for_waiters(1.0)
            for _ in range(3):
                self.assertFalse(fixture.queue.schedule_all([]))
            fixture.clock.advance_micros(0)
            fixture.clock.wait_for_waiters(1.0, None)
            self.assertEqual(fixture.clock.num_waits, 0)

    def test_lone_task_wakes_a_thread_though_the_model_is_quick(self) -> None:
        """Whoever calls schedule() does not come back."""
        with _fixture() as fixture:
            self.assertTrue(fixture.run_here())
            fixture.queue.schedule(_Task(2))
            self.assertEqual(fixture.model.next_run(), ([2], False))

    def test_thread_that_takes_a_batch_leaves_the_rest_to_another(self) -> None:
        """It was the one that was woken for the other queue."""
        with contextlib.ExitStack() as stack, _fixture(2) as fixture:
            stack.callback(fixture.model.go_on.set)
            other = fixture.add_queue(stack, 10_000_000)
            fixture.model.go_on.clear()
            fixture.queue.schedule(_Task(1))
            fixture.clock.wait_for_waiters(1.0)
            # The thread that waits for that is late, and another one is woken.
            fixture.clock.pass_unseen(1.0)
            other.schedule(_Task(1))
            self.assertEqual(fixture.model.next_run(), ([1], False))
            fixture.clock.wait_for_waiters(11.0)


if __name__ == "__main__":
    absltest.main()
