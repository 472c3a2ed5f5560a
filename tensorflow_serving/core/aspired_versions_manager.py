"""A manager that keeps to what sources aspire."""

import concurrent.futures
import dataclasses
import threading
from collections.abc import Sequence

from absl import logging

from tensorflow_serving.core import (
    aspired_version_policy,
    basic_manager,
    loader_harness,
    manager,
    servable,
    servable_handle,
    source,
)
from tensorflow_serving.core import loader as loader_lib
from tensorflow_serving.resources import resource_tracker as tracker_lib
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import event_bus

_Aspired = Sequence[servable.ServableData[loader_lib.Loader]]
_State = loader_harness.State
_ActionKind = aspired_version_policy.ActionKind


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an AspiredVersionsManager.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # What to load or unload next.
    policy: aspired_version_policy.AspiredVersionPolicy = (
        aspired_version_policy.availability_preserving_policy
    )
    manager: basic_manager.Options = basic_manager.Options()
    # Whether the manager works by itself. If not, somebody has to call
    # manage_state_once().
    starts_thread: bool = True


class AspiredVersionsManager(manager.Manager, source.Target[loader_lib.Loader]):
    """Loads and unloads versions until they are those that are aspired.

        with AspiredVersionsManager() as manager:
            source.connect_source_to_target(adapter, manager)
            with manager.get_servable_handle(request, Classifier) as handle:
                ...

    Any number of sources may tell it of any number of servables, but each
    servable should have one source. A policy decides the order; unloads come
    before loads. Nothing is unloaded because of an error: a version that is
    loaded stays as long as it is aspired, even if its source reports it with
    one. A version whose load has failed is loaded again when its source
    reported it with an error in the meantime and then with data: its files have
    changed. One that is not aspired any more is not tried again, and forgotten.

    A version that is aspired again while it is still there stays; while it is
    being unloaded, that is finished first.

    Its thread sleeps until a source calls, or a load or an unload has ended.

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
        """Starts without servables; see BasicManager for the arguments."""
        self._policy = options.policy
        self._basic = basic_manager.BasicManager(
            options.manager,
            event_bus=event_bus,
            resource_tracker=resource_tracker,
            clock=clock,
            load_executor=load_executor,
            unload_executor=unload_executor,
        )
        self._clock = clock
        self._lock = threading.Lock()
        # There may be something to do, or the manager is closed. Wakes the
        # thread.
        self._news = threading.Condition(self._lock)
        # All guarded by _lock: whether there may be something to do; what
        # sources said last and is not done yet, by the name of the servable.
        self._has_news = False
        self._requests: dict[str, _Aspired] = {}
        self._closed = False
        # Of the thread that manages: which versions are aspired, and those
        # whose source reported an error that they have not been loaded after.
        self._aspired: set[servable.ServableId] = set()
        self._reported: set[servable.ServableId] = set()
        self._thread = threading.Thread(target=self._run, name="manage_state")
        if options.starts_thread:
            self._thread.start()

    def aspired_versions_callback(
        self,
    ) -> source.AspiredVersionsCallback[loader_lib.Loader]:
        """See Target. The callback does not block."""
        return self._set_aspired_versions

    def list_available_servable_ids(self) -> Sequence[servable.ServableId]:
        """See Manager."""
        return self._basic.list_available_servable_ids()

    def get_untyped_servable_handle(
        self, request: servable.ServableRequest
    ) -> servable_handle.ServableHandle[object]:
        """See Manager."""
        return self._basic.get_untyped_servable_handle(request)

    def manage_state_once(self) -> bool:
        """Takes one step, and returns whether there was one to take.

        It takes note of what sources said, forgets what has ended, and begins
        at most one load or unload. To be called by one thread at a time; the
        thread of the manager does, if there is one.
        """
        has_changed = self._take_requests()
        has_changed |= self._forget_ended()
        return self._act() or has_changed

    def close(self) -> None:
        """See Manager. Calls of sources have no more effect."""
        with self._lock:
            self._closed = True
            self._news.notify_all()
        if self._thread.ident is not None:
            self._thread.join()
        self._basic.close()

    def _set_aspired_versions(self, name: str, versions: _Aspired) -> None:
        for version in versions:
            if version.id.name != name:
                logging.error(
                    "Aspired versions must be of servable %s; got %s. Dropped "
                    "the whole call",
                    name,
                    version.id,
                )
                return
        with self._lock:
            if self._closed:
                return
            self._requests[name] = versions
        self._wake()

    def _wake(self, _: object = None) -> None:
        with self._lock:
            self._has_news = True
            self._news.notify_all()

    def _run(self) -> None:
        """Runs on the thread of the manager."""
        while self._wait_for_news():
            try:
                while self.manage_state_once():
                    pass
            except Exception:
                logging.exception("Managing servables failed; going on")

    def _wait_for_news(self) -> bool:
        """Returns True if there may be something to do, False at the end."""
        with self._lock:
            while not self._has_news and not self._closed:
                self._clock.wait_until(self._news, None)
            self._has_news = False
            return not self._closed

    def _take_requests(self) -> bool:
        """Takes note of what sources said; returns whether that was news."""
        with self._lock:
            requests, self._requests = self._requests, {}
        has_changed = False
        for name, versions in requests.items():
            request = _Request(self._basic, self._aspired, self._reported)
            request.apply(name, versions)
            has_changed |= request.has_changed
            if request.has_to_wait:
                with self._lock:
                    # Unless the source has called again.
                    self._requests.setdefault(name, versions)
        return has_changed

    def _forget_ended(self) -> bool:
        """Forgets versions that nobody wants; returns whether there were."""
        has_changed = False
        for snapshot in self._snapshots():
            if snapshot.id not in self._aspired and snapshot.state in (
                _State.NEW,
                _State.ERROR,
            ):
                self._basic.stop_managing_servable(snapshot.id)
                has_changed = True
        return has_changed

    def _act(self) -> bool:
        """Begins one load or unload; returns whether there was one to begin."""
        actions = [
            action
            for name in self._basic.managed_servable_names()
            if (action := self._policy(self._versions(name)))
        ]
        # False comes first.
        actions.sort(key=lambda action: action.kind is _ActionKind.LOAD)
        for action in actions[:1]:
            if action.kind is _ActionKind.LOAD:
                future = self._basic.load_servable(action.id)
            else:
                future = self._basic.unload_servable(action.id)
            future.add_done_callback(self._wake)
        return bool(actions)

    def _versions(
        self, name: str
    ) -> list[aspired_version_policy.VersionSnapshot]:
        return [
            aspired_version_policy.VersionSnapshot(
                snapshot.id, snapshot.state, snapshot.id in self._aspired
            )
            for snapshot in self._basic.snapshots(name)
        ]

    def _snapshots(self) -> list[loader_harness.Snapshot]:
        return [
            snapshot
            for name in self._basic.managed_servable_names()
            for snapshot in self._basic.snapshots(name)
        ]


class _Request:
    """What a source said of one servable, being put into effect.

    To apply a request again changes nothing.
    """

    def __init__(
        self,
        basic: basic_manager.BasicManager,
        aspired: set[servable.ServableId],
        reported: set[servable.ServableId],
    ) -> None:
        self._basic = basic
        self._aspired = aspired
        self._reported = reported
        # Whether anything was different before.
        self.has_changed = False
        # Whether it must be applied again when what is under way has ended.
        self.has_to_wait = False

    def apply(self, name: str, versions: _Aspired) -> None:
        managed = {each.id: each for each in self._basic.snapshots(name)}
        wanted = {each.id for each in versions}
        for servable_id in managed:
            if servable_id in self._aspired and servable_id not in wanted:
                self._aspired.remove(servable_id)
                self._reported.discard(servable_id)
                self._basic.cancel_load_servable_retry(servable_id)
                self.has_changed = True
        for data in versions:
            snapshot = managed.get(data.id)
            if snapshot is None:
                self._manage(data)
            elif data.id in self._aspired:
                self._report(data, snapshot)
            else:
                self._aspire_again(data, snapshot)

    def _manage(self, data: servable.ServableData[loader_lib.Loader]) -> None:
        self._basic.manage_servable(data)
        self._aspired.add(data.id)
        self._note(data)
        self.has_changed = True

    def _manage_anew(
        self, data: servable.ServableData[loader_lib.Loader]
    ) -> None:
        self._basic.stop_managing_servable(data.id)
        self._manage(data)

    def _note(self, data: servable.ServableData[loader_lib.Loader]) -> None:
        """Takes note whether the source reports an error."""
        if data.error is not None:
            self._reported.add(data.id)
        else:
            self._reported.discard(data.id)

    def _aspire_again(
        self,
        data: servable.ServableData[loader_lib.Loader],
        snapshot: loader_harness.Snapshot,
    ) -> None:
        """A version that was on its way out is wanted again."""
        if snapshot.state in (_State.NEW, _State.ERROR):
            self._manage_anew(data)
        elif snapshot.state is _State.READY:
            self._aspired.add(data.id)
            self.has_changed = True
        else:
            # Its load is not tried again, or it is being unloaded.
            self.has_to_wait = True

    def _report(
        self,
        data: servable.ServableData[loader_lib.Loader],
        snapshot: loader_harness.Snapshot,
    ) -> None:
        """A version that is aspired is reported once more."""
        if snapshot.state is _State.ERROR:
            if data.error is not None:
                if str(data.error) != str(snapshot.error):
                    self._manage_anew(data)
                self._note(data)
            elif data.id in self._reported:
                self._manage_anew(data)
        elif snapshot.state is _State.NEW:
            if data.error is not None:
                self._manage_anew(data)
        elif snapshot.state is _State.READY:
            self._reported.discard(data.id)
        elif data.error is not None:
            # What is being loaded has changed.
            self._note(data)
