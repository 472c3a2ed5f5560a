"""Tests for batch_scheduler."""

import dataclasses
import threading

from absl.testing import absltest

from tensorflow_serving.batching import batch_scheduler


@dataclasses.dataclass
class _Task:
    size: int


class BatchTest(absltest.TestCase):
    """Tasks that are processed together."""

    def test_batch_adds_up_its_tasks(self) -> None:
        """Number and size follow the tasks, whose order is kept."""
        batch = batch_scheduler.Batch[_Task]()
        self.assertTrue(batch.empty)
        first, second = _Task(3), _Task(7)
        batch.add_task(first)
        batch.add_task(second)
        self.assertFalse(batch.empty)
        self.assertEqual(batch.num_tasks, 2)
        self.assertEqual(batch.size, 10)
        self.assertEqual(list(batch.tasks), [first, second])

    def test_closed_batch_takes_no_tasks(self) -> None:
        """Adding to a closed batch is a fault of the program."""
        batch = batch_scheduler.Batch[_Task]()
        self.assertFalse(batch.is_closed)
        batch.close()
        self.assertTrue(batch.is_closed)
        with self.assertRaises(AssertionError):
            batch.add_task(_Task(1))

    def test_wait_until_closed_returns_after_close(self) -> None:
        """A thread can wait for the end of a batch."""
        batch = batch_scheduler.Batch[_Task]()
        closed_when_woken: list[bool] = []

        def wait() -> None:
            batch.wait_until_closed()
            closed_when_woken.append(batch.is_closed)

        thread = threading.Thread(target=wait)
        thread.start()
        batch.close()
        thread.join()
        self.assertEqual(closed_when_woken, [True])


if __name__ == "__main__":
    absltest.main()
