"""Tests for puppet_batch_scheduler."""

import threading

from absl.testing import absltest

from tensorflow_serving.batching import batch_scheduler
from tensorflow_serving.test_util import puppet_batch_scheduler
from tensorflow_serving.util import errors


class _Task(batch_scheduler.BatchTask):
    """Knows with which error it failed, and equals all others."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.error: errors.ServingError | None = None

    def fail(self, error: errors.ServingError) -> None:
        """Records it."""
        self.error = error

    def __eq__(self, other: object) -> bool:
        """Makes it hard to find the right one."""
        return isinstance(other, _Task)

    def __hash__(self) -> int:
        """Goes with __eq__."""
        return 0


class PuppetBatchSchedulerTest(absltest.TestCase):
    """A batch scheduler that processes tasks when a test says so."""

    def setUp(self) -> None:
        """Collects the sizes of the tasks of each batch."""
        super().setUp()
        self.batches: list[list[int]] = []
        self.scheduler = puppet_batch_scheduler.PuppetBatchScheduler[_Task](
            self._process
        )

    def _process(self, batch: batch_scheduler.Batch[_Task]) -> None:
        self.assertTrue(batch.is_closed)
        self.batches.append([task.size for task in batch.tasks])

    def test_tasks_wait_until_they_are_processed(self) -> None:
        """Tasks are processed on demand, in the order of their arrival."""
        for size in (1, 2, 3):
            self.scheduler.schedule(_Task(size))
        self.assertEqual(self.scheduler.num_enqueued_tasks(), 3)
        self.assertEqual(self.batches, [])
        self.scheduler.process_tasks(2)
        self.assertEqual(self.batches, [[1, 2]])
        self.scheduler.close()
        self.assertEqual(self.batches, [[1, 2], [3]])

    def test_cancelled_task_is_not_processed(self) -> None:
        """A cancelled task is dropped while it waits, and no other one."""
        tasks = [_Task(size) for size in (1, 2, 3)]
        for task in tasks:
            self.scheduler.schedule(task)
        self.scheduler.process_tasks(1)
        self.scheduler.cancel(tasks[0])
        self.scheduler.cancel(tasks[2])
        self.assertEqual(self.scheduler.statistics().num_enqueued_tasks, 1)
        self.scheduler.close()
        self.assertEqual(self.batches, [[1], [2]])
        self.assertEqual(
            [type(task.error) for task in tasks],
            [type(None), type(None), errors.CancelledError],
        )

    def test_wait_for_tasks_returns_when_they_are_there(self) -> None:
        """The wait ends when the tasks are there, whoever scheduled them."""
        thread = threading.Thread(
            target=self.scheduler.schedule, args=(_Task(1),)
        )
        thread.start()
        self.scheduler.wait_for_tasks(1)
        self.assertEqual(self.scheduler.num_enqueued_tasks(), 1)
        thread.join()
        self.scheduler.close()


if __name__ == "__main__":
    absltest.main()
