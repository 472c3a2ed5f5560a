"""Tests for shared_batch_scheduler."""

import dataclasses
import queue as queue_lib
import threading

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    shared_batch_scheduler,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_FOREVER = 10**12


@dataclasses.dataclass
class _Task(batch_scheduler.BatchTask):
    size: int


class _Batches:
    """Collects the sizes of the tasks of each processed batch."""

    def __init__(self) -> None:
        self._sizes: queue_lib.Queue[list[int]] = queue_lib.Queue()

    def process(self, batch: batch_scheduler.Batch[_Task]) -> None:
        """Records a batch."""
        assert batch.is_closed
        self._sizes.put([task.size for task in batch.tasks])

    def next(self) -> list[int]:
        """Waits for a batch."""
        return self._sizes.get(timeout=60)

    @property
    def empty(self) -> bool:
        """Whether every batch was fetched with next()."""
        return self._sizes.empty()


class _Clog:
    """A callback that holds its thread until the end of a with block.

    Entered last, so that a test that fails does not wait for the thread.
    """

    def __init__(self) -> None:
        self.started = threading.Event()
        self.is_finished = False
        self._go_on = threading.Event()

    def process(self, batch: batch_scheduler.Batch[_Task]) -> None:
        """Holds the thread."""
        self.started.set()
        self._go_on.wait()
        self.is_finished = True

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(self, *exc_info: object) -> None:
        """Lets the thread go on."""
        self._go_on.set()


def _options(num_batch_threads: int = 1) -> shared_batch_scheduler.Options:
    return shared_batch_scheduler.Options(num_batch_threads)


class SharedBatchSchedulerTest(parameterized.TestCase):
    """Batch threads that several queues share."""

    def test_threads_are_at_least_one(self) -> None:
        """A scheduler with no thread would process nothing."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "num_batch_threads"
        ):
            _options(0)

    @parameterized.product(
        num_batch_threads=(1, 2, 3), scheduler_closes_first=(False, True)
    )
    def test_all_tasks_are_processed_before_close_returns(
        self, num_batch_threads: int, scheduler_closes_first: bool
    ) -> None:
        """All tasks run before close() returns, whatever is closed first."""
        batches = [_Batches(), _Batches()]
        scheduler = shared_batch_scheduler.SharedBatchScheduler(
            _options(num_batch_threads)
        )
        queues = [
            scheduler.add_queue(
                batch_queue.QueueOptions(10, _FOREVER, 2), each.process
            )
            for each in batches
        ]
        if scheduler_closes_first:
            scheduler.close()
        for queue in queues:
            for size in (3, 5, 3, 1, 6):
                queue.schedule(_Task(size))
        for queue in queues:
            queue.close()
            queue.close()  # idempotent
        scheduler.close()
        for each in batches:
            groups = sorted([each.next(), each.next()])
            self.assertEqual(groups, [[3, 1, 6], [3, 5]])
            self.assertTrue(each.empty)

    def test_closed_scheduler_adds_no_queue(self) -> None:
        """A closed scheduler's threads may have ended, so it adds no queue."""
        scheduler = shared_batch_scheduler.SharedBatchScheduler(_options())
        scheduler.close()
        with self.assertRaises(errors.FailedPreconditionError):
            scheduler.add_queue(batch_queue.QueueOptions(), _Batches().process)

    def test_threads_end_with_the_last_queue(self) -> None:
        """Nothing is left running, and threads carry the pool's name."""
        name = "threads_end_with_the_last_queue"

        def count() -> int:
            return sum(
                thread.name.startswith(name) for thread in threading.enumerate()
            )

        with (
            shared_batch_scheduler.SharedBatchScheduler(
                shared_batch_scheduler.Options(2, name)
            ) as scheduler,
            scheduler.add_queue(batch_queue.QueueOptions(), _Batches().process),
        ):
            self.assertEqual(count(), 3)  # one watches deadlines
        self.assertEqual(count(), 0)

    def test_timeout_is_exact(self) -> None:
        """A batch is processed after 10 us, not after 9."""
        clock, batches = fake_clock.FakeClock(), _Batches()
        with (
            shared_batch_scheduler.SharedBatchScheduler(
                _options(), clock
            ) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(4, 10, 2), batches.process
            ) as queue,
        ):
            clock.settle(threads=2)
            queue.schedule(_Task(1))
            clock.advance_micros(9)
            clock.settle(threads=2)
            self.assertTrue(batches.empty)
            self.assertEqual(queue.num_enqueued_tasks(), 1)
            clock.advance_micros(1)
            self.assertEqual(batches.next(), [1])
            self.assertEqual(queue.num_enqueued_tasks(), 0)

    def test_full_batch_does_not_wait_for_the_timeout(self) -> None:
        """A full batch is due on a clock that stands still."""
        clock, batches = fake_clock.FakeClock(), _Batches()
        with (
            shared_batch_scheduler.SharedBatchScheduler(
                _options(), clock
            ) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(4, 10, 2), batches.process
            ) as queue,
        ):
            queue.schedule(_Task(3))
            queue.schedule(_Task(1))
            self.assertEqual(batches.next(), [3, 1])

    def test_real_clock_ends_the_wait(self) -> None:
        """On a clock that runs, a timeout needs no help."""
        batches = _Batches()
        with (
            shared_batch_scheduler.SharedBatchScheduler(
                _options()
            ) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(4, 100, 2), batches.process
            ) as queue,
        ):
            queue.schedule(_Task(1))
            self.assertEqual(batches.next(), [1])

    def test_busy_queue_does_not_starve_another(self) -> None:
        """Each queue gets one batch a turn."""
        order: queue_lib.Queue[str] = queue_lib.Queue()
        started, go_on = threading.Event(), threading.Event()

        def busy(batch: batch_scheduler.Batch[_Task]) -> None:
            started.set()
            go_on.wait()
            order.put("busy")

        def other(batch: batch_scheduler.Batch[_Task]) -> None:
            order.put("other")

        with (
            shared_batch_scheduler.SharedBatchScheduler(
                _options()
            ) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(1, 0, 9), busy
            ) as first,
            scheduler.add_queue(
                batch_queue.QueueOptions(9, 0, 9),
                other,
            ) as second,
        ):
            for _ in range(3):
                first.schedule(_Task(1))
            started.wait()
            second.schedule(_Task(1))
            go_on.set()
            got = [order.get(timeout=60) for _ in range(4)]
        self.assertEqual(got, ["busy", "other", "busy", "busy"])

    def test_full_queue_does_not_block_another(self) -> None:
        """The one refuses at once while the other is served."""
        full_batches, batches = _Batches(), _Batches()
        with (
            shared_batch_scheduler.SharedBatchScheduler(
                _options()
            ) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(2, _FOREVER, 1), full_batches.process
            ) as full,
            scheduler.add_queue(
                batch_queue.QueueOptions(1, 0, 1), batches.process
            ) as other,
        ):
            full.schedule(_Task(1))
            with self.assertRaises(errors.UnavailableError):
                full.schedule(_Task(2))
            other.schedule(_Task(1))
            self.assertEqual(batches.next(), [1])
            self.assertTrue(full_batches.empty)
        self.assertEqual(full_batches.next(), [1])

    def test_batch_in_process_takes_no_room(self) -> None:
        """Only what waits for a thread counts."""
        clog = _Clog()
        with (
            shared_batch_scheduler.SharedBatchScheduler(
                _options()
            ) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(1, 0, 1), clog.process
            ) as queue,
            clog,
        ):
            queue.schedule(_Task(1))
            clog.started.wait()
            self.assertEqual(queue.scheduling_capacity(), 1)
            queue.schedule(_Task(1))
            self.assertEqual(queue.scheduling_capacity(), 0)
            with self.assertRaises(errors.UnavailableError):
                queue.schedule(_Task(1))

    def test_close_waits_for_the_batch_in_process(self) -> None:
        """close() returns after the batch that a thread has taken is done."""
        clog = _Clog()
        with shared_batch_scheduler.SharedBatchScheduler(
            _options()
        ) as scheduler:
            queue = scheduler.add_queue(
                batch_queue.QueueOptions(1, 0, 1), clog.process
            )
            queue.schedule(_Task(1))
            clog.started.wait()
            closer = threading.Thread(target=queue.close)
            closer.start()
            with clog:
                self.assertFalse(clog.is_finished)
            closer.join()
            self.assertTrue(clog.is_finished)

    @parameterized.parameters(ValueError, SystemExit, KeyboardInterrupt)
    def test_thread_survives_a_callback_that_raises(
        self, error: type[BaseException]
    ) -> None:
        """One bad batch does not end the service, whatever it raises."""
        batches = _Batches()

        def process(batch: batch_scheduler.Batch[_Task]) -> None:
            if batch.tasks[0].size == 1:
                raise error("bad batch")
            batches.process(batch)

        with (
            shared_batch_scheduler.SharedBatchScheduler(
                _options()
            ) as scheduler,
            scheduler.add_queue(
                batch_queue.QueueOptions(2, 0, 9), process
            ) as queue,
            self.assertLogs(level="ERROR"),
        ):
            queue.schedule(_Task(1))
            queue.schedule(_Task(2))
            self.assertEqual(batches.next(), [2])


if __name__ == "__main__":
    absltest.main()
