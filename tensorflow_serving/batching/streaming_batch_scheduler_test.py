"""Tests for streaming_batch_scheduler."""

import dataclasses
import queue as queue_lib
import threading
from typing import Any
from unittest import mock

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batch_scheduler,
    batch_scheduler_retrier,
    streaming_batch_scheduler,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_NEVER = -1
_PATIENT = batch_scheduler_retrier.Options(max_time_micros=60_000_000)


@dataclasses.dataclass(frozen=True)
class _Task(batch_scheduler.BatchTask):
    size: int


class _Batches:
    """A callback that shows each batch twice: at once, and when processed."""

    def __init__(self) -> None:
        self._started: queue_lib.Queue[batch_scheduler.Batch[_Task]] = (
            queue_lib.Queue()
        )
        self._processed: queue_lib.Queue[list[int]] = queue_lib.Queue()
        self._go_on = threading.Event()
        self._go_on.set()

    def process(self, batch: batch_scheduler.Batch[_Task]) -> None:
        """Records a batch."""
        self._started.put(batch)
        batch.wait_until_closed()
        self._go_on.wait()
        self._processed.put([task.size for task in batch.tasks])

    def next_started(self) -> batch_scheduler.Batch[_Task]:
        """Waits for a batch, open or closed."""
        return self._started.get(timeout=60)

    def next(self) -> list[int]:
        """Waits for a batch to be processed; returns the sizes of its tasks."""
        return self._processed.get(timeout=60)

    @property
    def empty(self) -> bool:
        """Whether every processed batch was fetched with next()."""
        return self._processed.empty()

    def hold(self) -> None:
        """Lets no closed batch be processed until release()."""
        self._go_on.clear()

    def release(self) -> None:
        """Lets the threads go on."""
        self._go_on.set()


class _DeadlineClock(fake_clock.FakeClock):
    """A fake clock that knows until when a thread last chose to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.deadline: float | None = None

    def wait_until(
        self, condition: threading.Condition, deadline: float | None
    ) -> None:
        """Records the wait, and waits."""
        self.deadline = deadline
        super().wait_until(condition, deadline)


def _options(
    batch_timeout_micros: int = _NEVER, num_batch_threads: int = 1
) -> streaming_batch_scheduler.Options:
    return streaming_batch_scheduler.Options(
        10, batch_timeout_micros, num_batch_threads
    )


class _SchedulerTestCase(parameterized.TestCase):
    """Has a scheduler that is closed after the test, whatever happened."""

    def setUp(self) -> None:
        """Makes the callback."""
        super().setUp()
        self.batches = _Batches()

    def start(
        self,
        options: streaming_batch_scheduler.Options,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> batch_scheduler.BatchScheduler[_Task]:
        """Returns a scheduler of self.batches."""
        scheduler = streaming_batch_scheduler.StreamingBatchScheduler(
            options, self.batches.process, clock
        )
        self.addCleanup(self.finish, scheduler)
        return scheduler

    def start_retrying(
        self,
        retrier_options: batch_scheduler_retrier.Options,
        process_batch: batch_scheduler.ProcessBatch[_Task],
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> batch_scheduler.BatchScheduler[_Task]:
        """Returns a scheduler with one thread, for which schedule() waits."""
        scheduler = streaming_batch_scheduler.create_retrying(
            _options(), retrier_options, process_batch, clock
        )
        self.addCleanup(self.finish, scheduler)
        return scheduler

    def finish(self, scheduler: batch_scheduler.BatchScheduler[_Task]) -> None:
        """Lets all batches be processed."""
        self.batches.release()
        scheduler.close()


class OptionsTest(parameterized.TestCase):
    """Options of a StreamingBatchScheduler."""

    def test_defaults_are_those_of_the_original(self) -> None:
        """32 rows, 10 ms, one thread."""
        self.assertEqual(
            streaming_batch_scheduler.Options(),
            streaming_batch_scheduler.Options(32, 10_000, 1, "batch_threads"),
        )

    @parameterized.parameters("max_batch_size", "num_batch_threads")
    def test_sizes_are_at_least_one(self, name: str) -> None:
        """Sizes below 1 are refused; the error names the option."""
        options: dict[str, Any] = {name: 0}
        with self.assertRaisesRegex(errors.InvalidArgumentError, name):
            streaming_batch_scheduler.Options(**options)


class StreamingBatchSchedulerTest(_SchedulerTestCase):
    """A batch scheduler without a queue."""

    def test_first_task_hands_over_the_batch(self) -> None:
        """The callback has the batch while other tasks come in."""
        scheduler = self.start(_options())
        scheduler.schedule(_Task(1))
        batch = self.batches.next_started()
        self.assertEqual(list(batch.tasks), [_Task(1)])
        self.assertFalse(batch.is_closed)
        scheduler.schedule(_Task(2))
        self.assertEqual(list(batch.tasks), [_Task(1), _Task(2)])
        self.assertFalse(batch.is_closed)
        self.finish(scheduler)
        self.assertEqual(self.batches.next(), [1, 2])
        self.assertTrue(self.batches.empty)

    def test_full_batch_is_closed_at_once(self) -> None:
        """Nothing else can come; and no empty batch follows."""
        scheduler = self.start(_options(num_batch_threads=2))
        scheduler.schedule(_Task(7))
        scheduler.schedule(_Task(3))
        self.assertTrue(self.batches.next_started().is_closed)
        self.assertEqual(self.batches.next(), [7, 3])
        self.finish(scheduler)
        self.assertTrue(self.batches.empty)

    def test_task_that_does_not_fit_opens_the_next_batch(self) -> None:
        """An idle thread opens the next batch, and the last one is closed."""
        scheduler = self.start(_options(num_batch_threads=2))
        self.batches.hold()
        scheduler.schedule(_Task(7))
        first = self.batches.next_started()
        scheduler.schedule(_Task(4))
        second = self.batches.next_started()
        self.assertTrue(first.is_closed)
        self.assertFalse(second.is_closed)
        self.assertEqual(list(second.tasks), [_Task(4)])

    @parameterized.parameters(1, 2, 3)
    def test_task_without_a_thread_is_refused(self, num_threads: int) -> None:
        """A task is refused at once when no thread can become idle."""
        scheduler = self.start(_options(num_batch_threads=num_threads))
        self.batches.hold()
        for _ in range(num_threads):
            scheduler.schedule(_Task(10))
        for _ in range(2):
            with self.assertRaises(errors.UnavailableError):
                scheduler.schedule(_Task(1))
        self.finish(scheduler)
        for _ in range(num_threads):
            self.assertEqual(self.batches.next(), [10])
        self.assertTrue(self.batches.empty)

    def test_refused_task_closes_the_open_batch(self) -> None:
        """A task that does not fit closes the open batch, so that it ends."""
        scheduler = self.start(_options())
        self.batches.hold()
        scheduler.schedule(_Task(7))
        with self.assertRaises(errors.UnavailableError):
            scheduler.schedule(_Task(4))
        self.assertTrue(self.batches.next_started().is_closed)
        self.assertEqual(scheduler.scheduling_capacity(), 0)
        self.finish(scheduler)
        self.assertEqual(self.batches.next(), [7])
        self.assertTrue(self.batches.empty)

    def test_too_large_task_is_an_error(self) -> None:
        """It has no effect on the open batch."""
        scheduler = self.start(_options())
        scheduler.schedule(_Task(1))
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "at most 10, .*; got 11"
        ):
            scheduler.schedule(_Task(11))
        self.assertFalse(self.batches.next_started().is_closed)
        self.finish(scheduler)
        self.assertEqual(self.batches.next(), [1])

    def test_no_task_is_ever_enqueued(self) -> None:
        """A task is with a thread, or refused."""
        scheduler = self.start(_options())
        self.batches.hold()
        self.assertEqual(scheduler.num_enqueued_tasks(), 0)
        for size in (7, 3):
            scheduler.schedule(_Task(size))
            self.assertEqual(scheduler.num_enqueued_tasks(), 0)
        with self.assertRaises(errors.UnavailableError):
            scheduler.schedule(_Task(1))
        self.assertEqual(scheduler.num_enqueued_tasks(), 0)

    def test_capacity_is_idle_threads_and_room(self) -> None:
        """Capacity is room in the open batch and idle threads; 0 if closed."""
        scheduler = self.start(_options(num_batch_threads=2))
        self.batches.hold()
        capacities = [scheduler.scheduling_capacity()]
        for size in (3, 8, 1, 1):
            scheduler.schedule(_Task(size))
            capacities.append(scheduler.scheduling_capacity())
        self.assertEqual(capacities, [20, 10 + 7, 2, 1, 0])
        self.finish(scheduler)
        self.assertEqual(scheduler.scheduling_capacity(), 0)


class TimeoutTest(_SchedulerTestCase):
    """When an open batch is due."""

    def test_timeout_is_exact(self) -> None:
        """A batch is open for 9 us after its first task, and closed at 10."""
        clock = fake_clock.FakeClock()
        scheduler = self.start(_options(batch_timeout_micros=10), clock)
        scheduler.schedule(_Task(1))
        batch = self.batches.next_started()
        clock.advance_micros(9)
        clock.settle(threads=1)
        scheduler.schedule(_Task(2))
        self.assertFalse(batch.is_closed)
        clock.advance_micros(1)
        clock.settle(threads=1)
        self.assertTrue(batch.is_closed)
        self.assertEqual(self.batches.next(), [1, 2])

    def test_each_batch_has_a_timeout_of_its_own(self) -> None:
        """A batch that was full early leaves its time to nobody."""
        clock = fake_clock.FakeClock()
        scheduler = self.start(
            _options(batch_timeout_micros=10, num_batch_threads=2), clock
        )
        scheduler.schedule(_Task(10))
        self.assertTrue(self.batches.next_started().is_closed)
        clock.advance_micros(7)
        scheduler.schedule(_Task(1))
        batch = self.batches.next_started()
        for micros in (3, 6):
            clock.advance_micros(micros)
            clock.settle(threads=1)
            self.assertFalse(batch.is_closed)
        clock.advance_micros(1)
        clock.settle(threads=1)
        self.assertTrue(batch.is_closed)

    def test_closer_waits_until_the_batch_is_due(self) -> None:
        """The closer waits until a batch is due, and never polls."""
        clock = _DeadlineClock()
        scheduler = self.start(_options(batch_timeout_micros=10), clock)
        clock.settle(threads=1)
        self.assertIsNone(clock.deadline)
        scheduler.schedule(_Task(1))
        clock.settle(threads=1)
        self.assertEqual(clock.deadline, 10e-6)
        clock.advance_micros(10)
        clock.settle(threads=1)
        self.assertIsNone(clock.deadline)

    def test_zero_timeout_means_one_task_a_batch(self) -> None:
        """Each takes a thread, which the capacity shows."""
        scheduler = self.start(
            _options(batch_timeout_micros=0, num_batch_threads=2)
        )
        self.batches.hold()
        for capacity in (2, 1):
            self.assertEqual(scheduler.scheduling_capacity(), capacity)
            scheduler.schedule(_Task(1))
            self.assertTrue(self.batches.next_started().is_closed)
        self.assertEqual(scheduler.scheduling_capacity(), 0)
        with self.assertRaises(errors.UnavailableError):
            scheduler.schedule(_Task(1))
        self.finish(scheduler)
        self.assertEqual([self.batches.next() for _ in range(2)], [[1], [1]])

    def test_negative_timeout_means_never(self) -> None:
        """A batch without a timeout is open; no thread looks at the time."""
        clock = _DeadlineClock()
        scheduler = self.start(_options(batch_timeout_micros=_NEVER), clock)
        scheduler.schedule(_Task(1))
        batch = self.batches.next_started()
        clock.advance_micros(10**12)
        scheduler.schedule(_Task(2))
        self.assertFalse(batch.is_closed)
        self.assertIsNone(clock.deadline)
        self.finish(scheduler)
        self.assertEqual(self.batches.next(), [1, 2])

    def test_real_clock_closes_a_batch(self) -> None:
        """On a clock that runs, a timeout needs no help."""
        scheduler = self.start(_options(batch_timeout_micros=100))
        scheduler.schedule(_Task(1))
        self.assertEqual(self.batches.next(), [1])


class LifetimeTest(_SchedulerTestCase):
    """Threads, from the first to the last."""

    @parameterized.parameters(_NEVER, 10**12)
    def test_close_processes_the_open_batch(self, timeout: int) -> None:
        """It waits neither for the timeout nor for other tasks."""
        scheduler = self.start(_options(batch_timeout_micros=timeout))
        scheduler.schedule(_Task(1))
        scheduler.close()
        self.assertFalse(self.batches.empty)
        self.assertEqual(self.batches.next(), [1])
        scheduler.close()  # idempotent
        with self.assertRaises(errors.FailedPreconditionError):
            scheduler.schedule(_Task(1))
        self.assertTrue(self.batches.empty)

    def test_close_waits_for_the_batch_in_progress(self) -> None:
        """When it returns, the callback has returned."""
        scheduler = self.start(_options())
        self.batches.hold()
        scheduler.schedule(_Task(1))
        processed_when_closed: list[bool] = []

        def close() -> None:
            scheduler.close()
            processed_when_closed.append(not self.batches.empty)

        closer = threading.Thread(target=close)
        closer.start()
        self.batches.next_started().wait_until_closed()
        self.assertTrue(self.batches.empty)
        self.batches.release()
        closer.join()
        self.assertEqual(processed_when_closed, [True])

    @parameterized.parameters((_NEVER, 2), (0, 2), (10, 3))
    def test_close_ends_the_threads(self, timeout: int, threads: int) -> None:
        """They carry the pool's name; a timeout takes one more."""
        name = f"close_ends_the_threads_{timeout}"

        def count() -> int:
            return sum(
                thread.name.startswith(name) for thread in threading.enumerate()
            )

        with self.start(
            streaming_batch_scheduler.Options(
                batch_timeout_micros=timeout,
                num_batch_threads=2,
                thread_pool_name=name,
            )
        ):
            self.assertEqual(count(), threads)
        self.assertEqual(count(), 0)

    @parameterized.parameters(0, 1, 3)
    def test_started_threads_end_if_one_cannot_start(self, most: int) -> None:
        """Threads end when any of them cannot start; the error says why."""
        start = threading.Thread.start
        started: list[threading.Thread] = []

        def start_some(thread: threading.Thread) -> None:
            if len(started) == most:
                raise RuntimeError("can't start new thread")
            start(thread)
            started.append(thread)

        with (
            mock.patch.object(threading.Thread, "start", start_some),
            self.assertRaisesRegex(
                errors.ResourceExhaustedError, "num_batch_threads .* got 3"
            ),
        ):
            self.start(_options(batch_timeout_micros=10, num_batch_threads=3))
        self.assertEqual([each.is_alive() for each in started], [False] * most)

    def test_thread_survives_a_callback_that_raises(self) -> None:
        """One bad batch does not end the service."""

        def process(batch: batch_scheduler.Batch[_Task]) -> None:
            self.batches.process(batch)
            if batch.size == 10:
                raise ValueError("bad batch")

        scheduler = self.start_retrying(_PATIENT, process)
        with self.assertLogs(level="ERROR") as logs:
            scheduler.schedule(_Task(10))
            scheduler.schedule(_Task(9))
        self.assertIn("bad batch", logs.output[0])
        self.finish(scheduler)
        self.assertEqual([self.batches.next() for _ in range(2)], [[10], [9]])

    def test_batch_of_a_callback_that_ends_early_is_closed(self) -> None:
        """The next task must not get lost in it."""
        ended_early: queue_lib.Queue[batch_scheduler.Batch[_Task]] = (
            queue_lib.Queue()
        )

        def process(batch: batch_scheduler.Batch[_Task]) -> None:
            if batch.tasks[0].size == 1:
                ended_early.put(batch)
            else:
                self.batches.process(batch)

        scheduler = self.start_retrying(_PATIENT, process)
        scheduler.schedule(_Task(1))
        batch = ended_early.get(timeout=60)
        batch.wait_until_closed()
        self.assertIs(batch.close_reason, batch_scheduler.CloseReason.FULL)
        scheduler.schedule(_Task(2))
        self.finish(scheduler)
        self.assertEqual(batch.num_tasks, 1)
        self.assertEqual(self.batches.next(), [2])


class CreateRetryingTest(_SchedulerTestCase):
    """A StreamingBatchScheduler for callers that can wait a little."""

    def test_task_waits_for_a_thread(self) -> None:
        """A call that would be refused returns when the thread is idle."""
        batches = self.batches

        class Clock(clock_lib.MonotonicClock):
            """Ends the batch in progress when the retrier has to wait."""

            def sleep(self, seconds: float) -> None:
                """Lets the thread go on."""
                batches.release()
                super().sleep(seconds)

        scheduler = self.start_retrying(_PATIENT, batches.process, Clock())
        batches.hold()
        scheduler.schedule(_Task(10))
        scheduler.schedule(_Task(9))
        self.assertEqual(batches.next(), [10])
        self.finish(scheduler)
        self.assertEqual(batches.next(), [9])

    def test_wait_has_an_end(self) -> None:
        """A task that waited max_time_micros is refused."""
        impatient = batch_scheduler_retrier.Options(max_time_micros=0)
        scheduler = self.start_retrying(impatient, self.batches.process)
        self.batches.hold()
        scheduler.schedule(_Task(10))
        with self.assertRaises(errors.UnavailableError):
            scheduler.schedule(_Task(9))


if __name__ == "__main__":
    absltest.main()
