"""A batch scheduler that processes tasks when a test says so."""

import collections
import threading

from typing_extensions import override

from tensorflow_serving.batching import batch_scheduler
from tensorflow_serving.util import errors


class PuppetBatchScheduler(
    batch_scheduler.BatchScheduler[batch_scheduler.TaskT]
):
    """Keeps every task until process_tasks(); has room for all.

    Thread-safe.
    """

    def __init__(
        self,
        process_batch: batch_scheduler.ProcessBatch[batch_scheduler.TaskT],
    ) -> None:
        """process_batch is called on the thread that says so."""
        self._process_batch = process_batch
        # A task arrived; wakes wait_for_tasks().
        self._arrived = threading.Condition()
        # Guarded by _arrived.
        self._tasks: collections.deque[batch_scheduler.TaskT] = (
            collections.deque()
        )

    @override
    def schedule(self, task: batch_scheduler.TaskT) -> None:
        """Takes any task."""
        with self._arrived:
            self._tasks.append(task)
            self._arrived.notify_all()

    @override
    def num_enqueued_tasks(self) -> int:
        """Returns how many tasks wait."""
        with self._arrived:
            return len(self._tasks)

    @override
    def scheduling_capacity(self) -> int:
        """Returns a number that no test exceeds."""
        return 2**31

    @override
    def cancel(self, task: batch_scheduler.TaskT) -> None:
        with self._arrived:
            others = [other for other in self._tasks if other is not task]
            if len(others) == len(self._tasks):
                return
            self._tasks = collections.deque(others)
        task.fail(errors.CancelledError("the caller is gone already"))

    @override
    def statistics(self) -> batch_scheduler.Statistics:
        """Returns how many tasks wait."""
        return batch_scheduler.Statistics(
            num_enqueued_tasks=self.num_enqueued_tasks()
        )

    def wait_for_tasks(self, num_tasks: int) -> None:
        """Blocks until at least this many tasks wait."""
        with self._arrived:
            self._arrived.wait_for(lambda: len(self._tasks) >= num_tasks)

    def process_tasks(self, num_tasks: int) -> None:
        """Processes that many tasks, the oldest ones, as one batch."""
        batch = batch_scheduler.Batch[batch_scheduler.TaskT]()
        with self._arrived:
            for _ in range(num_tasks):
                batch.add_task(self._tasks.popleft())
        batch.close()
        self._process_batch(batch)

    @override
    def close(self) -> None:
        """Processes all tasks that wait."""
        if num_tasks := self.num_enqueued_tasks():
            self.process_tasks(num_tasks)
