"""Many callers of a StreamingBatchScheduler, real threads, the real clock."""

import dataclasses
import itertools
import random
import threading

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batch_scheduler,
    batch_scheduler_retrier,
    streaming_batch_scheduler,
)
from tensorflow_serving.util import errors

_MAX_BATCH_SIZE = 8
_ENOUGH_BATCHES = 300


@dataclasses.dataclass(frozen=True)
class _Task(batch_scheduler.BatchTask):
    size: int
    # Which caller made it, and a number that the caller uses once.
    caller: int
    number: int


class _Batches:
    """Keeps the batches that were processed."""

    def __init__(self) -> None:
        self.processed: list[batch_scheduler.Batch[_Task]] = []
        self.are_enough = threading.Event()

    def process(self, batch: batch_scheduler.Batch[_Task]) -> None:
        """Keeps a batch."""
        batch.wait_until_closed()
        self.processed.append(batch)
        if len(self.processed) >= _ENOUGH_BATCHES:
            self.are_enough.set()


class _Caller(threading.Thread):
    """Schedules tasks of random sizes until the scheduler is closed."""

    def __init__(
        self, number: int, scheduler: batch_scheduler.BatchScheduler[_Task]
    ) -> None:
        super().__init__()
        self._number = number
        self._scheduler = scheduler
        self.accepted: list[_Task] = []

    def run(self) -> None:
        """Runs on the thread."""
        rng = random.Random(self._number)
        for number in itertools.count():
            task = _Task(rng.randint(1, _MAX_BATCH_SIZE), self._number, number)
            try:
                self._scheduler.schedule(task)
            except errors.UnavailableError:
                continue
            except errors.FailedPreconditionError:
                return
            self.accepted.append(task)


class StreamingBatchSchedulerStressTest(parameterized.TestCase):
    """Whoever schedules, and whenever close() comes."""

    @parameterized.parameters(-1, 0, 50)
    def test_each_accepted_task_is_processed_once(self, timeout: int) -> None:
        """Each accepted task runs once; no batch is empty or too large."""
        batches = _Batches()
        scheduler = streaming_batch_scheduler.create_retrying(
            streaming_batch_scheduler.Options(
                _MAX_BATCH_SIZE, timeout, num_batch_threads=3
            ),
            batch_scheduler_retrier.Options(max_time_micros=1000),
            batches.process,
        )
        callers = [_Caller(number, scheduler) for number in range(4)]
        for caller in callers:
            caller.start()
        were_enough = batches.are_enough.wait(timeout=60)
        scheduler.close()
        for caller in callers:
            caller.join()
        self.assertTrue(were_enough)
        self.assertCountEqual(
            [task for batch in batches.processed for task in batch.tasks],
            [task for caller in callers for task in caller.accepted],
        )
        sizes = {batch.size for batch in batches.processed}
        self.assertLessEqual(sizes, set(range(1, _MAX_BATCH_SIZE + 1)))


if __name__ == "__main__":
    absltest.main()
