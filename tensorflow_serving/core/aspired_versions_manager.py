"""A manager that keeps to what sources aspire."""

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Final

from absl import logging
from typing_extensions import override

from tensorflow_serving.core import (
    aspired_version_policy,
    basic_manager,
    loader_harness,
    manager,
    servable,
    source,
    version_steps,
    worker_threads,
)
from tensorflow_serving.core import loader as loader_lib
from tensorflow_serving.core import manager_news as news_lib
from tensorflow_serving.resources import resource_tracker as tracker_lib
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, event_bus

_Data = servable.ServableData[loader_lib.Loader]
_ActionKind = aspired_version_policy.ActionKind
_Step = version_steps.Step

# How many broken versions of a servable are remembered.
_MAX_NUM_BROKEN: Final = 32


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an AspiredVersionsManager.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # Chooses the next load or unload.
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

    Any number of sources may call for any number of servables, but each
    servable should have one source. A policy decides what of a servable is
    loaded next, when a thread is free for it; servables take turns. Nothing is
    unloaded because of an error: a version that is loaded stays as long as it
    is aspired, even if its source reports it with one.

    What a source calls other content is loaded anew, as a new version would be.
    A load that is no longer wanted, or whose files change while it runs, does
    not become available; it goes on if it is wanted again in time.

    A version that has failed is tried again with other content; after a
    transient error and NOT_FOUND also by itself, after 5 s and then more and
    more seldom, down to every 5 minutes; and for lack of memory as soon as some
    was freed.

    Its thread sleeps until a source says something new, a load or an unload has
    ended, or another try is due. It looks only at the servables concerned.

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
    ) -> None:
        """Starts without servables; see BasicManager for the arguments."""
        self._policy = options.policy
        self._clock = clock
        self._news = news_lib.News(clock)
        self._basic = basic_manager.BasicManager(
            options.manager,
            event_bus=event_bus,
            resource_tracker=resource_tracker,
            clock=clock,
            load_executor=load_executor,
            unload_executor=unload_executor,
            listener=self._news.add_name,
        )
        super().__init__(self._basic.serving_map)
        # All of the thread that manages: the aspired versions of each servable;
        # those that failed for good and were forgotten, which a source may
        # aspire to again and again; servables with something to load, whose
        # turn comes in this order; and those of which something failed for lack
        # of memory.
        self._aspired: dict[str, dict[int, version_steps.Aspired]] = {}
        self._broken: dict[str, dict[int, _Data]] = {}
        self._to_load: dict[str, None] = {}
        self._exhausted: set[str] = set()
        self._num_steps = 0
        self._thread = threading.Thread(target=self._run, name="manage_state")
        if options.starts_thread:
            self._thread.start()

    @override
    def aspired_versions_callback(
        self,
    ) -> source.AspiredVersionsCallback[loader_lib.Loader]:
        """See Target. The callback does not block."""
        return self._set_aspired_versions

    def manage_state_once(self) -> bool:
        """Deals with all news, and returns whether something was done.

        Unloads come before loads. To be called by one thread at a time; the
        thread of the manager does, if there is one.
        """
        num_steps = self._num_steps
        batch = self._news.take()
        names = {**dict.fromkeys(batch.requests), **dict.fromkeys(batch.names)}
        for name in batch.withdrawn:
            # A version that failed is tried anew; one that serves, serves on.
            self._aspire(name, ())
            self._guard(name, self._take_steps)
        for name, versions in batch.requests.items():
            self._aspire(name, versions)
        if batch.has_freed:
            for name in self._exhausted:
                self._retry_at_once(name)
                names[name] = None
            self._exhausted.clear()
        for name in names:
            self._guard(name, self._manage)
        while self._to_load and self._basic.num_free_load_threads > 0:
            # Whose turn it was is last in line if it has more to load.
            name = next(iter(self._to_load))
            del self._to_load[name]
            self._guard(name, self._begin_load)
        return self._num_steps > num_steps

    @override
    def close(self) -> None:
        """See Manager. Calls of sources have no effect from now on."""
        self._news.close()
        if self._thread.ident is not None:
            self._thread.join()
        self._basic.close()

    def _set_aspired_versions(
        self, name: str, versions: Sequence[_Data]
    ) -> None:
        for version in versions:
            if version.id.name != name:
                logging.error(
                    "Aspired versions must be of servable %s; got %s. Dropped "
                    "the whole call",
                    name,
                    version.id,
                )
                return
        self._news.add_request(name, versions)

    def _run(self) -> None:
        """Runs on the thread of the manager."""
        while self._news.wait():
            self.manage_state_once()

    def _guard(self, name: str, manage: Callable[[str], None]) -> None:
        """Keeps an error of one servable, such as a policy's, from others."""
        try:
            manage(name)
        except BaseException:
            logging.exception("Managing servable %s failed; going on", name)
            self._news.add_time(
                self._clock.now() + version_steps.MAX_BACKOFF_SECONDS, name
            )

    def _aspire(self, name: str, versions: Sequence[_Data]) -> None:
        """Records what a source said."""
        before = self._aspired.pop(name, {})
        after = {}
        for data in versions:
            number = data.id.version
            version = before.get(number, version_steps.Aspired(data))
            after[number] = version.report(data)
        if after:
            self._aspired[name] = after
        else:
            self._broken.pop(name, None)

    def _retry_at_once(self, name: str) -> None:
        now = self._clock.now()
        for number, version in self._aspired.get(name, {}).items():
            self._aspired[name][number] = version.hasten(now)

    def _manage(self, name: str) -> None:
        """Does what there is to do about a servable, but for loads."""
        self._take_steps(name)
        self._to_load.pop(name, None)
        while action := self._policy(self._policy_snapshots(name)):
            if action.kind is not _ActionKind.UNLOAD:
                self._to_load[name] = None
                break
            self._basic.unload_servable(action.id)
            self._num_steps += 1

    def _begin_load(self, name: str) -> None:
        """Loads what the policy says now that a thread is free."""
        action = self._policy(self._policy_snapshots(name))
        if action is None:
            return
        number = action.id.version
        aspired = self._aspired.get(name, {})
        if action.kind is _ActionKind.LOAD:
            self._basic.load_servable(action.id)
        elif action.kind is _ActionKind.RELOAD and number in aspired:
            aspired[number] = aspired[number].begin()
            self._basic.reload_servable(aspired[number].data)
        self._num_steps += 1
        self._manage(name)

    def _take_steps(self, name: str) -> None:
        aspired = self._aspired.get(name, {})
        managed = {each.id: each for each in self._basic.snapshots(name)}
        ids = {version.data.id for version in aspired.values()}
        for servable_id in sorted(ids | managed.keys()):
            number = servable_id.version
            snapshot = managed.get(servable_id)
            if number in aspired and snapshot is not None:
                aspired[number] = self._see(aspired[number], snapshot)
            step = version_steps.next_step(
                aspired.get(number), snapshot, self._clock.now()
            )
            if step is _Step.FORGET and snapshot is not None:
                self._remember_broken(snapshot)
            if step is not None:
                self._take_step(step, servable_id)

    def _see(
        self,
        version: version_steps.Aspired,
        snapshot: loader_harness.Snapshot,
    ) -> version_steps.Aspired:
        """Returns a version after a look at what became of it."""
        failed = version_steps.failed_part(snapshot)
        if failed is None:
            is_ready = snapshot.state is loader_harness.State.READY
            return version.succeed() if is_ready else version
        if isinstance(failed.error, errors.ResourceExhaustedError):
            self._exhausted.add(snapshot.id.name)
        return self._fail(version)

    def _fail(self, version: version_steps.Aspired) -> version_steps.Aspired:
        """Returns a version that has failed; plans the next look, once."""
        after = version.fail(self._clock.now())
        if after is not version:
            self._news.add_time(after.due_time, after.data.id.name)
        return after

    def _take_step(self, step: _Step, servable_id: servable.ServableId) -> None:
        self._num_steps += 1
        aspired = self._aspired.get(servable_id.name, {})
        version = aspired.get(servable_id.version)
        if step is _Step.CANCEL:
            self._basic.cancel_load(servable_id)
        elif step is _Step.UNCANCEL:
            self._basic.uncancel_load(servable_id)
        else:
            if step is not _Step.MANAGE:
                self._basic.stop_managing_servable(servable_id)
            if version is not None:
                self._basic.manage_servable(self._unless_broken(version.data))
                version = version.begin()
                if version.data.error is not None:
                    version = self._fail(version)
                aspired[servable_id.version] = version

    def _remember_broken(self, snapshot: loader_harness.Snapshot) -> None:
        """Remembers what would fail again, as its content is known."""
        name = snapshot.id.name
        if (
            snapshot.content is None
            or snapshot.error is None
            or snapshot.is_cancelled
            or version_steps.is_retriable(snapshot.error)
            or name not in self._aspired
        ):
            return
        broken = self._broken.setdefault(name, {})
        broken[snapshot.id.version] = servable.ServableData(
            snapshot.id, None, snapshot.error, content=snapshot.content
        )
        if len(broken) > _MAX_NUM_BROKEN:
            del broken[next(iter(broken))]

    def _unless_broken(self, data: _Data) -> _Data:
        """Returns data to manage: with its error, if it is known to fail."""
        broken = self._broken.get(data.id.name, {}).pop(data.id.version, None)
        if (
            broken is None
            or data.error is not None
            or broken.content != data.content
        ):
            return data
        return broken

    def _policy_snapshots(
        self, name: str
    ) -> list[aspired_version_policy.VersionSnapshot]:
        aspired = self._aspired.get(name, {})
        now = self._clock.now()
        return [
            aspired_version_policy.VersionSnapshot(
                snapshot.id,
                snapshot.state,
                snapshot.id.version in aspired,
                version_steps.is_stale(
                    aspired.get(snapshot.id.version), snapshot, now
                ),
            )
            for snapshot in self._basic.snapshots(name)
        ]
