"""Tests for batch_queue."""

import dataclasses

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import batch_queue
from tensorflow_serving.util import errors

_FOREVER = 10**12


@dataclasses.dataclass(frozen=True)
class _Task:
    size: int


def _queue(
    max_batch_size: int = 10,
    batch_timeout_micros: int = _FOREVER,
    max_enqueued_batches: int = 2,
) -> batch_queue.BatchQueue[_Task]:
    return batch_queue.BatchQueue(
        batch_queue.QueueOptions(
            max_batch_size, batch_timeout_micros, max_enqueued_batches
        )
    )


def _take(queue: batch_queue.BatchQueue[_Task], now: float) -> list[int]:
    """Returns the sizes of the tasks of the next batch."""
    batch = queue.take(now)
    return [task.size for task in batch.tasks] if batch else []


class QueueOptionsTest(parameterized.TestCase):
    """Options of one queue."""

    def test_defaults_are_those_of_the_original(self) -> None:
        """32 rows, 1 ms, one waiting batch."""
        self.assertEqual(
            batch_queue.QueueOptions(), batch_queue.QueueOptions(32, 1000, 1)
        )

    @parameterized.named_parameters(
        ("max_batch_size", {"max_batch_size": 0}),
        ("batch_timeout_micros", {"batch_timeout_micros": -1}),
        ("max_enqueued_batches", {"max_enqueued_batches": -1}),
    )
    def test_options_out_of_range_are_refused(
        self, options: dict[str, int]
    ) -> None:
        """The error names the option and its value."""
        ((name, value),) = options.items()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"{name} must be .*; got {value}"
        ):
            batch_queue.QueueOptions(**options)


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
        """What waits is processed without waiting for the timeout."""
        queue = _queue()
        queue.add(_Task(1), now=0)
        self.assertEqual(_take(queue, now=0), [])
        queue.close()
        self.assertEqual(_take(queue, now=0), [1])

    def test_closed_queue_refuses_tasks(self) -> None:
        """A caller must not wait for something that cannot come."""
        queue = _queue()
        queue.close()
        self.assertEqual(queue.capacity, 0)
        with self.assertRaises(errors.FailedPreconditionError):
            queue.add(_Task(1), now=0)

    def test_task_larger_than_a_batch_is_invalid(self) -> None:
        """No amount of waiting would make it fit."""
        queue = _queue()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "at most the maximum batch size 10"
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

    def test_add_says_when_there_is_news_for_a_waiting_thread(self) -> None:
        """The first task and the one that fills the batch are news."""
        queue = _queue()
        self.assertTrue(queue.add(_Task(1), now=0))
        self.assertFalse(queue.add(_Task(1), now=0))
        self.assertTrue(queue.add(_Task(8), now=0))
        self.assertTrue(queue.add(_Task(1), now=0))


if __name__ == "__main__":
    absltest.main()
