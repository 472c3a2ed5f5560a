"""Tests of streaming_batch_scheduler: what it says of itself."""

import dataclasses
import math
import queue as queue_lib
import threading

from absl.testing import absltest

from tensorflow_serving.batching import (
    batch_scheduler,
    streaming_batch_scheduler,
)
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors

_NEVER = -1
_Reason = batch_scheduler.CloseReason
_Scheduler = streaming_batch_scheduler.StreamingBatchScheduler["_Task"]


@dataclasses.dataclass(frozen=True)
class _Task(batch_scheduler.BatchTask):
    size: int
    deadline: float = math.inf


class StatisticsTest(absltest.TestCase):
    """Batches by size and by reason, and refused tasks."""

    def setUp(self) -> None:
        """Makes a callback that can be held, and records why batches ended."""
        super().setUp()
        self.reasons: queue_lib.Queue[batch_scheduler.CloseReason | None] = (
            queue_lib.Queue()
        )
        self.go_on = threading.Event()
        self.clock = fake_clock.FakeClock()

    def start(self, batch_timeout_micros: int = _NEVER) -> _Scheduler:
        """Starts a scheduler whose thread is held until go_on is set."""

        def process(batch: batch_scheduler.Batch[_Task]) -> None:
            batch.wait_until_closed()
            self.reasons.put(batch.close_reason)
            self.go_on.wait()

        scheduler = streaming_batch_scheduler.StreamingBatchScheduler(
            streaming_batch_scheduler.Options(10, batch_timeout_micros),
            process,
            self.clock,
        )
        self.addCleanup(scheduler.close)
        self.addCleanup(self.go_on.set)
        return scheduler

    def check(
        self, scheduler: _Scheduler, reason: batch_scheduler.CloseReason
    ) -> None:
        """Checks that one batch ended, for that reason, and closes."""
        self.assertIs(self.reasons.get(timeout=60), reason)
        self.assertEqual(
            scheduler.statistics().num_batches_by_reason, {reason: 1}
        )
        self.go_on.set()
        scheduler.close()

    def test_new_scheduler_has_done_nothing(self) -> None:
        """A new scheduler has counted nothing, and no task waits."""
        with self.start() as scheduler:
            self.assertEqual(
                scheduler.statistics(), batch_scheduler.Statistics()
            )

    def test_full_batch(self) -> None:
        """It counts as soon as it takes no more tasks."""
        scheduler = self.start()
        scheduler.schedule(_Task(4))
        self.assertEqual(scheduler.statistics().num_batches_by_size, {})
        scheduler.schedule(_Task(6))
        self.assertEqual(scheduler.statistics().num_batches_by_size, {10: 1})
        self.check(scheduler, _Reason.FULL)

    def test_batch_without_room_for_the_next_task(self) -> None:
        """It is full, in a way; the refused task is counted."""
        scheduler = self.start()
        scheduler.schedule(_Task(4))
        with self.assertRaises(errors.UnavailableError):
            scheduler.schedule(_Task(7))
        self.assertEqual(scheduler.statistics().num_refused, 1)
        self.check(scheduler, _Reason.FULL)

    def test_batch_that_waited_long_enough(self) -> None:
        """A batch that waited long enough runs with room that is left."""
        scheduler = self.start(batch_timeout_micros=10)
        scheduler.schedule(_Task(4))
        self.clock.advance_micros(10)
        self.check(scheduler, _Reason.TIMEOUT)

    def test_batch_that_may_not_wait(self) -> None:
        """A timeout of 0 is over at once."""
        scheduler = self.start(batch_timeout_micros=0)
        scheduler.schedule(_Task(4))
        self.check(scheduler, _Reason.TIMEOUT)

    def test_batch_that_close_ended(self) -> None:
        """It takes no more tasks, like its scheduler."""
        scheduler = self.start()
        scheduler.schedule(_Task(4))
        self.go_on.set()
        scheduler.close()
        self.check(scheduler, _Reason.DRAIN)

    def test_task_that_comes_too_late_is_refused(self) -> None:
        """DEADLINE_EXCEEDED, without effect on the open batch."""
        scheduler = self.start()
        scheduler.schedule(_Task(4, deadline=1.0))
        self.clock.advance_micros(1_000_000)
        with self.assertRaises(errors.DeadlineExceededError):
            scheduler.schedule(_Task(4, deadline=1.0))
        statistics = scheduler.statistics()
        self.assertEqual(statistics.num_refused, 1)
        self.assertEqual(statistics.num_batches_by_size, {})
        self.go_on.set()
        scheduler.close()


if __name__ == "__main__":
    absltest.main()
