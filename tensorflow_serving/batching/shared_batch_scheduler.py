"""Batch threads that several queues share, each queue with batches of its own.

    options = shared_batch_scheduler.Options(num_batch_threads=2)
    with shared_batch_scheduler.SharedBatchScheduler(options) as scheduler:
        with scheduler.add_queue(queue_options, process_batch) as queue:
            queue.schedule(task)

batch_queue.py says how tasks become batches; this module, who processes them.
"""

import collections
import dataclasses
import threading
from typing import Any

from absl import logging

from tensorflow_serving.batching import batch_queue, batch_scheduler
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a SharedBatchScheduler.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How many batches are processed at the same time; at least 1.
    num_batch_threads: int = 1
    # The name that the threads carry in logs and profiles.
    thread_pool_name: str = "batch_threads"

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(1, num_batch_threads=self.num_batch_threads)


@dataclasses.dataclass(eq=False)
class _Queue:
    """A queue and what its scheduler knows of it; guarded by its lock."""

    # Any: the tasks of different queues have different types.
    batches: batch_queue.BatchQueue[Any]
    process_batch: batch_scheduler.ProcessBatch[Any]
    num_batches_in_process: int = 0

    @property
    def done(self) -> bool:
        """Whether the queue is closed and all its tasks are processed."""
        return (
            self.batches.is_closed
            and self.batches.empty
            and not self.num_batches_in_process
        )


class SharedBatchScheduler:
    """Processes the batches of many queues on a fixed set of threads.

    The threads visit the queues in turn and take one batch a visit, so that a
    busy queue cannot starve another; a full queue refuses tasks without effect
    on the others. A thread waits exactly until the next batch is due or until
    there is news. If a callback raises, the error is logged and the thread goes
    on; telling whoever waits for a task is the callback's business.

    close() is the end of adding queues. Those that are still open keep the
    threads; closing the last one ends them.

    Thread-safe.
    """

    def __init__(
        self,
        options: Options,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Starts the threads.

        Raises:
          ResourceExhaustedError: The system has no more threads. Transient.
        """
        self._clock = clock
        self._lock = threading.Lock()
        # A batch is due earlier than a waiting thread knows, or the last queue
        # is gone. Wakes batch threads.
        self._news = threading.Condition(self._lock)
        # All tasks of a closed queue are processed. Wakes its close().
        self._done = threading.Condition(self._lock)
        # The next one to visit first; guarded by _lock.
        self._queues: collections.deque[_Queue] = collections.deque()
        self._closed = False  # guarded by _lock
        self._threads = [
            threading.Thread(
                target=self._process_batches,
                name=f"{options.thread_pool_name}_{number}",
            )
            for number in range(options.num_batch_threads)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError as error:
            # Those that were started would keep the process for ever.
            with self._lock:
                self._closed = True
                self._news.notify_all()
            raise errors.ResourceExhaustedError(
                "num_batch_threads must be no more than the system allows; got "
                f"{options.num_batch_threads}: {error}"
            ) from None

    def add_queue(
        self,
        options: batch_queue.QueueOptions,
        process_batch: batch_scheduler.ProcessBatch[batch_scheduler.TaskT],
    ) -> batch_scheduler.BatchScheduler[batch_scheduler.TaskT]:
        """Returns a new queue, which the caller must close.

        Args:
          options: How tasks become batches.
          process_batch: Called with each batch on one of the threads. The batch
            is closed and not empty.

        Raises:
          FailedPreconditionError: The scheduler is closed. Permanent.
        """
        queue = _Queue(batch_queue.BatchQueue(options), process_batch)
        with self._lock:
            if self._closed:
                raise errors.FailedPreconditionError(
                    "scheduler must be open to add a queue; got a closed one"
                )
            self._queues.append(queue)
        return _QueueHandle(self, queue)

    def close(self) -> None:
        """Adds no more queues; joins the threads if none is open. Idempotent.

        With queues still open it returns at once, and the close() of the last
        queue joins the threads.
        """
        with self._lock:
            self._closed = True
        self._join_if_done()

    def __enter__(self) -> "SharedBatchScheduler":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the scheduler."""
        self.close()

    def _schedule(self, queue: _Queue, task: batch_scheduler.BatchTask) -> None:
        with self._lock:
            if queue.batches.add(task, self._clock.now()):
                self._news.notify()

    def _close_queue(self, queue: _Queue) -> None:
        with self._lock:
            queue.batches.close()
            self._news.notify_all()
            self._done.wait_for(lambda: queue.done)
            if queue in self._queues:
                self._queues.remove(queue)
        self._join_if_done()

    def _join_if_done(self) -> None:
        with self._lock:
            if not self._closed or self._queues:
                return
            self._news.notify_all()
        for thread in self._threads:
            thread.join()

    def _process_batches(self) -> None:
        """Runs on each batch thread until the last queue is closed."""
        while (work := self._next_batch()) is not None:
            queue, batch = work
            try:
                queue.process_batch(batch)
            except Exception:
                logging.exception("Processing a batch failed")
            with self._lock:
                queue.num_batches_in_process -= 1
                if queue.done:
                    self._done.notify_all()

    def _next_batch(
        self,
    ) -> tuple[_Queue, batch_scheduler.Batch[Any]] | None:
        """Waits for a batch that is due; returns None when there is no more."""
        with self._lock:
            while self._queues or not self._closed:
                now = self._clock.now()
                for _ in range(len(self._queues)):
                    queue = self._queues[0]
                    self._queues.rotate(-1)
                    batch = queue.batches.take(now)
                    if batch is not None:
                        queue.num_batches_in_process += 1
                        return queue, batch
                due_times = [
                    due_time
                    for queue in self._queues
                    if (due_time := queue.batches.due_time()) is not None
                ]
                self._clock.wait_until(self._news, min(due_times, default=None))
        return None


class _QueueHandle(batch_scheduler.BatchScheduler[batch_scheduler.TaskT]):
    """What the caller of add_queue gets."""

    def __init__(self, scheduler: SharedBatchScheduler, queue: _Queue) -> None:
        self._scheduler = scheduler
        self._queue = queue

    def schedule(self, task: batch_scheduler.TaskT) -> None:
        """See BatchScheduler."""
        self._scheduler._schedule(self._queue, task)

    def num_enqueued_tasks(self) -> int:
        """See BatchScheduler."""
        with self._scheduler._lock:
            return self._queue.batches.num_tasks

    def scheduling_capacity(self) -> int:
        """See BatchScheduler."""
        with self._scheduler._lock:
            return self._queue.batches.capacity

    def close(self) -> None:
        """See BatchScheduler."""
        self._scheduler._close_queue(self._queue)
