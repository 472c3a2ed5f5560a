"""Tests for waiting_batch."""

import dataclasses
import math
import weakref

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import batch_scheduler, waiting_batch


@dataclasses.dataclass(eq=False)
class _Task(batch_scheduler.BatchTask):
    size: int = 1
    deadline: float = math.inf


def _batch(*tasks: _Task) -> waiting_batch.WaitingBatch[_Task]:
    """Returns a batch of tasks, one a second from 0 on."""
    batch = waiting_batch.WaitingBatch[_Task]()
    for second, task in enumerate(tasks):
        batch.add(task, float(second))
    return batch


class WaitingBatchTest(parameterized.TestCase):
    """Tasks that wait together."""

    def test_batch_adds_up_its_tasks(self) -> None:
        """Number and size follow the tasks, also those that are removed."""
        tasks = [_Task(3), _Task(7), _Task(1)]
        batch = _batch(*tasks)
        self.assertEqual((batch.num_tasks, batch.size), (3, 11))
        batch.remove(tasks[1])
        self.assertEqual((batch.num_tasks, batch.size), (2, 4))

    def test_task_knows_where_it_waits(self) -> None:
        """It has a place until it is removed."""
        task = _Task()
        batch = _batch(task)
        self.assertIs(task.place, batch)
        batch.remove(task)
        self.assertIsNone(task.place)

    @parameterized.parameters(range(6))
    def test_tasks_are_taken_in_order(self, num_removed: int) -> None:
        """Those that were removed are not among them."""
        tasks = [_Task() for _ in range(6)]
        batch = _batch(*tasks)
        for task in tasks[:num_removed]:
            batch.remove(task)
        self.assertEqual(batch.take(), tasks[num_removed:])

    def test_news_are_the_first_task_and_earlier_deadlines(self) -> None:
        """Somebody may wait for a batch for too long."""
        batch = waiting_batch.WaitingBatch[_Task]()
        self.assertTrue(batch.add(_Task(deadline=5), 0))
        self.assertFalse(batch.add(_Task(deadline=5), 0))
        self.assertFalse(batch.add(_Task(), 0))
        self.assertTrue(batch.add(_Task(deadline=4), 0))

    @parameterized.parameters(
        ((), 0.0), ((0,), 1.0), ((1,), 0.0), ((0, 2, 1), 3.0), ((3, 0), 1.0)
    )
    def test_first_time_is_that_of_the_oldest_task(
        self, removed: tuple[int, ...], time: float
    ) -> None:
        """Tasks that were removed do not count."""
        tasks = [_Task() for _ in range(5)]
        batch = _batch(*tasks)
        for index in removed:
            batch.remove(tasks[index])
        self.assertEqual(batch.first_time, time)

    @parameterized.parameters(
        ((), 2.0),
        ((0,), 2.0),
        ((1,), 3.0),
        ((1, 2), 5.0),
        ((2, 1, 0), math.inf),
    )
    def test_earliest_deadline_is_that_of_a_task_that_waits(
        self, removed: tuple[int, ...], deadline: float
    ) -> None:
        """It is infinite if no task has one."""
        tasks = [_Task(1, deadline) for deadline in (5.0, 2.0, 3.0, math.inf)]
        batch = _batch(*tasks)
        for index in removed:
            batch.remove(tasks[index])
        self.assertEqual(batch.earliest_deadline, deadline)

    def test_task_is_watched_once(self) -> None:
        """A task that waits and has a deadline is watched once."""
        tasks = [_Task(), _Task(1, 1.0), _Task(1, 2.0), _Task(1, 3.0)]
        batch = _batch(*tasks)
        batch.remove(tasks[2])
        self.assertFalse(batch.is_watched)
        self.assertEqual(batch.watch(), [tasks[1], tasks[3]])
        self.assertTrue(batch.is_watched)
        later = _Task(1, 4.0)
        batch.add(later, 4.0)
        self.assertFalse(batch.is_watched)
        self.assertEqual(batch.watch(), [later])
        self.assertEqual(batch.watch(), [])

    def test_removed_tasks_do_not_confuse_what_is_watched(self) -> None:
        """Most of those that were watched are gone when the next one comes."""
        tasks = [_Task(1, float(n)) for n in range(9)]
        batch = _batch(*tasks[:8])
        batch.watch()
        for task in tasks[:6]:
            batch.remove(task)
        batch.add(tasks[8], 8.0)
        self.assertEqual(batch.watch(), [tasks[8]])

    def test_removed_tasks_do_not_pile_up(self) -> None:
        """A batch that never runs holds no more than it must."""
        batch = waiting_batch.WaitingBatch[_Task]()
        alive: weakref.WeakSet[_Task] = weakref.WeakSet()
        for number in range(1_000):
            task = _Task()
            alive.add(task)
            batch.add(task, float(number))
            if number:
                batch.remove(task)
            del task
            self.assertLessEqual(len(alive), 3)
        self.assertEqual(batch.first_time, 0.0)

    def test_first_tasks_can_be_taken_alone(self) -> None:
        """The first tasks are taken in order, and the others stay."""
        tasks = [_Task() for _ in range(9)]
        batch = _batch(*tasks)
        batch.remove(tasks[1])
        self.assertEqual(batch.take_first(2), [tasks[0], tasks[2]])
        batch.remove(tasks[3])
        self.assertEqual((batch.num_tasks, batch.size), (5, 5))
        self.assertEqual(batch.take_first(1), [tasks[4]])
        self.assertEqual(batch.take_first(100), tasks[5:])
        self.assertEqual((batch.num_tasks, batch.size), (0, 0))

    def test_taken_tasks_are_free_with_their_batch(self) -> None:
        """Taken tasks are freed with their batch, without the collector."""
        task = _Task()
        reference = weakref.ref(task)
        batch = _batch(task)
        tasks = batch.take()
        del task, batch
        self.assertIsNotNone(reference())
        del tasks
        self.assertIsNone(reference())


if __name__ == "__main__":
    absltest.main()
