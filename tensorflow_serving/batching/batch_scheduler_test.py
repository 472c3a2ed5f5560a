"""Tests for batch_scheduler."""

import dataclasses
import math
import threading

from absl.testing import absltest

from tensorflow_serving.batching import batch_scheduler
from tensorflow_serving.util import errors


@dataclasses.dataclass
class _Task(batch_scheduler.BatchTask):
    size: int


class _ForTwo(batch_scheduler.BatchScheduler[_Task]):
    """Has room for two tasks and does nothing with them."""

    def __init__(self) -> None:
        self.tasks: list[_Task] = []

    def schedule(self, task: _Task) -> None:
        """Takes a task, or not."""
        if len(self.tasks) == 2:
            raise errors.UnavailableError("full")
        self.tasks.append(task)

    def num_enqueued_tasks(self) -> int:
        """Counts them."""
        return len(self.tasks)

    def scheduling_capacity(self) -> int:
        """Counts them down."""
        return 2 - len(self.tasks)

    def statistics(self) -> batch_scheduler.Statistics:
        """Counts nothing."""
        return batch_scheduler.Statistics()

    def close(self) -> None:
        """Forgets them."""
        self.tasks = []


class _Recording(_Task):
    """A task that knows with which error it failed."""

    error: errors.ServingError | None = None

    def fail(self, error: errors.ServingError) -> None:
        """Records it."""
        self.error = error


class BatchTaskTest(absltest.TestCase):
    """Tests of the defaults of a task."""

    def test_task_is_of_use_for_ever(self) -> None:
        """A task is of use until its deadline, which is never by default."""
        self.assertEqual(_Task(1).deadline, math.inf)

    def test_task_cannot_be_split(self) -> None:
        """A task cannot be split unless its class knows how."""
        with self.assertRaises(NotImplementedError):
            _Task(2).split([1, 1])


class BatchSchedulerTest(absltest.TestCase):
    """Tests of the methods that every scheduler inherits."""

    def test_tasks_of_schedule_all_are_accepted_or_fail(self) -> None:
        """A refused task gets the error; there is nothing else to do."""
        tasks = [_Recording(1) for _ in range(3)]
        scheduler = _ForTwo()
        with scheduler:
            self.assertFalse(scheduler.schedule_all(iter(tasks)))
            self.assertEqual(scheduler.tasks, tasks[:2])
            self.assertEqual(
                [type(task.error) for task in tasks],
                [type(None), type(None), errors.UnavailableError],
            )
        self.assertEqual(scheduler.num_enqueued_tasks(), 0)

    def test_cancel_may_have_no_effect(self) -> None:
        """A scheduler without a queue has nothing to take a task from."""
        task = _Recording(1)
        scheduler = _ForTwo()
        scheduler.schedule(task)
        scheduler.cancel(task)
        self.assertIsNone(task.error)
        self.assertEqual(scheduler.tasks, [task])

    def test_statistics_are_frozen(self) -> None:
        """A snapshot does not change; it begins with nothing."""
        statistics = batch_scheduler.Statistics()
        self.assertEqual(statistics.num_batches_by_size, {})
        self.assertEqual(statistics.num_expired, 0)
        with self.assertRaises(dataclasses.FrozenInstanceError):
            statistics.num_expired = 1  # type: ignore[misc]


class BatchTest(absltest.TestCase):
    """Tasks that are processed together."""

    def test_repr_has_the_state(self) -> None:
        """A debugger shows the tasks of a batch, and why it was closed."""
        batch = batch_scheduler.Batch[_Task]()
        batch.add_task(_Task(1))
        self.assertEqual(repr(batch), "<Batch open, 1 tasks of size 1>")
        batch.close(batch_scheduler.CloseReason.FULL)
        self.assertEqual(repr(batch), "<Batch FULL, 1 tasks of size 1>")

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

    def test_batch_can_be_made_of_tasks(self) -> None:
        """It is closed from the start, and nobody waits for that."""
        tasks = [_Task(3), _Task(7)]
        batch = batch_scheduler.Batch.of(
            tasks, 10, batch_scheduler.CloseReason.FULL
        )
        self.assertTrue(batch.is_closed)
        batch.wait_until_closed()
        self.assertIs(batch.close_reason, batch_scheduler.CloseReason.FULL)
        self.assertIs(batch.tasks, tasks)
        self.assertEqual((batch.num_tasks, batch.size), (2, 10))

    def test_first_reason_counts(self) -> None:
        """A batch is closed once, and nobody need say why."""
        batch = batch_scheduler.Batch[_Task]()
        self.assertIsNone(batch.close_reason)
        batch.close(batch_scheduler.CloseReason.IDLE)
        batch.close(batch_scheduler.CloseReason.DRAIN)
        self.assertIs(batch.close_reason, batch_scheduler.CloseReason.IDLE)
        silent = batch_scheduler.Batch[_Task]()
        silent.close()
        self.assertIsNone(silent.close_reason)

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
