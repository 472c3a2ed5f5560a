"""A manager that does what it is told: load this version, unload that one."""

import concurrent.futures
import contextlib
import dataclasses
import functools
import threading
from collections.abc import Sequence

from absl import logging

from tensorflow_serving.core import loader as loader_lib
from tensorflow_serving.core import (
    loader_harness,
    manager,
    servable,
    servable_handle,
    serving_map,
)
from tensorflow_serving.resources import resource_tracker as tracker_lib
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, event_bus

_Harness = loader_harness.LoaderHarness
_ManagerState = servable.ManagerState


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a BasicManager.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How many versions are loaded at the same time.
    num_load_threads: int = 1
    # How many are unloaded at the same time. An unload that waits for a handle
    # takes up one of these.
    num_unload_threads: int = 4
    # How often a load is tried again after a transient error.
    max_num_load_retries: int = 5
    # How long it waits before it is tried again.
    load_retry_interval_micros: int = 60_000_000

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1,
            num_load_threads=self.num_load_threads,
            num_unload_threads=self.num_unload_threads,
        )
        errors.require_at_least(
            0,
            max_num_load_retries=self.max_num_load_retries,
            load_retry_interval_micros=self.load_retry_interval_micros,
        )


class BasicManager(manager.Manager):
    """Loads, serves and unloads versions, each when it is told to.

        basic.manage_servable(ServableData.ok(id, loader))
        basic.load_servable(id).result()
        with basic.get_servable_handle(request, Classifier) as handle: ...
        basic.unload_servable(id).result()

    Loads and unloads run on threads of their own. A load first reserves what
    its loader estimates, in the order in which loads were asked for: if there
    is too little, it waits for the loads and unloads that are under way, and
    fails with RESOURCE_EXHAUSTED if that does not help. An unload waits until
    the last handle is closed, so that a servable ends on a thread of the
    manager and never on that of a request.

    Each change of a state is published and logged.

    Thread-safe.
    """

    def __init__(
        self,
        options: Options = Options(),
        *,
        event_bus: event_bus.EventBus[servable.ServableState] | None = None,
        resource_tracker: tracker_lib.ResourceTracker | None = None,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        load_executor: concurrent.futures.Executor | None = None,
        unload_executor: concurrent.futures.Executor | None = None,
    ) -> None:
        """Starts without servables.

        Args:
          options: See Options.
          event_bus: Hears of each change of a state.
          resource_tracker: The budget; None if there is no limit.
          clock: Decides when a load is tried again.
          load_executor: Runs loads, first in, first out, and not on the
            thread that submits them; closed with the manager. For tests; None
            for threads as options say.
          unload_executor: The same for unloads.
        """
        self._harness_options = loader_harness.Options(
            options.max_num_load_retries, options.load_retry_interval_micros
        )
        self._event_bus = event_bus
        self._tracker = resource_tracker
        self._clock = clock
        self._serving_map = serving_map.ServingMap()
        threads = concurrent.futures.ThreadPoolExecutor
        self._load_executor = load_executor or threads(
            options.num_load_threads, "load"
        )
        self._unload_executor = unload_executor or threads(
            options.num_unload_threads, "unload"
        )
        self._lock = threading.Lock()
        # A decision was made, or what may free resources has ended. Wakes loads
        # that wait to decide.
        self._news = threading.Condition(self._lock)
        # All below are guarded by _lock.
        self._harnesses: dict[servable.ServableId, _Harness] = {}
        self._next_turn = self._turn = 0
        # Approved loads, and unloads.
        self._num_executing = self._num_executed = 0
        self._closed = False

    def list_available_servable_ids(self) -> Sequence[servable.ServableId]:
        """See Manager."""
        return self._serving_map.ids()

    def get_untyped_servable_handle(
        self, request: servable.ServableRequest
    ) -> servable_handle.ServableHandle[object]:
        """See Manager."""
        return self._serving_map.acquire(request)

    def manage_servable(
        self, data: servable.ServableData[loader_lib.Loader]
    ) -> None:
        """Takes note of a version, without loading it.

        One that is managed already stays as it is. One with an error ends at
        once with that error.

        Raises:
          FailedPreconditionError: The manager is closed.
        """
        harness = _Harness(
            data.id, data.data, self._harness_options, self._clock
        )
        if data.error is not None:
            harness.fail(data.error)
        with self._lock:
            self._require_open(data.id)
            if data.id in self._harnesses:
                return
            self._harnesses[data.id] = harness
        if data.error is not None:
            self._publish(data.id, _ManagerState.END, data.error)
        else:
            self._publish(data.id, _ManagerState.START)

    def stop_managing_servable(self, servable_id: servable.ServableId) -> None:
        """Forgets a version that is not loaded.

        Raises:
          NotFoundError: It is not managed.
          FailedPreconditionError: It is loaded, or on the way there or back.
        """
        with self._lock:
            harness = self._managed(servable_id)
            state = harness.state
            if state is not loader_harness.State.NEW and (
                state not in loader_harness.FINAL_STATES
            ):
                raise errors.FailedPreconditionError(
                    f"{servable_id} must not be loaded to be forgotten; got "
                    f"state {state.name}"
                )
            del self._harnesses[servable_id]
        if state is loader_harness.State.NEW:
            self._publish(servable_id, _ManagerState.END)

    def load_servable(
        self, servable_id: servable.ServableId
    ) -> concurrent.futures.Future[None]:
        """Has a version loaded; returns a future that ends when it is.

        The future raises why it was not: ResourceExhaustedError if the budget
        does not allow it, or what the loader raised.

        Raises:
          NotFoundError: It is not managed.
          FailedPreconditionError: It is not new: it was loaded before, or that
            has failed. Or the manager is closed.
        """
        with self._lock:
            self._require_open(servable_id)
            harness = self._managed(servable_id)
            harness.load_requested()
            turn, self._next_turn = self._next_turn, self._next_turn + 1
            return self._load_executor.submit(self._load, harness, turn)

    def unload_servable(
        self, servable_id: servable.ServableId
    ) -> concurrent.futures.Future[None]:
        """Has a version unloaded and forgotten; the future ends after both.

        New requests do not get it any more from about now on.

        Raises:
          NotFoundError: It is not managed.
          FailedPreconditionError: It is not available.
        """
        with self._lock:
            harness = self._managed(servable_id)
            harness.unload_requested()
            self._num_executing += 1
            return self._unload_executor.submit(self._unload, harness)

    def cancel_load_servable_retry(
        self, servable_id: servable.ServableId
    ) -> None:
        """Tries no more to load a version, beyond a try that runs.

        Raises:
          NotFoundError: It is not managed.
        """
        with self._lock:
            harness = self._managed(servable_id)
        harness.cancel_load_retry()

    def managed_servable_names(self) -> Sequence[str]:
        """Returns the names of all servables with a version, sorted."""
        with self._lock:
            return sorted({each.name for each in self._harnesses})

    def snapshots(self, name: str) -> Sequence[loader_harness.Snapshot]:
        """Returns the versions of a servable, lowest first."""
        with self._lock:
            harnesses = sorted(
                (id_.version, harness)
                for id_, harness in self._harnesses.items()
                if id_.name == name
            )
        return [harness.snapshot() for _, harness in harnesses]

    def close(self) -> None:
        """See Manager. Loads that have begun are finished first."""
        with self._lock:
            self._closed = True
            harnesses = list(self._harnesses.values())
        for harness in harnesses:
            harness.cancel_load_retry()
        self._load_executor.shutdown()
        for servable_id in self._serving_map.ids():
            try:
                self.unload_servable(servable_id)
            except errors.ServingError:
                continue  # it is being unloaded already
        self._unload_executor.shutdown()

    def _require_open(self, servable_id: servable.ServableId) -> None:
        """Raises FailedPreconditionError if it is closed; needs the lock."""
        if self._closed:
            raise errors.FailedPreconditionError(
                f"manager must be open to serve {servable_id}; got a closed one"
            )

    def _managed(self, servable_id: servable.ServableId) -> _Harness:
        """Returns the harness of a version; needs the lock."""
        harness = self._harnesses.get(servable_id)
        if harness is None:
            raise errors.NotFoundError(
                f"Servable must be managed; {servable_id} is not being managed"
            )
        return harness

    def _load(self, harness: _Harness, turn: int) -> None:
        """Runs on a thread of the load executor."""
        try:
            self._decide(harness, turn)
        except errors.ServingError as error:
            self._end(harness, error)
            raise
        start = self._clock.now()
        try:
            self._publish(harness.id, _ManagerState.LOADING)
            harness.load(functools.partial(self._make_available, harness))
        except errors.ServingError as error:
            self._end(harness, error)
            raise
        else:
            logging.info(
                "Loaded %s in %.2f s", harness.id, self._clock.now() - start
            )
        finally:
            self._executed()

    def _decide(self, harness: _Harness, turn: int) -> None:
        """Reserves what a load needs, when it is its turn.

        Raises:
          ServingError: It must not be loaded.
        """
        try:
            self._reserve(harness, turn)
            harness.load_approved()
            with self._lock:
                if self._closed:
                    raise errors.CancelledError(
                        "loading was given up, as the manager was closed"
                    )
                self._num_executing += 1
        finally:
            self._wait_for_turn(turn)
            with self._lock:
                self._turn += 1
                self._news.notify_all()

    def _wait_for_turn(self, turn: int) -> None:
        with self._lock:
            while self._turn != turn:
                self._clock.wait_until(self._news, None)

    def _reserve(self, harness: _Harness, turn: int) -> None:
        """Waits for what is under way as long as that may help."""
        if self._tracker is None:
            return
        estimate = harness.with_retries(harness.estimate_resources)
        self._wait_for_turn(turn)
        while True:
            with self._lock:
                num_executed = self._num_executed
            try:
                self._tracker.reserve(harness.id, estimate)
                return
            except errors.ResourceExhaustedError:
                with self._lock:
                    while num_executed == self._num_executed:
                        if not self._num_executing:
                            raise
                        self._clock.wait_until(self._news, None)

    def _make_available(self, harness: _Harness) -> None:
        """Is called once a version is loaded, before its state says so.

        Whoever sees the state and unloads an older version leaves no gap.
        """
        if self._tracker is not None:
            # An estimate may be smaller now; one that has grown is too late.
            with contextlib.suppress(errors.ServingError):
                self._tracker.reserve(harness.id, harness.estimate_resources())
        self._serving_map.add(
            servable_handle.SharedServable(harness.id, harness.servable())
        )
        self._publish(harness.id, _ManagerState.AVAILABLE)

    def _unload(self, harness: _Harness) -> None:
        """Runs on a thread of the unload executor."""
        try:
            self._publish(harness.id, _ManagerState.UNLOADING)
            shared = self._serving_map.remove(harness.id)
            harness.start_quiescing()
            shared.retire(self._clock)
            harness.done_quiescing()
            harness.unload()
        except errors.ServingError as error:
            self._end(harness, error)
            raise
        else:
            self._end(harness, None)
            with self._lock:
                del self._harnesses[harness.id]
        finally:
            self._executed()

    def _end(
        self, harness: _Harness, error: errors.ServingError | None
    ) -> None:
        """Takes note that a version is not loaded, or not any more."""
        if error is not None:
            harness.fail(error)
        if self._tracker is not None:
            self._tracker.release(harness.id)
        self._publish(harness.id, _ManagerState.END, harness.error)

    def _executed(self) -> None:
        with self._lock:
            self._num_executing -= 1
            self._num_executed += 1
            self._news.notify_all()

    def _publish(
        self,
        servable_id: servable.ServableId,
        manager_state: servable.ManagerState,
        error: errors.ServingError | None = None,
    ) -> None:
        state = servable.ServableState(servable_id, manager_state, error)
        if error is None:
            logging.info("Servable %s", state)
        else:
            logging.warning("Servable %s", state)
        if self._event_bus is not None:
            self._event_bus.publish(state)
