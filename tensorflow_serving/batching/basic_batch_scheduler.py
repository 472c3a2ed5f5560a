"""A batch scheduler with one queue and threads of its own."""

import dataclasses

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


class BasicBatchScheduler(shared_batch_scheduler.Queue[batch_scheduler.TaskT]):
    """The only queue of a SharedBatchScheduler.

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
            super().__init__(shared, options.queue, process_batch)
