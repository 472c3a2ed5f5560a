"""Tests for basic_batch_scheduler."""

import threading

from absl.testing import absltest

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batch_queue,
    batch_scheduler,
    shared_batch_scheduler,
)
from tensorflow_serving.util import errors


class _Task(batch_scheduler.BatchTask):
    """Knows with which error it failed."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.error: errors.ServingError | None = None

    def fail(self, error: errors.ServingError) -> None:
        """Records it."""
        self.error = error


class BasicBatchSchedulerTest(absltest.TestCase):
    """A batch scheduler with one queue and threads of its own."""

    def test_defaults_are_those_of_the_original(self) -> None:
        """The defaults are 32 rows, 1 ms, one waiting batch and one thread."""
        options = basic_batch_scheduler.Options()
        self.assertEqual(options.queue, batch_queue.QueueOptions(32, 1000, 1))
        self.assertEqual(
            options.threads, shared_batch_scheduler.Options(1, "batch_threads")
        )

    def test_tasks_share_a_batch_until_close(self) -> None:
        """Two tasks make one batch; the capacity is what they left."""
        sizes: list[list[int]] = []

        def process(batch: batch_scheduler.Batch[_Task]) -> None:
            sizes.append([task.size for task in batch.tasks])

        options = basic_batch_scheduler.Options(
            batch_queue.QueueOptions(10, 10**9, 3)
        )
        with basic_batch_scheduler.BasicBatchScheduler(
            options, process
        ) as scheduler:
            scheduler.schedule(_Task(3))
            scheduler.schedule(_Task(5))
            self.assertEqual(scheduler.num_enqueued_tasks(), 2)
            self.assertEqual(scheduler.scheduling_capacity(), 3 * 10 - 3 - 5)
        self.assertEqual(sizes, [[3, 5]])
        with self.assertRaises(errors.FailedPreconditionError):
            scheduler.schedule(_Task(1))

    def test_the_rest_is_the_queues(self) -> None:
        """schedule_all(), cancel() and statistics() are passed through."""
        tasks = [_Task(3), _Task(11), _Task(5)]
        with basic_batch_scheduler.BasicBatchScheduler[_Task](
            basic_batch_scheduler.Options(batch_queue.QueueOptions(10, 10**9)),
            lambda batch: None,
        ) as scheduler:
            self.assertFalse(scheduler.schedule_all(tasks))
            scheduler.cancel(tasks[2])
            self.assertEqual(
                [type(task.error) for task in tasks],
                [
                    type(None),
                    errors.InvalidArgumentError,
                    errors.CancelledError,
                ],
            )
            self.assertEqual(scheduler.statistics().num_enqueued_tasks, 1)
        self.assertEqual(scheduler.statistics().num_batches_by_size, {3: 1})

    def test_close_ends_the_threads(self) -> None:
        """Nothing is left running."""
        before = threading.active_count()
        with basic_batch_scheduler.BasicBatchScheduler[_Task](
            basic_batch_scheduler.Options(), lambda batch: None
        ):
            # One processes batches, and one watches deadlines.
            self.assertEqual(threading.active_count(), before + 2)
        self.assertEqual(threading.active_count(), before)


if __name__ == "__main__":
    absltest.main()
