"""Many callers of many queues, real threads, the real clock."""

import collections
import concurrent.futures
import logging
import math
import random

from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    shared_batch_scheduler,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_CLOCK = clock_lib.MONOTONIC
_NUM_CALLERS = 4
_TASKS_PER_CALLER = 250
_MAX_DEADLINE_SECONDS = 0.002
_QUEUES = (
    batch_queue.QueueOptions(8, 100, 4),
    batch_queue.QueueOptions(5, 0, 2),
    batch_queue.QueueOptions(8, 10**12, 3, idle_means_go=True),
    # Its tasks wait until it is full, closed, or urgent.
    batch_queue.QueueOptions(16, 10**12, 9),
)


class _Task(batch_scheduler.BatchTask):
    """Keeps all answers that it gets."""

    def __init__(self, size: int, deadline: float) -> None:
        self.size = size
        self.deadline = deadline
        # The class of an error, or None for a run; list.append is one step.
        self.answers: list[type[errors.ServingError] | None] = []

    def fail(self, error: errors.ServingError) -> None:
        """Records the error; some raise."""
        self.answers.append(type(error))
        if self.size == 1:
            raise ValueError("bad task")


class _Queue:
    """A queue and all that happened to it."""

    def __init__(
        self,
        scheduler: shared_batch_scheduler.SharedBatchScheduler,
        options: batch_queue.QueueOptions,
    ) -> None:
        self._rng = random.Random(0)
        self.limit = options.max_batch_size
        self.queue = scheduler.add_queue(options, self._process)
        self.accepted: list[_Task] = []
        self.refused: list[type[errors.ServingError]] = []
        self.batches: list[batch_scheduler.Batch[_Task]] = []

    def _process(self, batch: batch_scheduler.Batch[_Task]) -> None:
        self.batches.append(batch)
        sum(range(self._rng.randrange(10_000)))  # takes a moment
        for task in batch.tasks:
            task.answers.append(None)
        if self._rng.random() < 0.1:
            raise ValueError("bad batch")

    def counts(
        self,
    ) -> collections.Counter[type[errors.ServingError] | None]:
        """Returns how many accepted tasks have which answer."""
        return collections.Counter(
            answer for task in self.accepted for answer in task.answers
        )


class _Caller:
    """Schedules tasks, cancels some, and never waits for one."""

    def __init__(self, seed: int, queues: list[_Queue]) -> None:
        self._rng = random.Random(seed)
        self._queues = queues

    def run(self) -> None:
        """Runs on a thread of its own."""
        for _ in range(_TASKS_PER_CALLER):
            queue = self._rng.choice(self._queues)
            how = self._rng.random()
            if how < 0.5:
                self._schedule(queue)
            elif how < 0.8:
                self._schedule_all(queue)
            elif queue.accepted:
                queue.queue.cancel(self._rng.choice(queue.accepted))

    def _task(self, queue: _Queue) -> _Task:
        deadline = math.inf
        if self._rng.random() < 0.5:
            seconds = self._rng.uniform(-0.0001, _MAX_DEADLINE_SECONDS)
            deadline = _CLOCK.now() + seconds
        return _Task(self._rng.randint(1, queue.limit), deadline)

    def _schedule(self, queue: _Queue) -> None:
        task = self._task(queue)
        try:
            queue.queue.schedule(task)
        except errors.ServingError as error:
            queue.refused.append(type(error))
        else:
            queue.accepted.append(task)

    def _schedule_all(self, queue: _Queue) -> None:
        tasks = [self._task(queue) for _ in range(self._rng.randint(0, 3))]
        # They may be done, or cancelled, before the call returns.
        queue.accepted.extend(tasks)
        more = queue.queue.schedule_all(tasks)
        while more:
            more = queue.queue.schedule_all([])


class SharedBatchSchedulerStressTest(parameterized.TestCase):
    """Whoever schedules, cancels or expires, and whenever close() comes."""

    def setUp(self) -> None:
        """Keeps quiet about all the batches and tasks that fail."""
        super().setUp()
        logging.disable()
        self.addCleanup(logging.disable, logging.NOTSET)

    @parameterized.product(seed=(1, 2, 3, 4), num_batch_threads=(2, 3))
    def test_each_task_is_answered_once(
        self, seed: int, num_batch_threads: int
    ) -> None:
        """Each task runs or fails once; close() returns; counts add up."""
        with shared_batch_scheduler.SharedBatchScheduler(
            shared_batch_scheduler.Options(num_batch_threads)
        ) as scheduler:
            queues = [_Queue(scheduler, options) for options in _QUEUES]
            callers = [
                _Caller(_NUM_CALLERS * seed + number, queues)
                for number in range(_NUM_CALLERS)
            ]
            with concurrent.futures.ThreadPoolExecutor() as threads:
                calls = [threads.submit(caller.run) for caller in callers]
            for call in calls:
                call.result()
            for queue in queues:
                queue.queue.close()
        for queue in queues:
            self._check_answers(queue)
            self._check_statistics(queue)

    def _check_answers(self, queue: _Queue) -> None:
        self.assertEqual({len(task.answers) for task in queue.accepted}, {1})
        for batch in queue.batches:
            self.assertIn(batch.size, range(1, queue.limit + 1))
            self.assertIsNotNone(batch.close_reason)
        self.assertLessEqual(
            set(queue.counts()),
            {
                None,
                errors.CancelledError,
                errors.DeadlineExceededError,
                errors.UnavailableError,
            },
        )

    def _check_statistics(self, queue: _Queue) -> None:
        statistics = queue.queue.statistics()
        counts = queue.counts()
        self.assertEqual(statistics.num_enqueued_tasks, 0)
        self.assertEqual(
            statistics.num_batches_by_size,
            collections.Counter(batch.size for batch in queue.batches),
        )
        self.assertEqual(
            statistics.num_batches_by_reason,
            collections.Counter(batch.close_reason for batch in queue.batches),
        )
        self.assertEqual(
            counts[None], sum(batch.num_tasks for batch in queue.batches)
        )
        self.assertEqual(
            statistics.num_cancelled, counts[errors.CancelledError]
        )
        # Some tasks that schedule_all() refused came after their deadline.
        self.assertLessEqual(
            statistics.num_expired, counts[errors.DeadlineExceededError]
        )
        self.assertEqual(
            statistics.num_expired + statistics.num_refused,
            counts[errors.DeadlineExceededError]
            + counts[errors.UnavailableError]
            + len(queue.refused),
        )


if __name__ == "__main__":
    absltest.main()
