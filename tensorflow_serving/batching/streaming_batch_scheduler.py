"""A batch scheduler without a queue: a thread has a batch while it fills.

    def process_batch(batch):
        batch.wait_until_closed()
        ...

    with StreamingBatchScheduler(Options(), process_batch) as scheduler:
        scheduler.schedule(task)

For callers that would rather be refused than wait for a thread, and for
callbacks with something to prepare while the tasks come in.
"""

import collections
import dataclasses
import math
import threading

from absl import logging
from typing_extensions import override

from tensorflow_serving.batching import (
    batch_scheduler,
    batch_scheduler_retrier,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a StreamingBatchScheduler.

    The original's no_tasks_wait_time_micros is missing: it was the pause
    between two looks of a thread for tasks, and here threads are woken.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # The largest sum of task sizes in a batch; at least 1.
    max_batch_size: int = 32
    # How long a batch is open after its first task. 0: not at all, each batch
    # has one task; negative: without limit.
    batch_timeout_micros: int = 10_000
    # How many batches are filled or processed at the same time; at least 1.
    num_batch_threads: int = 1
    # The name that the threads carry in logs and profiles.
    thread_pool_name: str = "batch_threads"

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1,
            max_batch_size=self.max_batch_size,
            num_batch_threads=self.num_batch_threads,
        )


class StreamingBatchScheduler(
    batch_scheduler.BatchScheduler[batch_scheduler.TaskT]
):
    """Hands a batch to a thread with its first task and adds others later.

    One batch at most is open. It is closed as soon as it is full, when its
    first task has waited for batch_timeout_micros, when a task comes that does
    not fit, or by close(). The next task opens a new batch if a thread is idle;
    otherwise it is refused with UnavailableError, at once. The original opens
    an empty batch as soon as one is full; here no batch is ever empty.

    A refused task closes the open batch, too. If it did not, a task too large
    for what is left could be refused forever.

    A task that is accepted has a thread: its deadline counts only until then,
    and it cannot be cancelled.

    If a callback raises, the error is logged and the thread goes on; telling
    whoever waits for a task is the callback's business. The batch of a callback
    that ends too early is closed; its tasks count as processed.

    Thread-safe.
    """

    def __init__(
        self,
        options: Options,
        process_batch: batch_scheduler.ProcessBatch[batch_scheduler.TaskT],
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Starts the threads.

        Args:
          options: The size of batches and the number of threads.
          process_batch: Called with each batch on one of the threads, as soon
            as it has its first task. It must call batch.wait_until_closed()
            before it reads the tasks or ends, and must not close the batch.
          clock: Says when an open batch is due.

        Raises:
          ResourceExhaustedError: The system has no more threads. Transient.
        """
        self._options = options
        self._process_batch = process_batch
        self._clock = clock
        self._timeout_seconds = options.batch_timeout_micros / 1e6
        self._lock = threading.Lock()
        # A batch waits for its thread, or the scheduler is closed. Wakes batch
        # threads.
        self._handed_over = threading.Condition(self._lock)
        # There is a new open batch, or the scheduler is closed. Wakes the
        # closer.
        self._opened = threading.Condition(self._lock)
        # Guarded by _lock, up to _closed. New batches are on their way to a
        # thread that is idle: there are never more of them than such threads.
        self._new_batches: collections.deque[
            batch_scheduler.Batch[batch_scheduler.TaskT]
        ] = collections.deque()
        self._open_batch: (
            batch_scheduler.Batch[batch_scheduler.TaskT] | None
        ) = None
        self._open_batch_due = 0.0  # valid while there is an open batch
        self._num_batches_in_progress = 0
        self._num_by_size: collections.Counter[int] = collections.Counter()
        self._num_by_reason: collections.Counter[
            batch_scheduler.CloseReason
        ] = collections.Counter()
        self._num_refused = 0
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._start_threads()

    @override
    def schedule(self, task: batch_scheduler.TaskT) -> None:
        max_batch_size, size = self._options.max_batch_size, task.size
        with self._lock:
            if self._closed:
                raise errors.FailedPreconditionError(
                    "The batch scheduler is closed."
                )
            if size > max_batch_size:
                raise errors.InvalidArgumentError(
                    f"number of rows must be at most {max_batch_size}, the "
                    f"maximum batch size; got {size}"
                )
            if task.deadline < math.inf and task.deadline <= self._clock.now():
                self._num_refused += 1
                raise batch_scheduler.expired_error()
            batch = self._open_batch
            if batch is not None and batch.size + size <= max_batch_size:
                batch.add_task(task)
            else:
                batch = self._open_next_batch(task)
            if batch.size >= max_batch_size:
                self._close_open_batch(batch_scheduler.CloseReason.FULL)
            elif not self._options.batch_timeout_micros:
                self._close_open_batch(batch_scheduler.CloseReason.TIMEOUT)

    def num_enqueued_tasks(self) -> int:
        """Returns 0: a task that is accepted has a thread."""
        return 0

    @override
    def scheduling_capacity(self) -> int:
        max_batch_size = self._options.max_batch_size
        with self._lock:
            if self._closed:
                return 0
            num_idle = (
                self._options.num_batch_threads - self._num_batches_in_progress
            )
            if not self._options.batch_timeout_micros:
                return num_idle  # a batch takes one task, whatever its size
            capacity = num_idle * max_batch_size
            if self._open_batch is not None:
                capacity += max_batch_size - self._open_batch.size
            return capacity

    def statistics(self) -> batch_scheduler.Statistics:
        """See BatchScheduler; a batch counts from its end on.

        It is FULL when a task came that did not fit, or a callback ended early.
        """
        with self._lock:
            return batch_scheduler.Statistics(
                num_batches_by_size=dict(self._num_by_size),
                num_batches_by_reason=dict(self._num_by_reason),
                num_refused=self._num_refused,
            )

    @override
    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._close_open_batch(batch_scheduler.CloseReason.DRAIN)
            self._handed_over.notify_all()
            self._opened.notify_all()
        for thread in self._threads:
            thread.join()

    def _start_threads(self) -> None:
        name = self._options.thread_pool_name
        threads = [
            threading.Thread(
                target=self._process_batches, name=f"{name}_{number}"
            )
            for number in range(self._options.num_batch_threads)
        ]
        if self._options.batch_timeout_micros > 0:
            threads.append(
                threading.Thread(
                    target=self._close_due_batches, name=f"{name}_closer"
                )
            )
        try:
            for thread in threads:
                thread.start()
                self._threads.append(thread)
        except RuntimeError as error:
            # Those that were started would keep the process forever.
            self.close()
            raise errors.ResourceExhaustedError(
                "num_batch_threads must be no more than the system allows; got "
                f"{self._options.num_batch_threads}: {error}"
            ) from None

    def _open_next_batch(
        self, task: batch_scheduler.TaskT
    ) -> batch_scheduler.Batch[batch_scheduler.TaskT]:
        """Closes the open batch; hands over a new one if a thread is idle."""
        self._close_open_batch(batch_scheduler.CloseReason.FULL)
        num_threads = self._options.num_batch_threads
        if self._num_batches_in_progress >= num_threads:
            self._num_refused += 1
            raise errors.UnavailableError(
                f"Too many batches in progress (limit {num_threads}); try "
                "again later."
            )
        batch = batch_scheduler.Batch[batch_scheduler.TaskT]()
        batch.add_task(task)
        self._num_batches_in_progress += 1
        self._new_batches.append(batch)
        self._handed_over.notify()
        self._open_batch = batch
        self._open_batch_due = self._clock.now() + self._timeout_seconds
        self._opened.notify()
        return batch

    def _close_open_batch(self, reason: batch_scheduler.CloseReason) -> None:
        if self._open_batch is not None:
            self._num_by_size[self._open_batch.size] += 1
            self._num_by_reason[reason] += 1
            self._open_batch.close(reason)
            self._open_batch = None

    def _close_due_batches(self) -> None:
        """Runs on the closer, a thread of its own, until close()."""
        with self._lock:
            while not self._closed:
                due_time = None
                if self._open_batch is not None:
                    due_time = self._open_batch_due
                    if self._clock.now() >= due_time:
                        self._close_open_batch(
                            batch_scheduler.CloseReason.TIMEOUT
                        )
                        continue
                self._clock.wait_until(self._opened, due_time)

    def _process_batches(self) -> None:
        """Runs on each batch thread until close()."""
        while (batch := self._next_batch()) is not None:
            try:
                self._process_batch(batch)
            except Exception:
                logging.exception("Processing a batch failed")
            with self._lock:
                self._num_batches_in_progress -= 1
                if batch is self._open_batch:
                    self._close_open_batch(batch_scheduler.CloseReason.FULL)

    def _next_batch(
        self,
    ) -> batch_scheduler.Batch[batch_scheduler.TaskT] | None:
        """Waits for a new batch; returns None at the end."""
        with self._lock:
            self._handed_over.wait_for(
                lambda: self._new_batches or self._closed
            )
            return self._new_batches.popleft() if self._new_batches else None


def create_retrying(
    options: Options,
    retrier_options: batch_scheduler_retrier.Options,
    process_batch: batch_scheduler.ProcessBatch[batch_scheduler.TaskT],
    clock: clock_lib.Clock = clock_lib.MONOTONIC,
) -> batch_scheduler.BatchScheduler[batch_scheduler.TaskT]:
    """Returns a StreamingBatchScheduler for callers that can wait a little.

    Args:
      options: The size of batches and the number of threads.
      retrier_options: How long a call waits for a thread.
      process_batch: See StreamingBatchScheduler.
      clock: Says when an open batch is due, and when to try again.

    Raises:
      ResourceExhaustedError: The system has no more threads. Transient.
    """
    return batch_scheduler_retrier.BatchSchedulerRetrier(
        retrier_options,
        StreamingBatchScheduler(options, process_batch, clock),
        clock,
    )
