"""A batch scheduler with one queue and threads of its own."""

import dataclasses
from collections.abc import Iterable

from typing_extensions import override

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    shared_batch_scheduler,
)
from tensorflow_serving.util import clock as clock_lib


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of the queue and of the threads.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    queue: batch_queue.QueueOptions = batch_queue.QueueOptions()
    threads: shared_batch_scheduler.Options = shared_batch_scheduler.Options()


class BasicBatchScheduler(
    batch_scheduler.BatchScheduler[batch_scheduler.TaskT]
):
    """A SharedBatchScheduler of which nobody else has a queue.

        with BasicBatchScheduler(Options(), process_batch) as scheduler:
            scheduler.schedule(task)

    Thread-safe.
    """

    def __init__(
        self,
        options: Options,
        process_batch: batch_scheduler.ProcessBatch[batch_scheduler.TaskT],
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Starts the threads; process_batch is called on them."""
        with shared_batch_scheduler.SharedBatchScheduler(
            options.threads, clock
        ) as shared:
            # The queue keeps the threads when this block closes the scheduler.
            self._queue = shared.add_queue(options.queue, process_batch)

    @override
    def schedule(self, task: batch_scheduler.TaskT) -> None:
        self._queue.schedule(task)

    @override
    def schedule_all(self, tasks: Iterable[batch_scheduler.TaskT]) -> bool:
        return self._queue.schedule_all(tasks)

    @override
    def cancel(self, task: batch_scheduler.TaskT) -> None:
        self._queue.cancel(task)

    @override
    def num_enqueued_tasks(self) -> int:
        return self._queue.num_enqueued_tasks()

    @override
    def scheduling_capacity(self) -> int:
        return self._queue.scheduling_capacity()

    @override
    def statistics(self) -> batch_scheduler.Statistics:
        return self._queue.statistics()

    @override
    def close(self) -> None:
        self._queue.close()
