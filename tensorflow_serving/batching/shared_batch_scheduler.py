"""Batch threads that several queues share, each queue with batches of its own.

    options = shared_batch_scheduler.Options(num_batch_threads=2)
    with shared_batch_scheduler.SharedBatchScheduler(options) as scheduler:
        with scheduler.add_queue(queue_options, process_batch) as queue:
            queue.schedule(task)

batch_queue.py says how tasks become batches; this module, who processes them.
"""

import collections
import dataclasses
import math
import threading
from collections.abc import Callable, Iterable

from absl import logging
from typing_extensions import override

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    batches_in_hand,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_Queue = batches_in_hand.QueueState


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a SharedBatchScheduler.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How many batches the threads process at the same time; at least 1. The
    # callers of schedule_all() may process as many again.
    num_batch_threads: int = 1
    # The name that the threads carry in logs and profiles.
    thread_pool_name: str = "batch_threads"

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(1, num_batch_threads=self.num_batch_threads)


class SharedBatchScheduler:
    """Processes the batches of many queues on a fixed set of threads.

    The threads visit the queues in turn and take one batch a visit, so that a
    busy queue cannot starve another; a full queue refuses tasks without effect
    on the others. A thread waits exactly until the next batch is due or until
    there is news. If a callback raises, the error is logged and the thread goes
    on; telling whoever waits for a task is the callback's business.

    A task whose deadline comes while it waits is dropped at that moment, by a
    thread that watches over the others. It also replaces a thread whose batch
    hangs; see ThreadBatches.

    close() is the end of adding queues. Those that are still open keep the
    threads; closing the last one ends them.

    Thread-safe.
    """

    def __init__(
        self,
        options: Options,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        *,
        on_stuck: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts the threads.

        Args:
          options: See Options.
          clock: The time of everything here.
          on_stuck: Called soon after queues became stuck, or are no longer;
            see Statistics.is_stuck. Must not block.

        Raises:
          ResourceExhaustedError: The system has no more threads. Transient.
        """
        self._options = options
        self._clock = clock
        self._on_stuck = on_stuck
        self._lock = threading.Lock()
        # A batch is due earlier than a waiting thread knows, or the last queue
        # is gone. Wakes batch threads.
        self._news = threading.Condition(self._lock)
        # All tasks of a closed queue are answered. Wakes its close().
        self._done = threading.Condition(self._lock)
        # There is something to see to before the time that is waited for, or
        # the last queue is gone. Wakes the thread that watches.
        self._urgent = threading.Condition(self._lock)
        # All below are guarded by _lock.
        # The next one to visit first.
        self._queues: collections.deque[_Queue] = collections.deque()
        self._thread_batches = batches_in_hand.ThreadBatches(
            options.num_batch_threads
        )
        self._caller_batches = batches_in_hand.CallerBatches(
            options.num_batch_threads
        )
        # When the watching thread looks again, at the latest.
        self._watched_time = math.inf
        # Dropped tasks, for the watching thread to fail.
        self._expired: list[tuple[_Queue, batch_scheduler.BatchTask]] = []
        # Whether the watching thread has to call _on_stuck.
        self._has_news_of_stuck = False
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._start_threads()

    def add_queue(
        self,
        options: batch_queue.QueueOptions,
        process_batch: batch_scheduler.ProcessBatch[batch_scheduler.TaskT],
    ) -> "Queue[batch_scheduler.TaskT]":
        """Returns a new queue, which the caller must close.

        Args:
          options: How tasks become batches.
          process_batch: Called with each batch on one of the threads. The batch
            is closed and not empty.

        Raises:
          FailedPreconditionError: The scheduler is closed. Permanent.
        """
        return Queue(self, options, process_batch)

    def close(self) -> None:
        """Adds no more queues, and joins the threads. Idempotent.

        With queues still open the close() of the last one joins them.
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

    def _start_threads(self) -> None:
        """Starts all threads now: under load there may be no more to be had."""
        num_threads = self._options.num_batch_threads
        try:
            for number in range(num_threads):
                self._start_thread(self._process_batches, str(number))
            self._start_thread(self._watch, "watch")
        except RuntimeError as error:
            # Those that were started would keep the process forever.
            with self._lock:
                self._closed = True
                self._news.notify_all()
            raise errors.ResourceExhaustedError(
                "num_batch_threads must be no more than the system allows; got "
                f"{num_threads}: {error}"
            ) from None

    def _start_thread(self, target: Callable[[], None], name: str) -> None:
        name = f"{self._options.thread_pool_name}_{name}"
        thread = threading.Thread(target=target, name=name)
        thread.start()
        self._threads.append(thread)

    def _schedule(self, queue: _Queue, task: batch_scheduler.BatchTask) -> None:
        """See BatchScheduler.schedule."""
        with self._lock:
            now = self._clock.now()
            queue.batches.add(task, now)
            self._wake_watcher(queue.batches.earliest_deadline)
            self._wake_threads(queue, now)

    def _schedule_all(
        self,
        queue: _Queue,
        tasks: Iterable[batch_scheduler.BatchTask],
        runs_here: bool,
    ) -> bool:
        """See BatchScheduler.schedule_all.

        1. All tasks are added with one look at the clock and one hold of the
           lock.
        2. If the oldest batch is quick, the caller runs it, also if threads are
           busy: under load they always are. It comes back for the others, so
           no thread is woken: it would compete with the caller for the
           interpreter, and find nothing.
        3. If not, or when the caller has come back and there is no such batch,
           threads are woken for what is left.
        4. If the caller must not run anything, perhaps another one hangs in
           here: what that has not begun waits again, for the threads.
        """
        tasks = tuple(tasks)  # an iterator is the caller's code
        with self._lock:
            now = self._clock.now()
            if not runs_here:
                self._caller_batches.leave(queue, now)
            refusals = queue.batches.add_all(tasks, now)
            begun = None
            if runs_here and self._caller_batches.may_begin(queue):
                begun = self._take(queue, now, idle=True, here=True)
            self._wake_watcher(queue.batches.earliest_deadline)
            if begun is None:
                self._wake_threads(queue, now)
            else:
                self._caller_batches.begin(begun)
        for refusal in refusals:
            _fail(refusal.task, refusal.error)
        if begun is None:
            return False
        self._process(begun, here=True)
        return True

    def _wake_threads(self, queue: _Queue, now: float) -> None:
        """Wakes batch threads that must look again; needs the lock."""
        if num_wakeups := queue.batches.pop_wakeups():
            self._news.notify(num_wakeups)
        self._plan_look(now)

    def _plan_look(self, now: float) -> None:
        """Has the watching thread look for batches that hang, if it must."""
        self._thread_batches.plan_look(now)
        self._wake_watcher(self._thread_batches.look_time)

    def _wake_watcher(self, time: float) -> None:
        """Has the watching thread wake up in time; needs the lock."""
        if time < self._watched_time:
            self._watched_time = time
            self._urgent.notify()

    def _cancel(self, queue: _Queue, task: batch_scheduler.BatchTask) -> None:
        with self._lock:
            if not queue.batches.cancel(task):
                return
            queue.num_dropped += 1
        _fail(task, errors.CancelledError("the caller is gone already"))
        with self._lock:
            self._let_go_dropped(queue)

    def _open_queue(self, queue: _Queue) -> None:
        with self._lock:
            if self._closed:
                raise errors.FailedPreconditionError(
                    "The batch scheduler is closed."
                )
            self._queues.append(queue)

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
            self._urgent.notify_all()
        for thread in self._threads:
            thread.join()

    def _process_batches(self) -> None:
        """Runs on each batch thread until the last queue is closed."""
        is_needed = True
        while is_needed and (begun := self._next_batch()) is not None:
            try:
                self._process(begun)
            except BaseException:
                # It is the end of a thread or a program elsewhere. Here tasks
                # would wait for a thread that is gone.
                logging.exception("Processing a batch failed")
            with self._lock:
                is_needed = self._thread_batches.end(begun)
            del begun  # else the tasks live until there is more

    def _process(
        self, begun: batches_in_hand.BatchInHand, *, here: bool = False
    ) -> None:
        """Processes a batch of _take(); here: on the thread of a caller."""
        seconds = None
        try:
            # If the queue is one of a session, BatchingSession._process_batch.
            seconds = begun.queue.process_batch(begun.batch)
        except Exception:
            logging.exception("Processing a batch failed")
        finally:
            # Even if a signal ends a caller of schedule_all().
            now = self._clock.now()
            with self._lock:
                if here:
                    self._caller_batches.end(begun)
                begun.end(
                    now - begun.begin_time if seconds is None else seconds, now
                )
                self._notify_if_done(begun.queue)

    def _let_go_dropped(self, queue: _Queue) -> None:
        """Is done with a dropped task; needs the lock."""
        queue.num_dropped -= 1
        self._notify_if_done(queue)

    def _notify_if_done(self, queue: _Queue) -> None:
        """Wakes a close() that waits for a queue; needs the lock."""
        if queue.done:
            self._done.notify_all()

    def _next_batch(self) -> batches_in_hand.BatchInHand | None:
        """Waits for a batch that is due; returns None at the end.

        A thread that takes a batch wakes another one if more is waiting: it was
        perhaps the only one that knew when that is due.
        """
        with self._lock:
            while self._queues or not self._closed:
                now = self._clock.now()
                begun = self._visit(now, idle=False) or self._visit(
                    now, idle=True
                )
                if begun is not None:
                    self._thread_batches.begin(begun)
                    if any(not queue.batches.empty for queue in self._queues):
                        self._news.notify()
                        self._plan_look(now)
                    return begun
                due_times = [
                    due_time
                    for queue in self._queues
                    if (due_time := queue.batches.due_time()) is not None
                ]
                self._clock.wait_until(self._news, min(due_times, default=None))
        return None

    def _visit(
        self, now: float, *, idle: bool
    ) -> batches_in_hand.BatchInHand | None:
        """Takes a batch of the next queue that has one; needs the lock."""
        for _ in range(len(self._queues)):
            queue = self._queues[0]
            self._queues.rotate(-1)
            begun = self._take(queue, now, idle=idle)
            if begun is not None:
                return begun
        return None

    def _take(
        self, queue: _Queue, now: float, *, idle: bool, here: bool = False
    ) -> batches_in_hand.BatchInHand | None:
        """Takes a batch that is due, without expired tasks; needs the lock.

        Those are left to the thread that watches deadlines. See BatchQueue.take
        for the arguments.
        """
        if now >= queue.batches.earliest_deadline:
            self._expire(queue, now)
            self._urgent.notify()
        batch = queue.batches.take(now, idle=idle, here=here)
        return None if batch is None else queue.begin(batch, now)

    def _expire(self, queue: _Queue, now: float) -> None:
        """Drops tasks whose deadline has come; needs the lock."""
        expired = queue.batches.expire(now)
        queue.num_dropped += len(expired)
        self._expired += [(queue, task) for task in expired]

    def _watch(self) -> None:
        """Runs on the thread that watches deadlines, and the other threads."""
        while self._wait_for_trouble():
            with self._lock:
                expired, self._expired = self._expired, []
                is_news = self._has_news_of_stuck
                self._has_news_of_stuck = False
            for queue, task in expired:
                _fail(task, batch_scheduler.expired_error())
                with self._lock:
                    self._let_go_dropped(queue)
            if is_news:
                try:
                    self._on_stuck()
                except Exception:
                    logging.exception("Not all learned of stuck queues")

    def _wait_for_trouble(self) -> bool:
        """Waits until there is work for _watch(); False if no queue is left."""
        with self._lock:
            while self._queues or not self._closed or self._expired:
                now = self._clock.now()
                for queue in self._queues:
                    self._expire(queue, now)
                if now >= self._thread_batches.look_time:
                    self._look_for_hanging(now)
                times = [q.batches.earliest_deadline for q in self._queues]
                times.append(self._thread_batches.look_time)
                self._watched_time = min(times)
                if self._expired or self._has_news_of_stuck:
                    return True
                time = self._watched_time
                self._clock.wait_until(
                    self._urgent, None if time == math.inf else time
                )
        return False

    def _look_for_hanging(self, now: float) -> None:
        """Replaces a thread or finds stuck queues; needs the lock."""
        batches = self._thread_batches
        hanging = batches.find_hanging(now)
        if hanging is None or not self._start_replacement(hanging):
            self._has_news_of_stuck |= batches.find_stuck(self._queues, now)
        batches.end_look(self._queues, now)

    def _start_replacement(self, hanging: batches_in_hand.BatchInHand) -> bool:
        """Starts a thread in place of one that hangs; needs the lock."""
        try:
            self._start_thread(self._process_batches, "replacing")
        except RuntimeError as error:  # the system has no more threads
            logging.warning("No thread can process batches: %s", error)
            return False
        logging.warning("A batch hangs; another thread was started")
        self._thread_batches.replace(hanging)
        return True


def _fail(task: batch_scheduler.BatchTask, error: errors.ServingError) -> None:
    """Fails a task; an exception in its fail() must not affect the others."""
    try:
        task.fail(error)
    except Exception:
        logging.exception("The end of a task failed")


class Queue(batch_scheduler.BatchScheduler[batch_scheduler.TaskT]):
    """A queue of a SharedBatchScheduler; see add_queue()."""

    def __init__(
        self,
        scheduler: SharedBatchScheduler,
        options: batch_queue.QueueOptions,
        process_batch: batch_scheduler.ProcessBatch[batch_scheduler.TaskT],
    ) -> None:
        """Adds itself; see SharedBatchScheduler.add_queue()."""
        self._scheduler = scheduler
        self._queue = _Queue(batch_queue.BatchQueue(options), process_batch)
        scheduler._open_queue(self._queue)

    def __repr__(self) -> str:
        """Returns the state of its tasks, without a lock."""
        return f"<{type(self).__name__} of {self._queue.batches}>"

    @override
    def schedule(self, task: batch_scheduler.TaskT) -> None:
        self._scheduler._schedule(self._queue, task)

    @override
    def schedule_all(
        self,
        tasks: Iterable[batch_scheduler.TaskT],
        *,
        runs_here: bool = True,
    ) -> bool:
        return self._scheduler._schedule_all(self._queue, tasks, runs_here)

    @override
    def cancel(self, task: batch_scheduler.TaskT) -> None:
        self._scheduler._cancel(self._queue, task)

    @override
    def num_enqueued_tasks(self) -> int:
        with self._scheduler._lock:
            return self._queue.batches.num_tasks

    @override
    def scheduling_capacity(self) -> int:
        with self._scheduler._lock:
            return self._queue.batches.capacity

    @override
    def statistics(self) -> batch_scheduler.Statistics:
        with self._scheduler._lock:
            return self._queue.statistics(self._scheduler._clock.now())

    @override
    def close(self) -> None:
        self._scheduler._close_queue(self._queue)
