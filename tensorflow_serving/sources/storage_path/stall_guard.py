"""Runs jobs that storage may hold up forever, without being held up."""

import collections
import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Final, Generic, TypeVar

from absl import logging

from tensorflow_serving.util import clock as clock_lib

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

# A local disk answers in milliseconds, storage in a network in a second or two.
PATIENCE_SECONDS: Final = 5.0


class StallGuard(Generic[K, T]):
    """Runs jobs one after the other, on a thread that it can leave behind.

    A job that does not end in time is stalled: the others go on without it, on
    another thread. It is not run again before it has ended, so there is at most
    one thread for each key that stalls. What it returned then is the outcome of
    the next run.

    A thread that waits for a file system cannot be interrupted. So these are
    daemon threads, which do not keep the process from ending.

    run() is for one thread at a time; the rest is thread-safe.
    """

    def __init__(
        self,
        patience_seconds: float = PATIENCE_SECONDS,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Takes how long a job may run."""
        self._patience_seconds = patience_seconds
        self._clock = clock
        self._lock = threading.Lock()
        # A worker ended or took its first job, or the guard is closed. Wakes
        # run().
        self._changed = threading.Condition(self._lock)
        # Guarded by _lock.
        self._stalled: dict[K, _Worker[K, T]] = {}
        self._late_outcomes: dict[K, T] = {}
        self._closed = False

    def run(self, jobs: Mapping[K, Callable[[], T]]) -> dict[K, T]:
        """Runs jobs, and returns the outcomes of those that ended.

        A job that raises has no outcome; that is logged.
        """
        with self._lock:
            outcomes = {
                key: self._late_outcomes.pop(key)
                for key in jobs
                if key in self._late_outcomes
            }
            waiting = collections.deque(
                (key, jobs[key])
                for key in jobs
                if key not in outcomes and key not in self._stalled
            )
            while waiting and not self._closed:
                worker = _Worker(waiting, outcomes)
                threading.Thread(
                    target=self._work,
                    args=(worker,),
                    name="stall_guard",
                    daemon=True,
                ).start()
                self._wait_for(worker)
        return outcomes

    def is_stalled(self, key: K) -> bool:
        """Whether a job was left behind, and has not ended since."""
        with self._lock:
            return key in self._stalled

    def forget(self, key: K) -> None:
        """Drops what is known of a key; its job may end unheard."""
        with self._lock:
            self._stalled.pop(key, None)
            self._late_outcomes.pop(key, None)

    def close(self) -> None:
        """Has run() return, now and later, without waiting. Idempotent."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()

    def _wait_for(self, worker: "_Worker[K, T]") -> None:
        """Waits until a worker ends or stalls; needs the lock."""
        while not worker.has_ended and not self._closed:
            deadline = None
            if worker.key is not None:
                deadline = worker.since + self._patience_seconds
                if self._clock.now() >= deadline:
                    self._stalled[worker.key] = worker
                    break
            self._clock.wait_until(self._changed, deadline)
        worker.is_left_behind = True

    def _work(self, worker: "_Worker[K, T]") -> None:
        """Runs on a worker's thread."""
        while (job := self._next_job(worker)) is not None:
            outcomes: list[T] = []
            try:
                outcomes.append(job())
            except BaseException:
                logging.exception("A job that reads storage failed")
            with self._lock:
                assert worker.key is not None
                if not worker.is_left_behind:
                    target = worker.outcomes
                elif self._stalled.get(worker.key) is worker:
                    del self._stalled[worker.key]
                    target = self._late_outcomes
                else:
                    continue  # nobody wants to know
                for outcome in outcomes:
                    target[worker.key] = outcome

    def _next_job(self, worker: "_Worker[K, T]") -> Callable[[], T] | None:
        with self._lock:
            if worker.is_left_behind or not worker.waiting:
                worker.has_ended = True
                self._changed.notify_all()
                return None
            was_idle = worker.key is None
            worker.key, job = worker.waiting.popleft()
            worker.since = self._clock.now()
            if was_idle:
                self._changed.notify_all()  # there is a deadline now
            return job


class _Worker(Generic[K, T]):
    """The state shared by a thread and run(); guarded by the guard's lock."""

    def __init__(
        self,
        waiting: collections.deque[tuple[K, Callable[[], T]]],
        outcomes: dict[K, T],
    ) -> None:
        # Not to be touched by the thread once it is left behind.
        self.waiting = waiting
        self.outcomes = outcomes
        # Which job runs, and since when.
        self.key: K | None = None
        self.since = 0.0
        self.has_ended = False
        self.is_left_behind = False
