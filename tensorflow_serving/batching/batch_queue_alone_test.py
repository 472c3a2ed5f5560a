"""Tests of queues whose tasks run one by one."""

import dataclasses
import threading
from typing import Any

from absl.testing import absltest

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    shared_batch_scheduler,
)

_NUM_TASKS = 8
_TIMEOUT_SECONDS = 60
_OPTIONS = batch_queue.QueueOptions(
    max_batch_size=5,
    batch_timeout_micros=0,
    max_enqueued_batches=100,
    runs_tasks_alone=True,
)


@dataclasses.dataclass(eq=False)
class _Task(batch_scheduler.BatchTask):
    size: int = 1


def _queue(*tasks: _Task) -> batch_queue.BatchQueue[_Task]:
    queue = batch_queue.BatchQueue[_Task](_OPTIONS)
    queue.add_all(tasks, now=0)
    return queue


def _take(
    queue: batch_queue.BatchQueue[_Task], **options: Any
) -> list[batch_scheduler.BatchTask]:
    batch = queue.take(0, **options)
    return [*batch.tasks] if batch else []


class BatchQueueAloneTest(absltest.TestCase):
    """Tests of the queue and of its threads."""

    def test_thread_takes_one_task_at_a_time(self) -> None:
        """A thread leaves the other tasks to other threads, in their order."""
        tasks = [_Task() for _ in range(_NUM_TASKS)]
        queue = _queue(*tasks)
        for task in tasks:
            self.assertEqual(_take(queue), [task])
        self.assertEqual(_take(queue), [])
        self.assertTrue(queue.empty)
        self.assertIsNone(queue.due_time())

    def test_caller_takes_as_many_tasks_as_are_quick(self) -> None:
        """A caller that helps spends about 1 ms on tasks before it returns."""
        tasks = [_Task() for _ in range(_NUM_TASKS)]
        queue = _queue(*tasks)
        self.assertEqual(_take(queue, here=True), [])  # of unknown length
        self.assertEqual(_take(queue), tasks[:1])
        queue.record_run(1, 0.0003, now=0)
        self.assertEqual(_take(queue, here=True), tasks[1:4])
        # The last one of its batch.
        self.assertEqual(_take(queue, here=True), tasks[4:5])
        self.assertEqual(_take(queue, here=True), tasks[5:])

    def test_time_of_a_batch_is_shared_by_its_tasks(self) -> None:
        """Eight tasks in 4 ms are quick, as each of them took 0.5 ms."""
        queue = _queue(*(_Task() for _ in range(_NUM_TASKS)))
        queue.record_run(8, 0.004, now=0)
        self.assertEqual(len(_take(queue, here=True)), 2)

    def test_slow_task_is_not_for_the_caller(self) -> None:
        """A task that takes 5 ms would hold the caller for too long."""
        queue = _queue(_Task())
        queue.record_run(1, 0.005, now=0)
        self.assertEqual(_take(queue, here=True), [])

    def test_task_may_leave_before_it_is_taken(self) -> None:
        """A task that was cancelled is not taken, and one taken cannot be."""
        tasks = [_Task() for _ in range(3)]
        queue = _queue(*tasks)
        self.assertTrue(queue.cancel(tasks[1]))
        self.assertEqual(_take(queue), tasks[:1])
        self.assertFalse(queue.cancel(tasks[0]))
        self.assertEqual(_take(queue), tasks[2:])

    def test_tasks_run_at_the_same_time(self) -> None:
        """No task waits for another one while a thread is free."""
        barrier = threading.Barrier(_NUM_TASKS)

        def process(batch: batch_scheduler.Batch[_Task]) -> None:
            self.assertEqual(batch.num_tasks, 1)
            barrier.wait(_TIMEOUT_SECONDS)

        options = shared_batch_scheduler.Options(num_batch_threads=_NUM_TASKS)
        with (
            shared_batch_scheduler.SharedBatchScheduler(options) as scheduler,
            scheduler.add_queue(_OPTIONS, process) as queue,
        ):
            queue.schedule_all([_Task() for _ in range(_NUM_TASKS)])
        self.assertFalse(barrier.broken)


if __name__ == "__main__":
    absltest.main()
