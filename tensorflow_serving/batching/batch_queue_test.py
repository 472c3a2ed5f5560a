"""Tests for batch_queue."""

import dataclasses
import math
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


def _wakeups(queue: batch_queue.BatchQueue[_Task], task: _Task) -> int:
    """Adds a task; returns how many threads must look at the queue."""
    queue.add(task, now=0)
    return queue.pop_wakeups()


class QueueOptionsTest(parameterized.TestCase):
    """Options of one queue."""

    def test_defaults_are_those_of_the_original(self) -> None:
        """The defaults are 32 rows, 1 ms and one waiting batch."""
        self.assertEqual(
            batch_queue.QueueOptions(), batch_queue.QueueOptions(32, 1000, 1)
        )

    @parameterized.named_parameters(
        ("max_batch_size", {"max_batch_size": 0}),
        ("batch_timeout_micros", {"batch_timeout_micros": -1}),
        ("max_enqueued_batches", {"max_enqueued_batches": -1}),
        ("max_execution_batch_size", {"max_execution_batch_size": -1}),
    )
    def test_options_out_of_range_are_refused(
        self, options: dict[str, Any]
    ) -> None:
        """The error names the option and its value."""
        ((name, value),) = options.items()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"{name} must be .*; got {value}"
        ):
            batch_queue.QueueOptions(**options)

    @parameterized.parameters((True, 33), (False, 4))
    def test_smaller_batches_need_splitting(
        self, splitting: bool, size: int
    ) -> None:
        """Batches smaller than tasks are an error unless tasks can be split."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "max_execution_batch_size must be at most max_batch_size 32, and "
            f"needs enable_large_batch_splitting; got {size}",
        ):
            batch_queue.QueueOptions(
                enable_large_batch_splitting=splitting,
                max_execution_batch_size=size,
            )

    def test_batches_are_as_large_as_tasks_unless_told(self) -> None:
        """Smaller ones make sense if tasks can be split."""
        self.assertEqual(batch_queue.QueueOptions(7).batch_size_limit, 7)
        self.assertEqual(
            batch_queue.QueueOptions(
                7, enable_large_batch_splitting=True, max_execution_batch_size=3
            ).batch_size_limit,
            3,
        )


class BatchQueueTest(parameterized.TestCase):
    """How tasks become batches."""

    def test_tasks_are_grouped_up_to_the_maximum_size(self) -> None:
        """A task that does not fit starts the next batch."""
        queue = _queue()
        for size in (3, 5, 3, 1, 6):
            queue.add(_Task(size), now=0)
        self.assertEqual(_take(queue, now=0), [3, 5])
        self.assertEqual(_take(queue, now=0), [3, 1, 6])
        self.assertTrue(queue.empty)

    def test_taken_batches_are_closed(self) -> None:
        """Who processes a batch gets all of it."""
        queue = _queue(batch_timeout_micros=0)
        queue.add(_Task(1), now=0)
        batch = queue.take(now=0)
        assert batch is not None
        self.assertTrue(batch.is_closed)

    def test_open_batch_is_due_when_its_first_task_waited_long_enough(
        self,
    ) -> None:
        """The timeout is exact, and starts with the first task."""
        queue = _queue(batch_timeout_micros=500_000)
        queue.add(_Task(1), now=0.25)
        queue.add(_Task(2), now=0.5)
        self.assertEqual(queue.due_time(), 0.75)
        self.assertEqual(_take(queue, now=0.749999), [])
        self.assertEqual(_take(queue, now=0.75), [1, 2])

    def test_overflow_closes_a_batch_before_its_timeout(self) -> None:
        """The next batch starts a timeout of its own."""
        queue = _queue(batch_timeout_micros=500_000)
        queue.add(_Task(6), now=0)
        queue.add(_Task(7), now=0.25)
        self.assertEqual(_take(queue, now=0.25), [6])
        self.assertEqual(_take(queue, now=0.749999), [])
        self.assertEqual(_take(queue, now=0.75), [7])

    def test_zero_timeout_means_due_at_once(self) -> None:
        """Nothing waits for others."""
        queue = _queue(batch_timeout_micros=0)
        queue.add(_Task(1), now=7.0)
        self.assertEqual(_take(queue, now=7.0), [1])

    def test_empty_queue_is_never_due(self) -> None:
        """There are no empty batches, not even when the queue is closed."""
        queue = _queue(batch_timeout_micros=0)
        self.assertIsNone(queue.due_time())
        queue.close()
        self.assertIsNone(queue.due_time())
        self.assertIsNone(queue.take(now=1e9))

    def test_closed_queue_is_due_at_once(self) -> None:
        """Closing a queue makes its waiting tasks due without the timeout."""
        queue = _queue()
        queue.add(_Task(1), now=0)
        self.assertEqual(_take(queue, now=0), [])
        queue.close()
        self.assertEqual(_take(queue, now=0), [1])

    def test_repr_has_the_state(self) -> None:
        """A debugger shows if a queue is open, and how many tasks wait."""
        queue = _queue()
        queue.add(_Task(1), now=0)
        self.assertEqual(repr(queue), "<BatchQueue open, 1 tasks>")
        queue.close()
        self.assertEqual(repr(queue), "<BatchQueue closed, 1 tasks>")

    def test_closed_queue_refuses_tasks(self) -> None:
        """A caller must not wait for something that cannot come."""
        queue = _queue()
        queue.close()
        self.assertEqual(queue.capacity, 0)
        with self.assertRaises(errors.FailedPreconditionError):
            queue.add(_Task(1), now=0)

    def test_task_larger_than_a_batch_is_invalid(self) -> None:
        """A task that no wait would make fit is an INVALID_ARGUMENT."""
        queue = _queue()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "must be at most 10, the maximum batch size; ",
        ):
            queue.add(_Task(11), now=0)
        self.assertTrue(queue.empty)

    @parameterized.named_parameters(
        ("zero_is_one", 0, 1), ("one", 1, 1), ("two", 2, 2), ("five", 5, 5)
    )
    def test_capacity_counts_the_waiting_batches(
        self, max_enqueued_batches: int, num_batches: int
    ) -> None:
        """As many tasks of size 1 fit as promised, and then not one more."""
        queue = _queue(max_enqueued_batches=max_enqueued_batches)
        for added in range(10 * num_batches):
            self.assertEqual(queue.capacity, 10 * num_batches - added)
            self.assertEqual(queue.num_tasks, added)
            queue.add(_Task(1), now=0)
        self.assertEqual(queue.capacity, 0)
        with self.assertRaises(errors.UnavailableError):
            queue.add(_Task(1), now=0)
        self.assertEqual(queue.num_tasks, 10 * num_batches)

    def test_task_that_fits_in_the_open_batch_is_accepted_when_full(
        self,
    ) -> None:
        """A refused task leaves room for a smaller one."""
        queue = _queue(max_enqueued_batches=1)
        queue.add(_Task(8), now=0)
        with self.assertRaises(errors.UnavailableError):
            queue.add(_Task(3), now=0)
        queue.add(_Task(2), now=0)
        self.assertEqual(_take(queue, now=0), [8, 2])

    def test_queue_says_how_many_threads_must_look(self) -> None:
        """The first task of a batch, the most urgent and the last are news."""
        queue = _queue(max_enqueued_batches=9)
        self.assertEqual(_wakeups(queue, _Task(1)), 1)
        self.assertEqual(_wakeups(queue, _Task(1)), 0)
        self.assertEqual(_wakeups(queue, _Task(1, deadline=7)), 1)
        self.assertEqual(_wakeups(queue, _Task(1, deadline=8)), 0)
        self.assertEqual(_wakeups(queue, _Task(6, deadline=6)), 1)
        self.assertEqual(_wakeups(queue, _Task(3)), 1)

    def test_overflow_is_news_for_two_threads(self) -> None:
        """One takes the batch that was closed; one sees to the next."""
        queue = _queue()
        _wakeups(queue, _Task(3))
        self.assertEqual(_wakeups(queue, _Task(8)), 2)

    def test_each_batch_of_a_split_task_is_news(self) -> None:
        """Each batch of a split task wakes a thread; they run in parallel."""
        queue = _queue(
            max_batch_size=4,
            max_enqueued_batches=9,
            enable_large_batch_splitting=True,
        )
        _wakeups(queue, _Task(3))
        self.assertEqual(_wakeups(queue, _Task(4)), 2)
        self.assertEqual(queue.num_batches, 2)

    def test_batch_that_is_taken_is_no_news(self) -> None:
        """No thread need look for what is gone."""
        queue = _queue()
        queue.add(_Task(10), now=0)
        queue.add(_Task(1), now=0)
        _take(queue, now=0)
        self.assertEqual(queue.pop_wakeups(), 1)
        self.assertEqual(queue.pop_wakeups(), 0)

    def test_tasks_are_added_or_refused_each_for_itself(self) -> None:
        """A refused task stops none of those that come with it."""
        queue = _queue(max_enqueued_batches=1)
        tasks = [
            _Task(6),
            _Task(11),
            _Task(5),
            _Task(1, deadline=3),
            _Task(4),
        ]
        refusals = queue.add_all(iter(tasks), now=3)
        self.assertEqual(
            [(refusal.task.size, type(refusal.error)) for refusal in refusals],
            [
                (11, errors.InvalidArgumentError),
                (5, errors.UnavailableError),
                (1, errors.DeadlineExceededError),
            ],
        )
        self.assertEqual(_take(queue, now=3), [6, 4])


class IdleTest(absltest.TestCase):
    """A thread with nothing else to do."""

    def test_idle_thread_takes_what_there_is(self) -> None:
        """An idle thread takes a batch before its timeout; others do not."""
        queue = _queue(idle_means_go=True)
        queue.add(_Task(1), now=0)
        self.assertIsNone(queue.take(now=0))
        batch = queue.take(now=0, idle=True)
        assert batch is not None
        self.assertIs(batch.close_reason, _Reason.IDLE)
        self.assertIsNone(queue.take(now=0, idle=True))

    def test_idle_thread_waits_unless_told(self) -> None:
        """The option is off by default."""
        queue = _queue()
        queue.add(_Task(1), now=0)
        self.assertIsNone(queue.take(now=0, idle=True))


class HereTest(parameterized.TestCase):
    """A caller that runs quick batches itself."""

    def test_batch_of_unknown_length_is_not_for_the_caller(self) -> None:
        """It stays in the queue, for the threads."""
        queue = _queue()
        queue.add(_Task(10), now=0)
        self.assertIsNone(queue.take(now=0, here=True))
        self.assertEqual(_take(queue, now=0), [10])

    @parameterized.parameters((0.003, True), (0.0031, False))
    def test_quick_batch_is_for_the_caller(
        self, seconds: float, is_quick: bool
    ) -> None:
        """Its size decides, and how long the last ones of that size took."""
        queue = _queue()
        queue.record_run(9, seconds, now=0)
        queue.add(_Task(10), now=0)
        self.assertEqual(queue.take(now=0, here=True) is not None, is_quick)

    def test_quick_batch_waits_until_it_is_due(self) -> None:
        """Others may come, with which it is run."""
        queue = _queue()
        queue.record_run(1, 0.0, now=0)
        queue.add(_Task(1), now=0)
        self.assertIsNone(queue.take(now=0, here=True))

    def test_trial_is_not_wasted_on_a_batch_that_is_not_due(self) -> None:
        """A caller that gets nothing has not tried."""
        queue = _queue(idle_means_go=True)
        queue.record_run(1, 0.01, now=0)
        queue.add(_Task(1), now=0)
        self.assertIsNone(queue.take(now=1, here=True))
        self.assertIsNotNone(queue.take(now=1, here=True, idle=True))


class SplittingTest(parameterized.TestCase):
    """Tasks that do not fit in the batch that is being filled."""

    @parameterized.named_parameters(
        ("fits", 0, 4, [[4]]),
        ("fits_in_the_room", 3, 1, [[3, 1]]),
        ("fills_the_room", 3, 2, [[3, 1], [1]]),
        ("no_room", 4, 3, [[4], [3]]),
        ("no_room_and_whole_batches", 4, 8, [[4], [4], [4]]),
        ("whole_batches", 0, 12, [[4], [4], [4]]),
        ("room_and_whole_batches", 1, 11, [[1, 3], [4], [4]]),
        ("room_and_a_rest", 1, 9, [[1, 3], [4], [2]]),
        ("one_more_than_a_batch", 0, 5, [[4], [1]]),
        ("one_less_than_two", 0, 7, [[4], [3]]),
    )
    def test_parts_fill_batches(
        self, waiting: int, size: int, batches: list[list[int]]
    ) -> None:
        """Parts take the room that is left, then whole batches."""
        queue = _queue(
            max_batch_size=12,
            max_enqueued_batches=9,
            enable_large_batch_splitting=True,
            max_execution_batch_size=4,
        )
        if waiting:
            queue.add(_Task(waiting), now=0)
        queue.add(_Task(size), now=0)
        queue.close()
        taken = []
        while sizes := _take(queue, now=0):
            taken.append(sizes)
        self.assertEqual(taken, batches)

    def test_parts_are_accepted_all_or_none(self) -> None:
        """A split task is UNAVAILABLE if there is room for some parts only."""
        queue = _queue(
            max_batch_size=12,
            max_enqueued_batches=3,
            enable_large_batch_splitting=True,
            max_execution_batch_size=4,
        )
        queue.add(_Task(1), now=0)
        with self.assertRaises(errors.UnavailableError):
            queue.add(_Task(12), now=0)
        self.assertEqual(queue.num_tasks, 1)
        self.assertEqual(queue.capacity, 11)
        queue.add(_Task(11), now=0)
        self.assertEqual(queue.num_tasks, 4)
        self.assertEqual(queue.capacity, 0)
        self.assertEqual(queue.statistics(0).num_refused, 1)

    @parameterized.parameters((2, 13, 8), (9, 13, 12))
    def test_task_that_can_never_fit_is_invalid(
        self, max_enqueued_batches: int, size: int, most: int
    ) -> None:
        """A task beyond the limit, or all batches that may wait, is invalid."""
        queue = _queue(
            max_batch_size=12,
            max_enqueued_batches=max_enqueued_batches,
            enable_large_batch_splitting=True,
            max_execution_batch_size=4,
        )
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"at most {most}, .*; got {size}"
        ):
            queue.add(_Task(size), now=0)

    def test_parts_expire_together(self) -> None:
        """The parts of a task have one deadline."""
        queue = _queue(max_batch_size=4, enable_large_batch_splitting=True)
        queue.add(_Task(1), now=0)
        queue.add(_Task(4, deadline=1), now=0)
        expired = queue.expire(now=1)
        self.assertEqual([task.size for task in expired], [3, 1])
        self.assertEqual(queue.statistics(1).num_expired, 2)
        self.assertEqual(queue.num_tasks, 1)


class StatisticsTest(absltest.TestCase):
    """Tests of the counts that a queue keeps."""

    def test_batches_are_counted_by_size_and_by_reason(self) -> None:
        """Each reason counts once, and here a full batch counts twice."""
        queue = _queue(batch_timeout_micros=1_000_000, idle_means_go=True)
        queue.add(_Task(10), now=0)
        _take(queue, now=0)
        queue.add(_Task(5), now=0)
        queue.add(_Task(6), now=0)
        _take(queue, now=0)
        _take(queue, now=1)
        queue.add(_Task(5), now=1)
        queue.take(now=1, idle=True)
        queue.add(_Task(1, deadline=1.5), now=1)
        _take(queue, now=1.499)
        queue.add(_Task(2), now=2)
        queue.close()
        before = queue.statistics(2)
        _take(queue, now=2)
        statistics = queue.statistics(2)
        self.assertEqual(
            statistics.num_batches_by_size, {10: 1, 5: 2, 6: 1, 1: 1, 2: 1}
        )
        self.assertEqual(
            statistics.num_batches_by_reason,
            {
                _Reason.FULL: 2,
                _Reason.TIMEOUT: 1,
                _Reason.IDLE: 1,
                _Reason.DEADLINE: 1,
                _Reason.DRAIN: 1,
            },
        )
        self.assertNotIn(_Reason.DRAIN, before.num_batches_by_reason)
        self.assertEqual(before.num_enqueued_tasks, 1)

    def test_oldest_wait_is_that_of_the_first_task(self) -> None:
        """The oldest wait is 0 if no task waits."""
        queue = _queue()
        self.assertEqual(queue.statistics(9).oldest_wait_seconds, 0)
        for now in (1, 2):
            queue.add(_Task(9), now=now)
        self.assertEqual(queue.statistics(9).oldest_wait_seconds, 8)
        self.assertEqual(queue.statistics(9).num_enqueued_tasks, 2)
        _take(queue, now=9)
        self.assertEqual(queue.statistics(9).oldest_wait_seconds, 7)

    def test_drops_are_counted(self) -> None:
        """Refused, expired and cancelled tasks each have a count."""
        queue = _queue(max_enqueued_batches=1)
        queue.add(_Task(1, deadline=1), now=0)
        cancelled = _Task(9)
        queue.add(cancelled, now=0)
        for _ in range(3):
            with self.assertRaises(errors.UnavailableError):
                queue.add(_Task(1), now=0)
        queue.cancel(cancelled)
        queue.expire(now=1)
        statistics = queue.statistics(1)
        self.assertEqual(statistics.num_refused, 3)
        self.assertEqual(statistics.num_expired, 1)
        self.assertEqual(statistics.num_cancelled, 1)
        self.assertEqual(statistics.num_enqueued_tasks, 0)


if __name__ == "__main__":
    absltest.main()
