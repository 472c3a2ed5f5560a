"""A manager that does what its caller decides: load this, unload that."""

import concurrent.futures
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Sequence

from absl import logging
from typing_extensions import override

from tensorflow_serving.core import alarm as alarm_lib
from tensorflow_serving.core import loader as loader_lib
from tensorflow_serving.core import (
    loader_harness,
    loads,
    managed_version,
    manager,
    servable,
    servable_handle,
    serving_map,
    unloads,
    worker_threads,
)
from tensorflow_serving.resources import resource_tracker as tracker_lib
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, event_bus

_Harness = loader_harness.LoaderHarness
_Event = managed_version.Event
_Future = concurrent.futures.Future[None]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a BasicManager.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How many versions are loaded at the same time.
    num_load_threads: int = 1
    # How many are unloaded at the same time. One that waits for a handle does
    # not count.
    num_unload_threads: int = 4
    # How often a load is tried again after a transient error.
    max_num_load_retries: int = 5
    # How long until it is tried again.
    load_retry_interval_micros: int = 60_000_000
    # After how long a load is slow: the log says so, each time that it has
    # taken as long again, and another load may run beside it, in addition to
    # num_load_threads; there are never more than twice as many, until some have
    # taken ten times as long, which then do not count.
    slow_load_micros: int = 60_000_000
    # How long close() waits for loads, and for handles and unloads.
    close_timeout_micros: int = 30_000_000

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1,
            num_load_threads=self.num_load_threads,
            num_unload_threads=self.num_unload_threads,
            slow_load_micros=self.slow_load_micros,
        )
        errors.require_at_least(
            0,
            max_num_load_retries=self.max_num_load_retries,
            load_retry_interval_micros=self.load_retry_interval_micros,
            close_timeout_micros=self.close_timeout_micros,
        )


def _nothing(name: str, has_freed: bool) -> None:
    pass


class BasicManager(manager.Manager):
    """Loads, serves and unloads versions, each when its caller says so.

        basic.manage_servable(ServableData.ok(id, loader))
        basic.load_servable(id).result()
        with basic.get_servable_handle(request, Classifier) as handle: ...
        basic.unload_servable(id).result()

    Loads and unloads run on threads of their own. Nothing that waits holds a
    thread: a load that has to be tried again is queued at its time; one that
    needs memory which a load or an unload under way may free is queued when
    that has ended, and others pass it; an unload is queued when the last handle
    is closed. So a servable ends on a thread of the manager and never on that
    of a request.

    Each change of a state is published and logged, before snapshots() show it.
    The futures of loads and unloads cannot be cancelled: cancel() returns
    False.

    Thread-safe.
    """

    def __init__(
        self,
        options: Options = Options(),
        *,
        event_bus: event_bus.EventBus[servable.ServableState] | None = None,
        resource_tracker: tracker_lib.ResourceTracker | None = None,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        load_executor: worker_threads.Workers | None = None,
        unload_executor: worker_threads.Workers | None = None,
        listener: Callable[[str, bool], None] = _nothing,
    ) -> None:
        """Starts without servables.

        Args:
          options: See Options.
          event_bus: Gets each change of a state.
          resource_tracker: The budget; None if there is no limit.
          clock: Decides when a load is tried again.
          load_executor: Runs loads, not on the thread that submits them; shut
            down with the manager. For tests; None for threads as options say.
          unload_executor: The same for unloads.
          listener: Called with the name of a servable when a load or an unload
            of it has ended or does not hold a thread for now, and with whether
            that released memory. Must be quick.
        """
        self._options = options
        self._harness_options = loader_harness.Options(
            options.max_num_load_retries
        )
        self._event_bus = event_bus
        self._tracker = resource_tracker
        self._clock = clock
        self._listener = listener
        super().__init__(serving_map.ServingMap())
        self._alarm = alarm_lib.Alarm(clock)
        self._load_workers = load_executor or worker_threads.WorkerThreads(
            "load", 1, grows=True
        )
        self._unload_workers = unload_executor or worker_threads.WorkerThreads(
            "unload", options.num_unload_threads
        )
        self._loads = self._make_loads()
        self._unloads = unloads.Unloads(
            unloads.Owner(
                unload_ended=self._unload_ended, is_unloaded=self._is_unloaded
            ),
            clock=clock,
            alarm=self._alarm,
            workers=self._unload_workers,
        )
        self._lock = threading.Lock()
        # Both guarded by _lock.
        self._versions = managed_version.ManagedVersions()
        self._closed = False

    @property
    def num_free_load_threads(self) -> int:
        """How many further loads would begin at once; may be below 0."""
        return self._loads.num_free_threads

    def manage_servable(
        self, data: servable.ServableData[loader_lib.Loader]
    ) -> None:
        """Records a version, without loading it.

        One that is managed already stays as it is. One with an error ends at
        once with that error.

        Raises:
          FailedPreconditionError: The manager is closed.
        """
        with self._lock:
            self._require_open(data.id)
            if self._versions.has(data.id):
                return
            harness = _Harness(data, self._harness_options)
            self._versions.put(managed_version.ManagedVersion(harness))
        event = _Event.MANAGED if data.error is None else _Event.REFUSED
        self._publish(data.id, event, data.error)

    def stop_managing_servable(self, servable_id: servable.ServableId) -> None:
        """Forgets a version that is not loaded.

        Raises:
          NotFoundError: It is not managed.
          FailedPreconditionError: It is loaded, or on the way there or back.
        """
        with self._lock:
            version = self._versions.get(servable_id)
            snapshot = version.snapshot()
            managed_version.require_forgettable(snapshot)
            self._versions.forget(version.harness)
        if snapshot.state is loader_harness.State.NEW:
            self._publish(servable_id, _Event.FORGOTTEN)

    def load_servable(self, servable_id: servable.ServableId) -> _Future:
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
            load = loads.Load(self._versions.get(servable_id).harness)
            load.harness.load_requested()
            self._loads.request(load)
        self._loads.start()
        return load.future

    def reload_servable(
        self, data: servable.ServableData[loader_lib.Loader]
    ) -> _Future:
        """Has other content of an available version loaded beside it.

        Once that is loaded, requests get it, and what served before is unloaded
        after its last handle. If it fails, that is published as an error of the
        version, which stays AVAILABLE, and the future raises it.

        Raises:
          NotFoundError: The version is not managed.
          FailedPreconditionError: It is not available, or is being loaded anew
            already. Or the manager is closed.
        """
        harness = _Harness(data, self._harness_options)
        with self._lock:
            self._require_open(data.id)
            version = self._versions.get(data.id).reload(harness)
            load = loads.Load(harness, version.harness)
            harness.load_requested()
            self._loads.request(load)
            self._versions.put(version)
        logging.info("Loading other content of %s", data.id)
        self._loads.start()
        return load.future

    def unload_servable(self, servable_id: servable.ServableId) -> _Future:
        """Has a version unloaded and forgotten; the future ends after both.

        New requests do not get it from now on.

        Raises:
          NotFoundError: It is not managed.
          FailedPreconditionError: It is not available.
        """
        with self._lock:
            version = self._versions.get(servable_id)
            version.harness.unload_requested()
            shared = self.serving_map.remove(servable_id)
            unload = unloads.Unload(version.harness, shared)
            self._unloads.add(unload)
            self._versions.put(version.give_up_reload())
        self._publish(servable_id, _Event.UNLOAD_BEGAN)
        self._unloads.request(unload)
        if version.replacement is not None:
            self._loads.cancel(version.replacement)
        return unload.future

    def cancel_load(self, servable_id: servable.ServableId) -> None:
        """Gives a load up, that of a replacement if there is one.

        One that waits ends now; one that runs is unloaded when it has ended,
        without having been available.

        Raises:
          NotFoundError: The version is not managed.
        """
        self._loads.cancel(self._harness_to_load(servable_id))

    def uncancel_load(self, servable_id: servable.ServableId) -> None:
        """Takes cancel_load() back, for a load that has not ended.

        Raises:
          NotFoundError: The version is not managed.
        """
        self._harness_to_load(servable_id).uncancel_load()

    def managed_servable_names(self) -> Sequence[str]:
        """Returns the names of all servables with a version, sorted."""
        with self._lock:
            return self._versions.names()

    def snapshots(self, name: str) -> Sequence[loader_harness.Snapshot]:
        """Returns the versions of a servable, lowest first."""
        with self._lock:
            return self._versions.snapshots(name)

    @override
    def close(self) -> None:
        """See Manager. Loads that have begun are finished, and unloaded.

        Returns after the time of the options at the latest; the log then says
        what is left behind. It is still unloaded if the program goes on.
        """
        deadline = self._clock.now() + self._options.close_timeout_micros / 1e6
        with self._lock:
            self._closed = True
        self._loads.cancel_all()
        self._load_workers.shutdown()
        for load in self._loads.wait(deadline):
            logging.error("The load of %s hangs; left behind", load.harness)
        for servable_id in self.serving_map.ids():
            with contextlib.suppress(errors.ServingError):
                self.unload_servable(servable_id)
        if self._unloads.wait_for_handles(deadline):
            self._unload_workers.shutdown()
        for unload in self._unloads.wait(deadline):
            logging.error(
                "The unload of %s has not ended, with %d open handles; left "
                "behind",
                unload.harness,
                unload.shared.num_handles,
            )
        self._alarm.close()

    def _announce_load(self, load: loads.Load) -> None:
        self._publish(
            load.harness.id, _Event.LOAD_BEGAN, is_beside=load.is_reload
        )

    def _make_available(self, load: loads.Load) -> None:
        # Whoever sees the state and unloads an older version leaves no gap.
        harness = load.harness
        shared = servable_handle.SharedServable(harness.id, harness.servable())
        warning = harness.warning()
        if load.replaced is None:
            self.serving_map.add(shared)
            unload = None
        else:
            unload = self._swap(load.replaced, shared)
        self._publish(
            harness.id,
            _Event.LOADED,
            is_beside=load.is_reload,
            warning=warning,
        )
        if unload is not None:
            self._unloads.request(unload)

    def _load_ended(
        self, load: loads.Load, error: errors.ServingError | None
    ) -> None:
        if error is None:
            return
        harness, replaced = load.harness, load.replaced
        event = managed_version.failure_of_load(
            error,
            harness.snapshot(),
            None if replaced is None else replaced.state,
        )
        if event is _Event.LOAD_GIVEN_UP:
            logging.info("Gave up loading %s: %s", harness, error)
            error = None
        self._publish(harness.id, event, error, is_beside=load.is_reload)

    def _load_has_changed(self, load: loads.Load, has_freed: bool) -> None:
        self._listener(load.harness.id.name, has_freed)

    def _unload_ended(
        self, unload: unloads.Unload, error: errors.ServingError | None
    ) -> None:
        harness = unload.harness
        if self._tracker is not None:
            self._tracker.release(harness)
        event = _Event.UNLOADED if error is None else _Event.UNLOAD_FAILED
        self._publish(harness.id, event, error, is_beside=unload.is_replaced)
        if unload.is_replaced and error is not None:
            logging.warning(
                "Unloading the old content of %s failed: %s", harness, error
            )
        if error is None:
            with self._lock:
                self._versions.forget(harness)

    def _is_unloaded(self, unload: unloads.Unload) -> None:
        self._listener(unload.harness.id.name, self._tracker is not None)
        self._loads.memory_may_be_free()

    def _swap(
        self, replaced: _Harness, shared: servable_handle.SharedServable
    ) -> unloads.Unload:
        """Has another object serve a version; returns the unload of the old.

        Raises:
          FailedPreconditionError: The old one is being unloaded already.
        """
        with self._lock:
            replaced.unload_requested()
            old = self.serving_map.replace(shared)
            self._versions.put(self._versions.get(replaced.id).swap())
            unload = unloads.Unload(replaced, old, is_replaced=True)
            self._unloads.add(unload)
        return unload

    def _harness_to_load(self, servable_id: servable.ServableId) -> _Harness:
        with self._lock:
            return self._versions.get(servable_id).last_to_load

    def _make_loads(self) -> loads.Loads:
        options = self._options
        return loads.Loads(
            loads.Owner(
                announce_load=self._announce_load,
                make_available=self._make_available,
                load_ended=self._load_ended,
                has_changed=self._load_has_changed,
                # The manager makes its unloads after its loads.
                may_free_memory=lambda: self._unloads.num > 0,
            ),
            loads.Options(
                num_threads=options.num_load_threads,
                retry_interval_seconds=options.load_retry_interval_micros / 1e6,
                max_num_retries=options.max_num_load_retries,
                slow_load_seconds=options.slow_load_micros / 1e6,
            ),
            tracker=self._tracker,
            clock=self._clock,
            alarm=self._alarm,
            workers=self._load_workers,
        )

    def _require_open(self, servable_id: servable.ServableId) -> None:
        """Raises FailedPreconditionError if it is closed; needs the lock."""
        if self._closed:
            raise errors.FailedPreconditionError(
                f"The manager is closed, and cannot serve {servable_id}."
            )

    def _publish(
        self,
        servable_id: servable.ServableId,
        event: _Event,
        error: errors.ServingError | None = None,
        *,
        is_beside: bool = False,
        warning: str = "",
    ) -> None:
        state = managed_version.published_state(event, is_beside=is_beside)
        if state is None:
            return
        news = servable.ServableState(servable_id, state, error, warning)
        log = logging.warning if error or warning else logging.info
        log("Servable %s", news)
        if self._event_bus is not None:
            self._event_bus.publish(news)
