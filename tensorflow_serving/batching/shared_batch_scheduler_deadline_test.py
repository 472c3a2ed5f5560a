"""Tests of shared_batch_scheduler: tasks that expire or are cancelled."""

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
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_FOREVER = 10**12
_Queue = batch_scheduler.BatchScheduler["_Task"]


class _Task(batch_scheduler.BatchTask):
    """Knows how it ended."""

    def __init__(self, size: int = 1, deadline: float = math.inf) -> None:
        self.size = size
        self.deadline = deadline
        self.errors: list[errors.ServingError] = []
        self.failed = threading.Event()

    def fail(self, error: errors.ServingError) -> None:
        """Records it."""
        self.errors.append(error)
        self.failed.set()

    def wait_for_error(self) -> type[errors.ServingError]:
        """Returns the class of the error; there must be one, in the end."""
        assert self.failed.wait(timeout=60)
        (error,) = self.errors
        return type(error)


class _BadTask(_Task):
    """Raises when it fails."""

    def fail(self, error: errors.ServingError) -> None:
        """Records the error and raises."""
        super().fail(error)
        raise ValueError("bad task")


class _HeldTask(_Task):
    """Takes its time to fail."""

    def __init__(self, deadline: float) -> None:
        super().__init__(1, deadline)
        self.started = threading.Event()
        self.go_on = threading.Event()

    def fail(self, error: errors.ServingError) -> None:
        """Waits for go_on."""
        self.started.set()
        self.go_on.wait()
        super().fail(error)


class _WatchedClock(fake_clock.FakeClock):
    """A fake clock that knows until when threads chose to wait."""

    def __init__(self) -> None:
        super().__init__()
        self._deadlines: queue_lib.Queue[float | None] = queue_lib.Queue()

    def wait_until(
        self, condition: threading.Condition, deadline: float | None
    ) -> None:
        """Records the wait, and waits."""
        self._deadlines.put(deadline)
        super().wait_until(condition, deadline)

    def wait_for_waiter(self, deadline: float | None) -> None:
        """Blocks until a thread chooses to wait until then."""
        while self._deadlines.get(timeout=60) != deadline:
            pass

    @property
    def num_waits(self) -> int:
        """How often a thread chose to wait, since the last look."""
        return self._deadlines.qsize()


class _Batches:
    """Collects processed batches; can hold the threads."""

    def __init__(self) -> None:
        self._batches: queue_lib.Queue[batch_scheduler.Batch[_Task]] = (
            queue_lib.Queue()
        )
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def process(self, batch: batch_scheduler.Batch[_Task]) -> None:
        """Records a batch."""
        self.started.set()
        self.go_on.wait()
        self._batches.put(batch)

    def next(self) -> batch_scheduler.Batch[_Task]:
        """Waits for a batch."""
        return self._batches.get(timeout=60)

    @property
    def empty(self) -> bool:
        """Whether every batch was fetched with next()."""
        return self._batches.empty()


class _Fixture:
    """A scheduler with one queue."""

    def __init__(
        self, queue: _Queue, batches: _Batches, clock: _WatchedClock
    ) -> None:
        self.queue = queue
        self.batches = batches
        self.clock = clock

    @contextlib.contextmanager
    def busy_thread(self) -> Iterator[None]:
        """Keeps a batch thread busy."""
        self.batches.go_on.clear()
        try:
            self.queue.schedule(_Task(10))
            self.batches.started.wait(timeout=60)
            yield
        finally:
            self.batches.go_on.set()
        assert self.batches.next().size == 10


@contextlib.contextmanager
def _fixture(
    max_enqueued_batches: int = 2, num_batch_threads: int = 1
) -> Iterator[_Fixture]:
    clock, batches = _WatchedClock(), _Batches()
    with (
        shared_batch_scheduler.SharedBatchScheduler(
            shared_batch_scheduler.Options(num_batch_threads), clock
        ) as scheduler,
        scheduler.add_queue(
            batch_queue.QueueOptions(10, _FOREVER, max_enqueued_batches),
            batches.process,
        ) as queue,
    ):
        yield _Fixture(queue, batches, clock)


class DeadlineTest(parameterized.TestCase):
    """Tasks that are of use for a while."""

    def test_batch_starts_before_its_first_deadline(self) -> None:
        """A batch starts 1 ms before, as nobody knows how long a run takes."""
        with _fixture() as fixture:
            fixture.queue.schedule(_Task(1))
            fixture.queue.schedule(_Task(2, deadline=0.005))
            fixture.clock.advance_micros(3999)
            fixture.clock.settle(threads=2)
            self.assertTrue(fixture.batches.empty)
            fixture.clock.advance_micros(1)
            batch = fixture.batches.next()
            self.assertEqual([task.size for task in batch.tasks], [1, 2])
            self.assertIs(
                batch.close_reason, batch_scheduler.CloseReason.DEADLINE
            )

    def test_task_expires_while_all_threads_are_busy(self) -> None:
        """It is answered at that very moment; its batch mates stay."""
        with _fixture() as fixture:
            mates = [_Task(1), _Task(3)]
            task = _Task(2, deadline=10e-6)
            with fixture.busy_thread():
                for each in (mates[0], task, mates[1]):
                    fixture.queue.schedule(each)
                fixture.clock.advance_micros(9)
                fixture.clock.settle(threads=1)
                self.assertFalse(task.failed.is_set())
                fixture.clock.advance_micros(1)
                self.assertIs(
                    task.wait_for_error(), errors.DeadlineExceededError
                )
                self.assertEqual(fixture.queue.num_enqueued_tasks(), 2)
                self.assertEqual(fixture.queue.statistics().num_expired, 1)
            fixture.queue.close()
            self.assertEqual(list(fixture.batches.next().tasks), mates)
            self.assertEqual([mate.errors for mate in mates], [[], []])

    def test_expired_task_makes_room(self) -> None:
        """A queue that was full takes the next task."""
        with (
            _fixture(max_enqueued_batches=1) as fixture,
            fixture.busy_thread(),
        ):
            task = _Task(10, deadline=10e-6)
            fixture.queue.schedule(task)
            with self.assertRaises(errors.UnavailableError):
                fixture.queue.schedule(_Task(10))
            fixture.clock.advance_micros(10)
            task.wait_for_error()
            self.assertEqual(fixture.queue.scheduling_capacity(), 10)

    def test_tasks_expire_in_the_order_of_their_deadlines(self) -> None:
        """Tasks expire by their deadlines, in whatever order they came."""
        with _fixture() as fixture, fixture.busy_thread():
            late, early = _Task(deadline=20e-6), _Task(deadline=10e-6)
            fixture.queue.schedule(late)
            fixture.clock.wait_for_waiter(20e-6)
            fixture.queue.schedule(early)
            fixture.clock.wait_for_waiter(10e-6)
            fixture.clock.advance_micros(10)
            early.wait_for_error()
            fixture.clock.settle(threads=1)
            self.assertFalse(late.failed.is_set())
            fixture.clock.advance_micros(10)
            late.wait_for_error()

    def test_expired_task_never_enters_a_run(self) -> None:
        """An expired task never runs, even if a batch thread finds it first."""
        with _fixture() as fixture:
            task = _Task(2, deadline=10e-6)
            with fixture.busy_thread():
                fixture.queue.schedule(task)
                fixture.queue.schedule(_Task(1))
                fixture.clock.advance_micros(10)
            fixture.queue.close()
            self.assertEqual(fixture.batches.next().size, 1)
            self.assertIs(task.wait_for_error(), errors.DeadlineExceededError)

    def test_task_that_comes_too_late_is_refused(self) -> None:
        """A task that is refused is still the caller's, and does not fail."""
        with _fixture() as fixture:
            task = _Task(deadline=0)
            with self.assertRaises(errors.DeadlineExceededError):
                fixture.queue.schedule(task)
            self.assertEqual(task.errors, [])

    def test_real_clock_expires_a_task(self) -> None:
        """On a clock that runs, a deadline needs no help."""
        batches = _Batches()
        clock = clock_lib.MONOTONIC
        with (
            shared_batch_scheduler.SharedBatchScheduler(
                shared_batch_scheduler.Options()
            ) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(1, 0, 1), batches.process
            ) as queue,
            contextlib.ExitStack() as stack,
        ):
            stack.callback(batches.go_on.set)
            batches.go_on.clear()
            queue.schedule(_Task())
            batches.started.wait(timeout=60)
            task = _Task(deadline=clock.now() + 0.002)
            # A machine that is slow may be too late for it.
            with contextlib.suppress(errors.DeadlineExceededError):
                queue.schedule(task)
                self.assertIs(
                    task.wait_for_error(), errors.DeadlineExceededError
                )
                self.assertGreaterEqual(clock.now(), task.deadline)

    def test_very_long_waits_are_no_error(self) -> None:
        """A deadline may be later than a thread can wait for at once."""
        waits: queue_lib.Queue[float] = queue_lib.Queue()

        class Clock(clock_lib.MonotonicClock):
            """The real clock."""

            def wait_until(
                self, condition: threading.Condition, deadline: float | None
            ) -> None:
                """Records the wait, and waits."""
                if deadline is not None:
                    waits.put(deadline)
                super().wait_until(condition, deadline)

        batches = _Batches()
        with (
            shared_batch_scheduler.SharedBatchScheduler(
                shared_batch_scheduler.Options(), Clock()
            ) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(2, 2**63 - 1, 1), batches.process
            ) as queue,
        ):
            queue.schedule(_Task(deadline=1e300))
            for _ in range(2):  # the batch thread, and the watching one
                self.assertGreater(waits.get(timeout=60), threading.TIMEOUT_MAX)
            queue.schedule(_Task(deadline=1e300))
            self.assertEqual(batches.next().size, 2)


class WatchingThreadTest(absltest.TestCase):
    """The thread that watches deadlines."""

    def test_thread_comes_and_goes_with_the_others(self) -> None:
        """The thread starts before the first deadline and ends at close."""
        before = threading.active_count()
        with _fixture() as fixture:
            self.assertEqual(threading.active_count(), before + 2)
            fixture.queue.schedule(_Task(deadline=1))
            self.assertEqual(threading.active_count(), before + 2)
        self.assertEqual(threading.active_count(), before)

    def test_nobody_polls(self) -> None:
        """A task wakes who has to know; with none left all wait without end.

        While one waited for a busy thread, that thread was to be looked at.
        """
        with _fixture() as fixture, fixture.busy_thread():
            fixture.queue.schedule(_Task(deadline=10e-6))
            fixture.clock.wait_for_waiter(10e-6)
            self.assertEqual(fixture.clock.num_waits, 0)
            fixture.queue.schedule(_Task(deadline=20e-6))
            self.assertEqual(fixture.clock.num_waits, 0)
            fixture.clock.advance_micros(20)
            fixture.clock.wait_for_waiter(1.0)
            self.assertEqual(fixture.clock.num_waits, 0)
            fixture.clock.advance_micros(1_000_000)
            fixture.clock.wait_for_waiter(None)
            self.assertEqual(fixture.clock.num_waits, 0)

    def test_thread_survives_a_task_that_raises(self) -> None:
        """A task whose fail() raises is logged; the others still expire."""
        with _fixture() as fixture, fixture.busy_thread():
            tasks = [
                _BadTask(1, 10e-6),
                _Task(1, deadline=10e-6),
                _Task(1, deadline=20e-6),
            ]
            for task in tasks:
                fixture.queue.schedule(task)
            with self.assertLogs(level="ERROR") as logs:
                fixture.clock.advance_micros(10)
                tasks[1].wait_for_error()
                fixture.clock.settle(threads=1)
            self.assertIn("bad task", logs.output[0])
            fixture.clock.advance_micros(10)
            tasks[2].wait_for_error()

    def test_urgent_batch_has_a_thread_when_another_is_taken(self) -> None:
        """A task that closes one batch and opens the next wakes two threads."""
        with _fixture(num_batch_threads=2) as fixture:
            for _ in range(3):  # one watches deadlines
                fixture.clock.wait_for_waiter(None)
            fixture.batches.go_on.clear()
            fixture.queue.schedule(_Task(9))
            fixture.clock.wait_for_waiter(_FOREVER / 1e6)
            fixture.queue.schedule(_Task(2, deadline=0.005))
            fixture.clock.wait_for_waiter(0.004)
            fixture.batches.go_on.set()

    def test_close_waits_until_expired_tasks_are_told(self) -> None:
        """close() waits for expired tasks, even if other queues are busy."""
        clock, batches = fake_clock.FakeClock(), _Batches()
        options = batch_queue.QueueOptions(10, _FOREVER, 1)
        with (
            shared_batch_scheduler.SharedBatchScheduler(
                shared_batch_scheduler.Options(), clock
            ) as scheduler,
            scheduler.add_queue(options, batches.process),
        ):
            queue = scheduler.add_queue(options, batches.process)
            task = _HeldTask(deadline=10e-6)
            queue.schedule(task)
            clock.advance_micros(10)
            task.started.wait(timeout=60)
            told_when_closed: list[bool] = []

            def close() -> None:
                queue.close()
                told_when_closed.append(task.failed.is_set())

            closer = threading.Thread(target=close)
            closer.start()
            task.go_on.set()
            closer.join()
            self.assertEqual(told_when_closed, [True])


class CancelTest(absltest.TestCase):
    """Tasks whose callers are gone."""

    def test_task_is_cancelled_while_all_threads_are_busy(self) -> None:
        """It is answered before cancel() returns; its batch mates stay."""
        with _fixture() as fixture:
            tasks = [_Task(size) for size in (1, 2, 3)]
            with fixture.busy_thread():
                for task in tasks:
                    fixture.queue.schedule(task)
                fixture.queue.cancel(tasks[1])
                self.assertIs(tasks[1].wait_for_error(), errors.CancelledError)
                self.assertEqual(fixture.queue.statistics().num_cancelled, 1)
            fixture.queue.close()
            self.assertEqual(
                list(fixture.batches.next().tasks), [tasks[0], tasks[2]]
            )

    def test_cancel_has_no_effect_on_other_tasks(self) -> None:
        """Tasks that do not wait in the queue cannot be cancelled."""
        with _fixture() as fixture:
            processed, cancelled = _Task(10), _Task(1)
            fixture.queue.schedule(processed)
            fixture.batches.next()
            fixture.queue.cancel(processed)
            fixture.queue.cancel(_Task(1))
            fixture.queue.schedule(cancelled)
            fixture.queue.cancel(cancelled)
            fixture.queue.cancel(cancelled)
            self.assertEqual(processed.errors, [])
            self.assertEqual(len(cancelled.errors), 1)
            self.assertEqual(fixture.queue.statistics().num_cancelled, 1)

    def test_cancelled_task_that_raises_is_forgotten(self) -> None:
        """Its error is in the log, and close() does not wait for it."""
        with _fixture() as fixture:
            task = _BadTask(1)
            fixture.queue.schedule(task)
            with self.assertLogs(level="ERROR"):
                fixture.queue.cancel(task)
        self.assertTrue(fixture.batches.empty)


class StatisticsTest(absltest.TestCase):
    """Tests of the counts of a queue whose tasks have deadlines."""

    def test_wait_is_that_of_the_clock(self) -> None:
        """The wait in a snapshot is by the clock, and does not change."""
        with _fixture() as fixture:
            fixture.queue.schedule(_Task(3))
            fixture.clock.advance_micros(500_000)
            before = fixture.queue.statistics()
            self.assertEqual(before.oldest_wait_seconds, 0.5)
            self.assertEqual(before.num_enqueued_tasks, 1)
            fixture.queue.schedule(_Task(7))
            fixture.batches.next()
            after = fixture.queue.statistics()
            self.assertEqual(after.num_enqueued_tasks, 0)
            self.assertEqual(after.num_batches_by_size, {10: 1})
            self.assertEqual(
                after.num_batches_by_reason,
                {batch_scheduler.CloseReason.FULL: 1},
            )
            self.assertEqual(before.num_batches_by_size, {})


if __name__ == "__main__":
    absltest.main()
