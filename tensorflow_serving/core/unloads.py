"""The unloads of a manager: each begins when the last handle is closed.

request() -> waits for handles, without a thread -> unload -> on_end()
"""

import concurrent.futures
import dataclasses
import functools
import threading
from collections.abc import Callable
from typing import Final

from absl import logging

from tensorflow_serving.core import (
    alarm,
    loader_harness,
    loads,
    servable_handle,
    worker_threads,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

# How often the log says that an unload waits for handles.
_SECONDS_BETWEEN_WARNINGS: Final = 5.0


def _cancel_nothing() -> None:
    pass


@dataclasses.dataclass(eq=False)
class Unload:
    """An unload from its request to its end."""

    harness: loader_harness.LoaderHarness
    # Removed from the serving map.
    shared: servable_handle.SharedServable
    # Whether another object serves the same version by now.
    is_replaced: bool = False
    future: concurrent.futures.Future[None] = dataclasses.field(
        default_factory=loads.new_future
    )
    # Whether a worker has it: its last handle is closed.
    is_queued: bool = False
    # Prevents a warning.
    cancel_warning: Callable[[], None] = _cancel_nothing


@dataclasses.dataclass(frozen=True)
class Owner:
    """Functions of whose unloads they are; called without a lock."""

    # Called at the end of an unload, before its state and its future.
    unload_ended: Callable[[Unload, errors.ServingError | None], None]
    # Called when all is done.
    is_unloaded: Callable[[Unload], None]


class Unloads:
    """Runs unloads on the threads of workers.

    Thread-safe.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        clock: clock_lib.Clock,
        alarm: alarm.Alarm,
        workers: worker_threads.Workers,
    ) -> None:
        """Starts without unloads; the alarm and the workers are its owner's."""
        self._owner = owner
        self._clock = clock
        self._alarm = alarm
        self._workers = workers
        # An unload has ended. Wakes the waits.
        self._ended = threading.Condition(threading.Lock())
        self._unloads: set[Unload] = set()  # guarded by _ended

    @property
    def num(self) -> int:
        """How many have not ended."""
        with self._ended:
            return len(self._unloads)

    def add(self, unload: Unload) -> None:
        """Counts an unload for which request() will soon be called."""
        with self._ended:
            self._unloads.add(unload)

    def request(self, unload: Unload) -> None:
        """Has a version unloaded after its last handle."""
        unload.harness.start_quiescing()
        self._watch(unload, self._clock.now())
        unload.shared.retire(functools.partial(self._submit, unload))

    def wait_for_handles(self, deadline: float) -> bool:
        """Waits for handles; returns False if some are open at the deadline."""
        with self._ended:
            while not all(each.is_queued for each in self._unloads):
                if self._clock.now() >= deadline:
                    return False
                self._clock.wait_until(self._ended, deadline)
            return True

    def wait(self, deadline: float) -> tuple[Unload, ...]:
        """Waits until all have ended; returns those that have not in time."""
        with self._ended:
            while self._unloads and self._clock.now() < deadline:
                self._clock.wait_until(self._ended, deadline)
            return tuple(self._unloads)

    def _submit(self, unload: Unload) -> None:
        """May be called by a finalizer, so it needs no lock."""
        self._workers.submit(functools.partial(self._run, unload))
        unload.is_queued = True

    def _watch(self, unload: Unload, start: float) -> None:
        unload.cancel_warning = self._alarm.call_after(
            _SECONDS_BETWEEN_WARNINGS,
            functools.partial(self._warn, unload, start),
        )

    def _warn(self, unload: Unload, start: float) -> None:
        """Runs on the thread of the alarm."""
        num_handles = unload.shared.num_handles
        if not num_handles:
            return
        logging.warning(
            "Unloading %s waits for %d open handles, since %.0f s; taken at %s",
            unload.harness,
            num_handles,
            self._clock.now() - start,
            unload.shared.places(),
        )
        self._watch(unload, start)

    def _run(self, unload: Unload) -> None:
        """Runs on a worker."""
        unload.cancel_warning()
        unload.shared.log_forgotten()
        harness = unload.harness
        error = None
        try:
            harness.done_quiescing()
            harness.unload()
        except errors.ServingError as caught:
            error = caught
        self._owner.unload_ended(unload, error)
        if error is not None:
            harness.fail(error)
        with self._ended:
            self._unloads.discard(unload)
            self._ended.notify_all()
        loads.end_future(unload.future, error)
        self._owner.is_unloaded(unload)
