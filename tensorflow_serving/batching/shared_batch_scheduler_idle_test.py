"""Tests of shared_batch_scheduler: idle threads, and callers that process."""

import contextlib
import math
import queue as queue_lib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    shared_batch_scheduler,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_FOREVER = 10**12
_Reason = batch_scheduler.CloseReason


class _Task(batch_scheduler.BatchTask):
    """Knows with which error it failed."""

    def __init__(self, size: int = 1, deadline: float = math.inf) -> None:
        self.size = size
        self.deadline = deadline
        self.error: errors.ServingError | None = None

    def fail(self, error: errors.ServingError) -> None:
        """Records it."""
        self.error = error

    def split(self, sizes: Any) -> list["_Task"]:
        """Makes parts that are tasks of their own."""
        return [_Task(size) for size in sizes]


class _BadTask(_Task):
    """Raises when it fails."""

    def fail(self, error: errors.ServingError) -> None:
        """Raises."""
        raise ValueError("bad task")


class _Batches:
    """Collects processed batches, and the threads that did it."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        self._before = before
        self._batches: queue_lib.Queue[
            tuple[batch_scheduler.Batch[_Task], threading.Thread]
        ] = queue_lib.Queue()

    def process(self, batch: batch_scheduler.Batch[_Task]) -> None:
        """Records a batch."""
        self._before()
        self._batches.put((batch, threading.current_thread()))

    def next(self) -> batch_scheduler.Batch[_Task]:
        """Waits for a batch."""
        return self._batches.get(timeout=60)[0]

    def next_thread(self) -> threading.Thread:
        """Waits for a batch; returns the thread that processed it."""
        return self._batches.get(timeout=60)[1]

    @property
    def empty(self) -> bool:
        """Whether every batch was fetched."""
        return self._batches.empty()


class _Clog:
    """A queue that keeps a batch thread busy during a with block."""

    def __init__(
        self, scheduler: shared_batch_scheduler.SharedBatchScheduler
    ) -> None:
        self._started = threading.Event()
        self._go_on = threading.Event()
        self._queue = scheduler.add_queue(
            batch_queue.QueueOptions(1, 0, 1), self._process
        )

    def _process(self, batch: batch_scheduler.Batch[_Task]) -> None:
        self._started.set()
        self._go_on.wait()

    def __enter__(self) -> None:
        """Takes a thread."""
        self._queue.schedule(_Task())
        self._started.wait(timeout=60)

    def __exit__(self, *exc_info: object) -> None:
        """Lets it go."""
        self._go_on.set()
        self._queue.close()


def _scheduler(
    num_batch_threads: int = 1, clock: fake_clock.FakeClock | None = None
) -> shared_batch_scheduler.SharedBatchScheduler:
    return shared_batch_scheduler.SharedBatchScheduler(
        shared_batch_scheduler.Options(num_batch_threads),
        clock or fake_clock.FakeClock(),
    )


class IdleMeansGoTest(parameterized.TestCase):
    """A thread with nothing to do takes what there is."""

    def test_lone_task_waits_for_nobody(self) -> None:
        """A lone task runs at once, on a clock that stands still."""
        batches = _Batches()
        with (
            _scheduler() as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(9, _FOREVER, idle_means_go=True),
                batches.process,
            ) as queue,
        ):
            for size in (1, 2):
                queue.schedule(_Task(size))
                batch = batches.next()
                self.assertEqual(batch.size, size)
                self.assertIs(batch.close_reason, _Reason.IDLE)

    def test_batches_fill_while_threads_are_busy(self) -> None:
        """Tasks that arrive while all threads are busy become one batch."""
        batches = _Batches()
        with (
            _scheduler() as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(9, _FOREVER, idle_means_go=True),
                batches.process,
            ) as queue,
        ):
            with _Clog(scheduler):
                for size in (1, 2, 3):
                    queue.schedule(_Task(size))
            batch = batches.next()
            self.assertEqual([task.size for task in batch.tasks], [1, 2, 3])

    @parameterized.parameters(False, True)
    def test_batch_that_is_due_goes_first(self, due_is_first: bool) -> None:
        """A batch that is due is processed before the turn of a queue."""
        batches = _Batches()
        due = batch_queue.QueueOptions(2, _FOREVER)
        idle = batch_queue.QueueOptions(9, _FOREVER, idle_means_go=True)
        with (
            _scheduler() as scheduler,
            scheduler.add_queue(
                due if due_is_first else idle, batches.process
            ) as first,
            scheduler.add_queue(
                idle if due_is_first else due, batches.process
            ) as second,
        ):
            with _Clog(scheduler):
                (second if due_is_first else first).schedule(_Task(1))
                (first if due_is_first else second).schedule(_Task(2))
            self.assertEqual([batches.next().size for _ in range(2)], [2, 1])

    @parameterized.parameters("schedule", "schedule_all")
    def test_every_idle_thread_takes_a_part(self, how: str) -> None:
        """A task in three parts runs on three threads at the same time."""
        meeting = threading.Barrier(3)
        batches = _Batches(lambda: meeting.wait(timeout=60))
        clock = fake_clock.FakeClock()
        with (
            _scheduler(3, clock) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(
                    6,
                    _FOREVER,
                    3,
                    enable_large_batch_splitting=True,
                    max_execution_batch_size=2,
                ),
                batches.process,
            ) as queue,
        ):
            clock.settle(threads=4)
            if how == "schedule":
                queue.schedule(_Task(6))
            else:
                queue.schedule_all([_Task(6)])
            self.assertEqual([batches.next().size for _ in range(3)], [2] * 3)


class ScheduleAllTest(parameterized.TestCase):
    """Callers that process a quick batch themselves."""

    def setUp(self) -> None:
        """Makes a clock that moves with each run."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.run_micros = 0
        self.batches = _Batches(
            lambda: self.clock.advance_micros(self.run_micros)
        )

    @contextlib.contextmanager
    def queue(
        self, run_micros: int, **options: Any
    ) -> Iterator[batch_scheduler.BatchScheduler[_Task]]:
        """Makes a queue of which the last run took that long."""
        self.run_micros = run_micros
        with (
            _scheduler(1, self.clock) as self.scheduler,
            self.scheduler.add_queue(
                batch_queue.QueueOptions(
                    2, _FOREVER, options.pop("max_enqueued_batches", 9)
                ),
                self.batches.process,
            ) as queue,
        ):
            self.assertFalse(queue.schedule_all([_Task(2)]))
            self.assertIsNot(
                self.batches.next_thread(), threading.current_thread()
            )
            self.clock.settle(threads=2)
            yield queue

    @parameterized.parameters(0, 2999, 3000)
    def test_quick_batch_runs_on_the_calling_thread(
        self, run_micros: int
    ) -> None:
        """A run of up to 3 ms is for the caller, who then looks for news."""
        with self.queue(run_micros) as queue:
            self.assertTrue(queue.schedule_all([_Task(1), _Task(1)]))
            self.assertIs(
                self.batches.next_thread(), threading.current_thread()
            )
            self.assertFalse(queue.schedule_all([]))
            self.assertTrue(self.batches.empty)

    @parameterized.parameters(3001, 10**6)
    def test_slow_batch_is_left_to_the_threads(self, run_micros: int) -> None:
        """The caller has other things to do."""
        with self.queue(run_micros) as queue:
            self.assertFalse(queue.schedule_all([_Task(1), _Task(1)]))
            self.assertIsNot(
                self.batches.next_thread(), threading.current_thread()
            )

    def test_one_batch_is_processed_at_a_time(self) -> None:
        """A caller runs one batch at a time, and looks for news in between."""
        with self.queue(0) as queue:
            tasks = [_Task(2) for _ in range(3)]
            more = [queue.schedule_all(tasks)]
            more += [queue.schedule_all([]) for _ in range(3)]
            self.assertEqual(more, [True, True, True, False])
            for _ in range(3):
                self.assertIs(
                    self.batches.next_thread(), threading.current_thread()
                )

    def test_batch_that_is_not_due_is_left_to_the_threads(self) -> None:
        """It waits for others; a thread knows until when."""
        with self.queue(0) as queue:
            self.assertFalse(queue.schedule_all([_Task(1)]))
            self.clock.settle(threads=2)
            self.assertEqual(queue.num_enqueued_tasks(), 1)
            self.clock.advance_micros(_FOREVER)
            self.assertIs(self.batches.next().close_reason, _Reason.TIMEOUT)

    def test_quick_batch_does_not_wait_for_busy_threads(self) -> None:
        """A quick batch is taken at once, as busy threads may take long."""
        with self.queue(0) as queue, _Clog(self.scheduler):
            self.assertTrue(queue.schedule_all([_Task(2)]))
            self.assertIs(
                self.batches.next_thread(), threading.current_thread()
            )

    def test_slow_batch_waits_for_busy_threads(self) -> None:
        """The caller does not block."""
        with self.queue(10**6) as queue:
            with _Clog(self.scheduler):
                self.assertFalse(queue.schedule_all([_Task(2)]))
                self.assertEqual(queue.num_enqueued_tasks(), 1)
            self.assertIsNot(
                self.batches.next_thread(), threading.current_thread()
            )

    def test_batch_may_schedule_the_next(self) -> None:
        """A callback of a caller can call the scheduler.

        It processes no batch itself, as one caller does so already.
        """
        with self.queue(0) as queue:
            inner: list[bool] = []

            def process(batch: batch_scheduler.Batch[_Task]) -> None:
                if not inner:
                    inner.append(other.schedule_all([_Task(1)]))

            with self.scheduler.add_queue(
                batch_queue.QueueOptions(1, 0), process
            ) as other:
                other.schedule(_Task(1))
                self.clock.settle(threads=2)
                inner.clear()
                self.assertTrue(other.schedule_all([_Task(1)]))
            self.assertEqual(inner, [False])
            self.assertEqual(queue.num_enqueued_tasks(), 0)

    def test_refused_tasks_are_told_why(self) -> None:
        """Refused tasks get the error; others are accepted, nothing raises."""
        with self.queue(10**6, max_enqueued_batches=1) as queue:
            with _Clog(self.scheduler):
                now = self.clock.now()
                tasks = [
                    _Task(2),
                    _Task(1),
                    _Task(3),
                    _Task(1, deadline=now),
                ]
                self.assertFalse(queue.schedule_all(iter(tasks)))
            self.assertEqual(self.batches.next().tasks, tasks[:1])
        refused = _Task(1)
        queue.schedule_all([refused])
        self.assertEqual(
            [type(task.error) for task in [*tasks, refused]],
            [
                type(None),
                errors.UnavailableError,
                errors.InvalidArgumentError,
                errors.DeadlineExceededError,
                errors.FailedPreconditionError,
            ],
        )

    def test_refused_task_that_raises_harms_no_other(self) -> None:
        """Its error is in the log; the batch is processed."""
        with self.queue(0) as queue, self.assertLogs(level="ERROR"):
            tasks = [_BadTask(3), _Task(2), _Task(3)]
            self.assertTrue(queue.schedule_all(tasks))
            self.assertEqual(self.batches.next().tasks, tasks[1:2])
            self.assertIsInstance(tasks[2].error, errors.InvalidArgumentError)

    def test_close_returns_after_a_caller_was_interrupted(self) -> None:
        """Ctrl-C during a batch ends the caller, and close() does not hang."""

        def process(batch: batch_scheduler.Batch[_Task]) -> None:
            if threading.current_thread() is threading.main_thread():
                raise KeyboardInterrupt

        with (
            _scheduler(1, self.clock) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(1, 0), process
            ) as queue,
        ):
            queue.schedule(_Task())
            self.clock.settle(threads=2)
            with self.assertRaises(KeyboardInterrupt):
                queue.schedule_all([_Task()])


if __name__ == "__main__":
    absltest.main()
