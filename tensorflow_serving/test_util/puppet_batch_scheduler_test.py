"""Tests for puppet_batch_scheduler."""

import dataclasses
import threading

from absl.testing import absltest

from tensorflow_serving.batching import batch_scheduler
from tensorflow_serving.test_util import puppet_batch_scheduler


@dataclasses.dataclass(frozen=True)
class _Task:
    size: int


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
        """In the order in which they came."""
        for size in (1, 2, 3):
            self.scheduler.schedule(_Task(size))
        self.assertEqual(self.scheduler.num_enqueued_tasks(), 3)
        self.assertEqual(self.batches, [])
        self.scheduler.process_tasks(2)
        self.assertEqual(self.batches, [[1, 2]])
        self.scheduler.close()
        self.assertEqual(self.batches, [[1, 2], [3]])

    def test_wait_for_tasks_returns_when_they_are_there(self) -> None:
        """Whichever thread scheduled them."""
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
