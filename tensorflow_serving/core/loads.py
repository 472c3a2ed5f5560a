"""The loads of a manager: when each is tried, and what becomes of it.

    request() -> waits for a thread -> estimate, reserve, load -> on_end()
                      ^                     |         |
                      |                     v         v
                      +-- memory was freed, or the retry is due --+

Nothing that waits holds a thread or a reservation.
"""

import concurrent.futures
import dataclasses
import functools
import threading
from collections.abc import Callable

from absl import logging

from tensorflow_serving.core import (
    alarm,
    load_queue,
    loader_harness,
    worker_threads,
)
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_Harness = loader_harness.LoaderHarness


def new_future() -> concurrent.futures.Future[None]:
    """Returns a future that only its maker ends: cancel() has no effect."""
    future = concurrent.futures.Future[None]()
    future.set_running_or_notify_cancel()
    return future


def end_future(
    future: concurrent.futures.Future[None], error: errors.ServingError | None
) -> None:
    """Ends a future of new_future()."""
    if error is None:
        future.set_result(None)
    else:
        # A copy: the stack of the error may hold half a model.
        future.set_exception(errors.copy_of(error))


def _cancel_nothing() -> None:
    pass


@dataclasses.dataclass(eq=False)
class Load:
    """A load from its request to its end."""

    harness: _Harness
    # The version that serves meanwhile, and whose place this one takes.
    replaced: _Harness | None = None
    future: concurrent.futures.Future[None] = dataclasses.field(
        default_factory=new_future
    )
    # Whether it is known outside that the load has begun.
    is_announced: bool = False
    # Why the last try failed; empty if there was none.
    reason: str = ""
    # Whether it took less memory than it had reserved.
    has_shrunk: bool = False
    # Prevents that a try is called slow.
    cancel_watch: Callable[[], None] = _cancel_nothing

    @property
    def is_reload(self) -> bool:
        """Whether it is of other content, beside what serves."""
        return self.replaced is not None


@dataclasses.dataclass(frozen=True)
class Owner:
    """Functions of whose loads they are; called without a lock."""

    # Called when the first try of a load begins.
    announce_load: Callable[[Load], None]
    # Makes what is loaded available, before its state says so.
    make_available: Callable[[Load], None]
    # Called at the end of a load, before its state and its future.
    load_ended: Callable[[Load, errors.ServingError | None], None]
    # Called when a load has ended or waits, with whether it freed memory.
    has_changed: Callable[[Load, bool], None]
    # Returns whether something other than a load may soon free memory.
    may_free_memory: Callable[[], bool]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of Loads, in seconds."""

    num_threads: int
    retry_interval_seconds: float
    max_num_retries: int
    slow_load_seconds: float


class Loads:
    """Runs loads on a number of threads.

    Thread-safe.
    """

    def __init__(
        self,
        owner: Owner,
        options: Options,
        *,
        tracker: resource_tracker.ResourceTracker | None,
        clock: clock_lib.Clock,
        alarm: alarm.Alarm,
        workers: worker_threads.Workers,
    ) -> None:
        """Starts without loads; the alarm and the workers are its owner's."""
        self._owner = owner
        self._options = options
        self._tracker = tracker
        self._clock = clock
        self._alarm = alarm
        self._workers = workers
        self._lock = threading.Lock()
        # A load has ended. Wakes wait().
        self._ended = threading.Condition(self._lock)
        # All guarded by _lock.
        self._queue: load_queue.LoadQueue[Load] = load_queue.LoadQueue(
            options.num_threads
        )
        self._loads: dict[_Harness, Load] = {}
        # Functions that cancel the retries to come.
        self._retries: dict[Load, Callable[[], None]] = {}
        # How often memory may have been freed.
        self._num_freed = 0

    @property
    def num_free_threads(self) -> int:
        """How many further loads would begin at once; may be below 0."""
        with self._lock:
            return self._queue.num_free_threads

    def request(self, load: Load) -> None:
        """Has a version loaded when a thread is free."""
        with self._lock:
            self._loads[load.harness] = load
            self._queue.add(load)

    def start(self) -> None:
        """Begins what was requested, as far as threads are free."""
        while True:
            with self._lock:
                load = self._queue.take()
            if load is None:
                return
            self._workers.submit(functools.partial(self._run, load))

    def cancel(self, harness: _Harness) -> None:
        """Ends a load that waits; one that runs ends with its try."""
        harness.cancel_load()
        with self._lock:
            load = self._loads.get(harness)
            if load is None or load in self._queue.running:
                return
            self._queue.remove(load)
            retry = self._retries.pop(load, None)
            del self._loads[harness]
        if retry is not None:
            retry()
        try:
            harness.require_wanted()
        except errors.ServingError as error:
            self._end(load, error)

    def cancel_all(self) -> None:
        """Cancels each load."""
        with self._lock:
            harnesses = list(self._loads)
        for harness in harnesses:
            self.cancel(harness)

    def memory_may_be_free(self) -> None:
        """Has loads that wait for memory look again."""
        with self._lock:
            self._num_freed += 1
            self._queue.memory_was_freed()
        self.start()

    def wait(self, deadline: float) -> tuple[Load, ...]:
        """Waits until no load runs; returns those that do at the deadline."""
        with self._lock:
            while self._queue.running and self._clock.now() < deadline:
                self._clock.wait_until(self._ended, deadline)
            return self._queue.running

    def _run(self, load: Load) -> None:
        """Runs on a worker: one try."""
        harness = load.harness
        start = self._clock.now()
        self._watch(load, start)
        try:
            harness.require_wanted()
            if not self._reserve(load):
                return
            harness.load_approved()
            if not load.is_announced:
                load.is_announced = True
                self._owner.announce_load(load)
            harness.load(functools.partial(self._make_available, load))
        except errors.ServingError as error:
            self._failed(load, error)
        else:
            seconds = self._clock.now() - start
            logging.info("Loaded %s in %.2f s", harness, seconds)
            self._end(load, None, has_freed=load.has_shrunk)
        finally:
            load.cancel_watch()

    def _watch(self, load: Load, start: float) -> None:
        """Has the log say that a load is slow, when it is."""
        load.cancel_watch = self._alarm.call_after(
            self._options.slow_load_seconds,
            functools.partial(self._note_slow, load, start),
        )

    def _note_slow(self, load: Load, start: float) -> None:
        """Runs on the thread of the alarm."""
        with self._lock:
            if not self._queue.takes_long(load):
                return
        logging.warning(
            "Loading %s has taken %.0f s so far; other loads go on beside it",
            load.harness,
            self._clock.now() - start,
        )
        self._watch(load, start)
        self._owner.has_changed(load, False)
        self.start()

    def _reserve(self, load: Load) -> bool:
        """Reserves what a load needs; returns False if that has to wait.

        Raises:
          ServingError: There is no estimate.
        """
        if self._tracker is None:
            return True
        estimate = load.harness.estimate_resources()
        while True:
            with self._lock:
                num_freed = self._num_freed
            try:
                self._tracker.reserve(load.harness, estimate)
                return True
            except errors.ResourceExhaustedError as error:
                lack = error
            may_free = self._owner.may_free_memory()
            with self._lock:
                load.harness.require_wanted()
                if num_freed != self._num_freed:
                    continue
                may_free |= len(self._queue.running) > 1
                if may_free:
                    self._queue.wait_for_memory(load)
            if may_free:
                self._owner.has_changed(load, False)
                self.start()
            else:
                self._end(load, lack)
            return False

    def _make_available(self, load: Load) -> None:
        if self._tracker is not None:
            try:
                # An estimate may be smaller now; one that has grown is late.
                estimate = load.harness.estimate_resources()
                used = self._tracker.used
                self._tracker.reserve(load.harness, estimate)
                load.has_shrunk = self._tracker.used != used
            except errors.ServingError as error:
                logging.warning(
                    "The estimate of %s after its load is not taken: %s",
                    load.harness,
                    error,
                )
        self._owner.make_available(load)

    def _failed(self, load: Load, error: errors.ServingError) -> None:
        """Has a load tried again, or ends it."""
        has_freed = self._release(load)
        with self._lock:
            is_retried = load.harness.should_retry(error)
            if is_retried:
                self._queue.remove(load)
                self._retries[load] = self._alarm.call_after(
                    self._options.retry_interval_seconds,
                    functools.partial(self._retry, load),
                )
                self._ended.notify_all()
        if not is_retried:
            self._end(load, error, has_freed=has_freed)
            return
        load.reason = str(error)
        logging.warning(
            "Loading %s failed: %s. Retry %d of %d follows in %g s",
            load.harness,
            error,
            load.harness.num_retries,
            self._options.max_num_retries,
            self._options.retry_interval_seconds,
        )
        self._owner.has_changed(load, has_freed)
        self.memory_may_be_free()

    def _retry(self, load: Load) -> None:
        """Runs on the thread of the alarm."""
        with self._lock:
            if self._retries.pop(load, None) is None:
                return
            self._queue.add(load)
        self.start()

    def _end(
        self,
        load: Load,
        error: errors.ServingError | None,
        *,
        has_freed: bool = False,
    ) -> None:
        if error is not None:
            has_freed |= self._release(load)
            error = _as_cancelled(load, error)
        self._owner.load_ended(load, error)
        if error is not None:
            load.harness.fail(error)
        with self._lock:
            self._loads.pop(load.harness, None)
            self._queue.remove(load)
            self._ended.notify_all()
        end_future(load.future, error)
        self._owner.has_changed(load, has_freed)
        self.memory_may_be_free()

    def _release(self, load: Load) -> bool:
        return self._tracker is not None and self._tracker.release(load.harness)


def _as_cancelled(
    load: Load, error: errors.ServingError
) -> errors.ServingError:
    """Returns why a load ended: a permanent error, or that it was cancelled."""
    is_cancelled = isinstance(error, errors.CancelledError)
    if not is_cancelled and not errors.is_transient(error):
        return error
    try:
        load.harness.require_wanted()
    except errors.CancelledError as cancelled:
        if not is_cancelled:
            load.reason = str(error)
        text = f"{cancelled}: {load.reason}" if load.reason else str(cancelled)
        return errors.CancelledError(text)
    return error
