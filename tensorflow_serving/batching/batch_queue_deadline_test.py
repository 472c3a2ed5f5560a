"""Tests of batch_queue: tasks that expire or are cancelled while they wait."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import batch_queue, batch_scheduler
from tensorflow_serving.util import errors

_FOREVER = 10**12
_Reason = batch_scheduler.CloseReason


@dataclasses.dataclass(frozen=True)
class _Task(batch_scheduler.BatchTask):
    size: int
    deadline: float = math.inf
    whole: "_Task | None" = None

    def split(self, sizes: Sequence[int]) -> list["_Task"]:
        """Makes parts with the deadline of the whole."""
        assert sum(sizes) == self.size
        assert len(sizes) > 1
        return [_Task(size, self.deadline, self) for size in sizes]

    def is_part_of(self, task: batch_scheduler.BatchTask) -> bool:
        """Knows its whole."""
        return self is task or self.whole is task


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
        """But 1 ms at least; the other tasks go with it."""
        queue = _queue()
        for seconds in runs:
            queue.record_run(seconds)
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

    def test_typical_run_follows_the_last_ones(self) -> None:
        """A fifth of each; it is infinite before the first."""
        queue = _queue()
        self.assertEqual(queue.typical_run_seconds, math.inf)
        queue.record_run(1.0)
        self.assertEqual(queue.typical_run_seconds, 1.0)
        queue.record_run(2.0)
        self.assertAlmostEqual(queue.typical_run_seconds, 1.2)
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
        """And the time since which the others wait is their own."""
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
        """DEADLINE_EXCEEDED at the door, at the very moment, too."""
        queue = _queue()
        with self.assertRaises(errors.DeadlineExceededError):
            queue.add(_Task(1, deadline=5), now=5)
        self.assertTrue(queue.empty)
        statistics = queue.statistics(5)
        self.assertEqual(statistics.num_expired, 0)
        self.assertEqual(statistics.num_refused, 1)


class CancelTest(absltest.TestCase):
    """Tasks whose callers are gone."""

    def test_cancelled_task_is_dropped_alone(self) -> None:
        """Not those that are equal to it; and once only."""
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
        """Those that still wait; the first batch is taken already."""
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


if __name__ == "__main__":
    absltest.main()
