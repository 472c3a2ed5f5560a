"""Tests of batch_queue: tasks that expire or are cancelled while they wait."""

import dataclasses
import math
import random
from collections.abc import Sequence
from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import batch_queue, batch_scheduler
from tensorflow_serving.util import errors

_FOREVER = 10**12
_Reason = batch_scheduler.CloseReason


@dataclasses.dataclass
class _Task(batch_scheduler.BatchTask):
    size: int
    deadline: float = math.inf

    def split(self, sizes: Sequence[int]) -> list["_Task"]:
        """Makes parts with the deadline of the whole."""
        assert sum(sizes) == self.size
        assert len(sizes) > 1
        return [_Task(size, self.deadline) for size in sizes]


def _queue(
    max_batch_size: int = 10,
    batch_timeout_micros: int = _FOREVER,
    max_enqueued_batches: int = 2,
    **options: Any,
) -> batch_queue.BatchQueue[_Task]:
    return batch_queue.BatchQueue(
        batch_queue.QueueOptions(
            max_batch_size,
            batch_timeout_micros,
            max_enqueued_batches,
            **options,
        )
    )


def _take(queue: batch_queue.BatchQueue[_Task], now: float) -> list[int]:
    """Returns the sizes of the tasks of the next batch."""
    batch = queue.take(now)
    return [task.size for task in batch.tasks] if batch else []


class DeadlineTest(parameterized.TestCase):
    """Tasks that are of use for a while."""

    @parameterized.named_parameters(
        ("first_run", [], 0.999),
        ("quick_runs", [0.0001], 0.999),
        ("slow_runs", [0.25], 0.75),
        ("mixed_runs", [0.5, 0.25], 1 - 0.45),
    )
    def test_batch_starts_a_typical_run_before_its_first_deadline(
        self, runs: list[float], due_time: float
    ) -> None:
        """A batch starts a run (at least 1 ms) before its first deadline."""
        queue = _queue()
        for seconds in runs:
            queue.record_run(6, seconds, now=0)
        queue.add(_Task(1), now=0)
        queue.add(_Task(2, deadline=1), now=0)
        queue.add(_Task(3, deadline=2), now=0)
        time = queue.due_time()
        assert time is not None
        self.assertAlmostEqual(time, due_time)
        self.assertEqual(_take(queue, now=time - 1e-6), [])
        batch = queue.take(now=time)
        assert batch is not None
        self.assertEqual([task.size for task in batch.tasks], [1, 2, 3])
        self.assertIs(batch.close_reason, _Reason.DEADLINE)

    def test_typical_run_is_in_the_statistics(self) -> None:
        """A fifth of each run counts; the typical run is 0 before the first."""
        queue = _queue()
        self.assertEqual(queue.statistics(0).typical_run_seconds, 0)
        for seconds in (1.0, 2.0):
            queue.record_run(1, seconds, now=0)
        self.assertAlmostEqual(queue.statistics(0).typical_run_seconds, 1.2)

    def test_expired_task_is_dropped_alone(self) -> None:
        """Its batch mates stay, in their batches, closed or not."""
        queue = _queue()
        for size, deadline in ((4, 9.0), (3, 2.0), (5, 2.0), (2, math.inf)):
            queue.add(_Task(size, deadline), now=1)
        self.assertEqual(queue.earliest_deadline, 2)
        self.assertEqual(queue.expire(now=1.999999), [])
        expired = queue.expire(now=2)
        self.assertEqual([task.size for task in expired], [3, 5])
        self.assertEqual(queue.earliest_deadline, 9)
        self.assertEqual(queue.expire(now=2), [])
        self.assertEqual(_take(queue, now=2), [4])
        queue.close()
        self.assertEqual(_take(queue, now=2), [2])

    def test_expired_task_leaves_its_room(self) -> None:
        """An expired task leaves its room; others keep their arrival time."""
        queue = _queue(batch_timeout_micros=5_000_000, max_enqueued_batches=1)
        queue.add(_Task(8, deadline=3), now=0)
        queue.add(_Task(1), now=1)
        self.assertEqual(queue.expire(now=3), [_Task(8, deadline=3)])
        self.assertEqual(queue.capacity, 9)
        self.assertEqual(queue.due_time(), 6)
        self.assertEqual(queue.statistics(4).oldest_wait_seconds, 3)

    def test_batches_that_lost_all_tasks_are_gone(self) -> None:
        """An empty batch takes neither room nor a thread."""
        queue = _queue(max_enqueued_batches=3)
        for _ in range(3):
            queue.add(_Task(10, deadline=1), now=0)
        queue.expire(now=1)
        self.assertTrue(queue.empty)
        self.assertIsNone(queue.due_time())
        self.assertEqual(queue.capacity, 30)
        self.assertEqual(queue.earliest_deadline, math.inf)
        self.assertEqual(_take(queue, now=1), [])

    def test_task_that_comes_too_late_is_refused(self) -> None:
        """A task whose deadline is this moment gets DEADLINE_EXCEEDED."""
        queue = _queue()
        with self.assertRaises(errors.DeadlineExceededError):
            queue.add(_Task(1, deadline=5), now=5)
        self.assertTrue(queue.empty)
        statistics = queue.statistics(5)
        self.assertEqual(statistics.num_expired, 0)
        self.assertEqual(statistics.num_refused, 1)

    def test_tasks_expire_in_the_order_of_their_deadlines(self) -> None:
        """Tasks that come after an expired one expire in order as well."""
        queue = _queue(max_enqueued_batches=9)
        for size, deadline in ((4, 3.0), (5, 1.0), (6, 2.0)):
            queue.add(_Task(size, deadline), now=0)
        self.assertEqual([task.size for task in queue.expire(now=1)], [5])
        for size, deadline in ((7, 2.5), (8, 1.5), (3, math.inf)):
            queue.add(_Task(size, deadline), now=1)
        self.assertEqual(queue.earliest_deadline, 1.5)
        self.assertEqual(
            [task.size for task in queue.expire(now=4)], [8, 6, 7, 4]
        )
        self.assertEqual(queue.num_tasks, 1)

    def test_deadline_of_a_cancelled_task_hides_no_later_one(self) -> None:
        """The queue knows the next deadline, whatever has gone before."""
        queue = _queue()
        cancelled = _Task(1, deadline=5)
        queue.add(cancelled, now=0)
        queue.add(_Task(2, deadline=9), now=0)
        queue.cancel(cancelled)
        self.assertEqual(queue.expire(now=5), [])
        queue.add(_Task(3, deadline=7), now=5)
        self.assertEqual(queue.earliest_deadline, 7)
        self.assertEqual([task.size for task in queue.expire(now=8)], [3])

    def test_cancelled_task_starts_no_batch(self) -> None:
        """The batch is due in time for the tasks that still wait."""
        queue = _queue()
        cancelled = _Task(1, deadline=5)
        queue.add(cancelled, now=0)
        queue.add(_Task(2, deadline=9), now=0)
        self.assertEqual(queue.due_time(), 4.999)
        queue.cancel(cancelled)
        self.assertEqual(queue.due_time(), 8.999)
        self.assertEqual(_take(queue, now=8), [])

    def test_taken_tasks_do_not_expire(self) -> None:
        """Taken tasks stay, whether or not their deadlines were in order."""
        queue = _queue()
        queue.add(_Task(1, deadline=1), now=0)
        queue.add(_Task(9, deadline=2), now=0)
        queue.add(_Task(4, deadline=3), now=0)
        queue.expire(now=1)
        self.assertEqual(_take(queue, now=1), [9])
        self.assertEqual(queue.expire(now=2), [])
        queue.close()
        self.assertEqual(_take(queue, now=2), [4])
        self.assertEqual(queue.earliest_deadline, math.inf)
        self.assertEqual(queue.expire(now=9), [])


class CancelTest(absltest.TestCase):
    """Tasks whose callers are gone."""

    def test_cancelled_task_is_dropped_alone(self) -> None:
        """A cancelled task is dropped once, and no task that is equal to it."""
        queue = _queue()
        first, second = _Task(1), _Task(1)
        queue.add(first, now=0)
        queue.add(second, now=0)
        self.assertTrue(queue.cancel(second))
        self.assertFalse(queue.cancel(second))
        queue.close()
        batch = queue.take(now=0)
        assert batch is not None
        self.assertIs(batch.tasks[0], first)
        self.assertEqual(batch.num_tasks, 1)
        self.assertFalse(queue.cancel(first))

    def test_parts_go_with_their_whole(self) -> None:
        """Parts that still wait are removed; the first batch is taken."""
        queue = _queue(
            max_batch_size=6,
            max_enqueued_batches=9,
            enable_large_batch_splitting=True,
            max_execution_batch_size=2,
        )
        whole = _Task(6)
        queue.add(whole, now=0)
        queue.add(_Task(1), now=0)
        self.assertEqual(_take(queue, now=0), [2])
        self.assertTrue(queue.cancel(whole))
        self.assertEqual(queue.statistics(0).num_cancelled, 2)
        queue.close()
        self.assertEqual(_take(queue, now=0), [1])

    def test_cancelled_tasks_leave_their_room(self) -> None:
        """Room is free in batches that are closed and in the open one."""
        queue = _queue(max_enqueued_batches=3)
        tasks = [_Task(10), _Task(10), _Task(6)]
        queue.add_all(tasks, now=0)
        self.assertEqual(queue.capacity, 4)
        for task, capacity in zip(tasks, (14, 24, 30), strict=True):
            queue.cancel(task)
            self.assertEqual(queue.capacity, capacity)
        self.assertTrue(queue.empty)
        self.assertIsNone(queue.due_time())
        self.assertEqual(queue.num_batches, 0)

    def test_task_of_another_queue_is_not_cancelled(self) -> None:
        """Each queue has tasks of its own."""
        queue, other = _queue(), _queue()
        task = _Task(1)
        queue.add(task, now=0)
        self.assertFalse(other.cancel(task))
        self.assertEqual(queue.num_tasks, 1)

    def test_expired_task_is_not_cancelled(self) -> None:
        """A task that has expired has its answer already."""
        queue = _queue()
        task = _Task(1, deadline=1)
        queue.add(task, now=0)
        queue.expire(now=1)
        self.assertFalse(queue.cancel(task))
        self.assertEqual(queue.statistics(1).num_cancelled, 0)


class _CountedTask(batch_scheduler.BatchTask):
    """Counts how often its deadline is read."""

    size = 1
    num_looks = 0

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    @property
    def deadline(self) -> float:  # type: ignore[override]
        """When the result is no longer useful."""
        self.num_looks += 1
        return self._deadline


class ManyTasksTest(parameterized.TestCase):
    """Queues in which very many tasks wait."""

    @parameterized.named_parameters(
        ("cancelled_from_the_first", "cancel", 1),
        ("cancelled_from_the_last", "cancel", -1),
        ("expired_from_the_first", "expire", 1),
        ("expired_from_the_last", "expire", -1),
    )
    def test_work_for_a_task_does_not_grow_with_the_queue(
        self, how: str, step: int
    ) -> None:
        """10,000 tasks leave one by one, each looked at a few times."""
        queue = batch_queue.BatchQueue[_CountedTask](
            batch_queue.QueueOptions(4096, _FOREVER, 64)
        )
        tasks = [_CountedTask(float(n)) for n in range(1, 10_001)][::step]
        self.assertEqual(queue.add_all(tasks, now=0), [])
        for number, task in enumerate(tasks, 1):
            if how == "cancel":
                self.assertTrue(queue.cancel(task))
            else:
                self.assertEqual(len(queue.expire(now=number)), 1)
        self.assertTrue(queue.empty)
        self.assertLess(sum(task.num_looks for task in tasks), 20 * len(tasks))

    @parameterized.parameters(range(10))
    def test_each_task_leaves_once(self, seed: int) -> None:
        """A task is taken, expired or cancelled once, and at the right time."""
        rng = random.Random(seed)
        queue = _queue(max_enqueued_batches=50, batch_timeout_micros=3_000_000)
        waiting: list[_Task] = []

        def leave(tasks: Sequence[_Task]) -> None:
            for task in tasks:
                (index,) = (i for i, t in enumerate(waiting) if t is task)
                del waiting[index]

        for step in range(3_000):
            now = step / 4
            for task in queue.expire(now):
                self.assertLessEqual(task.deadline, now)
                leave([task])
            self.assertTrue(all(task.deadline > now for task in waiting))
            tasks = [
                _Task(rng.randint(1, 10), now + rng.choice([0.5, 3, math.inf]))
                for _ in range(rng.randrange(3))
            ]
            refused = [refusal.task for refusal in queue.add_all(tasks, now)]
            waiting += [t for t in tasks if all(t is not r for r in refused)]
            if waiting and rng.random() < 0.3:
                task = rng.choice(waiting)
                self.assertTrue(queue.cancel(task))
                leave([task])
            if rng.random() < 0.3:
                batch = queue.take(now)
                leave(batch.tasks if batch else [])
                self.assertLessEqual(batch.size if batch else 0, 10)
            self.assertEqual(queue.num_tasks, len(waiting))


if __name__ == "__main__":
    absltest.main()
