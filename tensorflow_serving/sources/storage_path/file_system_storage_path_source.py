"""A source that finds versions of servables in the file system.

    config = Config((ServableToMonitor("mnist", "/models/mnist"),))
    with FileSystemStoragePathSource(config, event_bus=bus) as source:
        connect_source_to_target(source, adapter)

/models/mnist holds a folder for each version, with a whole number for a name:
1 or 00000001.
"""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence

from absl import logging
from typing_extensions import override

from tensorflow_serving.core import servable, source
from tensorflow_serving.sources.storage_path import (
    monitored_servable,
    poll_loop,
    poll_schedule,
    stall_guard,
    storage_path_config,
    version_folder,
    version_tracker,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors
from tensorflow_serving.util import event_bus as event_bus_lib

# The names of the configuration, for users of the source.
All = storage_path_config.All
Config = storage_path_config.Config
Latest = storage_path_config.Latest
ServableToMonitor = storage_path_config.ServableToMonitor
Specific = storage_path_config.Specific

# How often to ask whether storage that did not answer does so by now, at most.
_STALLED_SECONDS = 1.0

_Event = event_bus_lib.EventAndTime[servable.ServableState]
_Looked = version_tracker.Decision | errors.ServingError
_StartGuard = stall_guard.StallGuard[str, errors.ServingError | None]
_Guard = stall_guard.StallGuard[monitored_servable.MonitoredServable, _Looked]


class FileSystemStoragePathSource(source.Source[str]):
    """Reports the paths of versions that are whole, and why others are not.

    It calls back at every poll, for each servable on its own; see
    version_tracker for what it reports. Servables whose storage does not answer
    hold up neither others nor close(). A servable whose base path is missing
    or cannot be read is left out, so that nothing of it is unloaded, and the
    others are not concerned. What is new is logged, once.

    A version is reported at the latest one period and
    tracked_version.SETTLE_SECONDS after it became whole.

    With the event bus of the manager it learns which versions fail to load, and
    reports older ones beside them. Without one it takes a version that is whole
    for one that loads.

    The callback is called by one thread at a time. It must not call the source.
    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        config: storage_path_config.Config,
        *,
        event_bus: event_bus_lib.EventBus[servable.ServableState] | None = None,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        stall_clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Does nothing yet: it starts with its callback.

        Args:
          config: What to look after, and how often.
          event_bus: The bus of the manager, if there is one.
          clock: Says when to look.
          stall_clock: Says when a look takes too long.
        """
        self._event_bus = event_bus
        self._clock = clock
        self._guard = _Guard(clock=stall_clock)
        # Looks for versions at the start.
        self._start_guard = _StartGuard(clock=stall_clock)
        self._loop = poll_loop.PollLoop(
            self._poll_due, clock, "file_system_storage_path_source"
        )
        # Held by whoever polls, or changes what is polled; callbacks run with
        # it, so that there is one at a time.
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        # All guarded by _lock.
        self._closed = False
        self._callback: source.AspiredVersionsCallback[str] | None = None
        self._subscription: event_bus_lib.Subscription | None = None
        # Only accessed with _turn held, except for the period, which never
        # changes.
        self._config = config
        self._servables = self._monitor({})
        # Servables whose storage does not answer, which was logged.
        self._stalled: set[str] = set()

    def __repr__(self) -> str:
        """Returns whether it is open, and what it polls."""
        state = "closed" if self._closed else "open"
        return f"<FileSystemStoragePathSource {state}, {[*self._servables]}>"

    @override
    def set_aspired_versions_callback(
        self, callback: source.AspiredVersionsCallback[str]
    ) -> None:
        """See Source. The first poll follows at once, on the thread.

        Raises:
          FailedPreconditionError: It was set before, or the source is closed.
            Permanent.
          InvalidArgumentError: With fail_if_zero_versions_at_startup, there is
            no base path. The callback is not set.
          NotFoundError: The same, but there is no version in it.
          UnavailableError: The same, but it cannot be read, or does not answer.
            Transient.
        """
        with self._turn:
            with self._lock:
                if self._callback is not None or self._closed:
                    raise errors.FailedPreconditionError(
                        "The source already has a callback, or is closed."
                    )
            if self._config.fail_if_zero_versions_at_startup:
                self._require_versions()
            subscription = None
            if self._event_bus is not None:
                subscription = self._event_bus.subscribe(self._record)
            with self._lock:
                self._callback = callback
                self._subscription = subscription
            if self._config.file_system_poll_wait_seconds >= 0:
                self._start_over()

    def poll_once(self) -> Mapping[str, errors.ServingError]:
        """Looks at every servable once and calls back.

        Returns:
          Why a servable could not be polled, by its name.

        Raises:
          FailedPreconditionError: There is no callback. Permanent.
        """
        with self._turn:
            return self._poll(self._servables)

    def update_config(self, config: storage_path_config.Config) -> None:
        """Replaces the servables that the source polls.

        Those that are not in the configuration any longer are reported to have
        no versions before it returns. The others are polled at once.

        Raises:
          InvalidArgumentError: The period is another one. Permanent.
        """
        with self._turn:
            period = self._config.file_system_poll_wait_seconds
            if config.file_system_poll_wait_seconds != period:
                raise errors.InvalidArgumentError(
                    "file_system_poll_wait_seconds must stay the same, "
                    f"{period}; got {config.file_system_poll_wait_seconds}"
                )
            before = self._servables
            self._config = config
            self._servables = self._monitor(before)
            for name in before.keys() - self._servables.keys():
                self._loop.forget(name)
                before[name].log_aspired(())
                self._call_back(name, ())
            for name, monitored in before.items():
                if self._servables.get(name) is not monitored:
                    self._guard.forget(monitored)
                    self._stalled.discard(name)
            with self._lock:
                if self._callback is None or self._closed:
                    return
            if period >= 0:
                self._start_over()
            else:
                self._poll(self._servables)

    def close(self) -> None:
        """Ends the thread. No callback runs afterwards. Idempotent.

        It waits for a callback, and for no storage that does not answer.
        """
        with self._lock:
            self._closed = True
        self._loop.close()
        self._guard.close()
        self._start_guard.close()
        with self._turn:
            pass  # all work that ran has ended, and nothing more is started
        if self._subscription is not None:
            self._subscription.close()
        self._loop.join()

    def _require_versions(self) -> None:
        """Wants a version of each servable; needs the turn."""
        servables = self._config.servables
        looks = self._start_guard.run(
            {
                each.servable_name: functools.partial(_why_no_version, each)
                for each in servables
            }
        )
        for each in servables:
            if each.servable_name not in looks:
                raise _stalled(each)
            error = looks[each.servable_name]
            if error is not None:
                raise error

    def __enter__(self) -> "FileSystemStoragePathSource":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the source."""
        self.close()

    def _record(self, event: _Event) -> None:
        """Takes what the event bus publishes."""
        state = event.event
        monitored = self._servables.get(state.id.name)
        if monitored is None:
            return
        monitored.record(state)
        # An older version may be needed, even if all is known. An error of a
        # version that was reported with one is no news.
        if state.error is None or not monitored.is_aspired(state.id.version):
            return
        if self._config.file_system_poll_wait_seconds >= 0:
            self._loop.hurry(state.id.name)

    def _start_over(self) -> None:
        """Has the thread poll all servables as at first; needs the turn."""
        for monitored in self._servables.values():
            monitored.start_over()
        self._loop.start_over(self._servables)

    def _poll_due(self) -> None:
        """Polls what is due; runs on the thread."""
        with self._turn:
            self._poll(
                {
                    name: self._servables[name]
                    for name in self._loop.take_due()
                    if name in self._servables
                }
            )

    def _poll(
        self, servables: Mapping[str, monitored_servable.MonitoredServable]
    ) -> dict[str, errors.ServingError]:
        """Looks at servables and calls back; needs the turn.

        Returns why some could not be looked at, by their names.
        """
        with self._lock:
            if self._callback is None:
                raise errors.FailedPreconditionError(
                    "The source has no callback; set one before it polls."
                )
        self._loop.clear(servables)
        start = self._clock.now()
        looks = self._guard.run(
            {
                monitored: functools.partial(
                    _look, monitored, self._clock.now, self._config
                )
                for monitored in servables.values()
            }
        )
        problems: dict[str, errors.ServingError] = {}
        for name, monitored in servables.items():
            look = looks.get(monitored)
            self._log_stall(name, is_stalled=look is None)
            if look is None:
                look = _stalled(monitored.settings)
            outlook = poll_schedule.Outlook()
            if isinstance(look, errors.ServingError):
                problems[name] = look
            else:
                outlook = look.outlook
                if look.versions is not None:
                    self._call_back(name, look.versions)
            self._plan(name, start, outlook)
        return problems

    def _plan(
        self, name: str, start: float, outlook: poll_schedule.Outlook
    ) -> None:
        """Says when to look next at what was looked at."""
        if self._config.file_system_poll_wait_seconds < 0:
            return
        monitored = self._servables[name]
        due_time = monitored.schedule.next_poll(start, outlook)
        if self._guard.is_stalled(monitored):
            # With a period of 0 it still has to be looked at once.
            due_time = start + max(
                _STALLED_SECONDS, self._config.file_system_poll_wait_seconds
            )
        if due_time is not None:
            self._loop.poll_by(name, due_time)

    def _log_stall(self, name: str, *, is_stalled: bool) -> None:
        """Logs when the storage of a servable stops to answer, and starts."""
        if is_stalled == (name in self._stalled):
            return
        with self._lock:
            if self._closed:
                return
        if is_stalled:
            self._stalled.add(name)
            logging.warning(
                "Storage of servable %s does not answer; what is served stays, "
                "and nobody waits for it: %s",
                name,
                self._servables[name].settings.base_path,
            )
        else:
            self._stalled.remove(name)
            logging.info("Storage of servable %s answers again", name)

    def _monitor(
        self, before: Mapping[str, monitored_servable.MonitoredServable]
    ) -> dict[str, monitored_servable.MonitoredServable]:
        """Returns the configured servables; keeps what is known of them."""
        period = max(0.0, self._config.file_system_poll_wait_seconds)
        servables = {}
        for settings in self._config.servables:
            monitored = before.get(settings.servable_name)
            # Nothing is to be changed about one that a look still uses.
            if monitored is None or (
                monitored.settings != settings
                and self._guard.is_stalled(monitored)
            ):
                monitored = monitored_servable.MonitoredServable(
                    settings, period
                )
            monitored.settings = settings
            servables[settings.servable_name] = monitored
        return servables

    def _call_back(
        self, name: str, versions: Sequence[servable.ServableData[str]]
    ) -> None:
        """Reports versions; needs the turn."""
        with self._lock:
            callback = None if self._closed else self._callback
        if callback is None:
            return
        try:
            callback(name, versions)
        except Exception:
            logging.exception("Reporting versions of servable %s failed", name)


def _look(
    monitored: monitored_servable.MonitoredServable,
    now: Callable[[], float],
    config: storage_path_config.Config,
) -> _Looked:
    """Returns what to report, or why nothing is."""
    try:
        return monitored.look(now, config)
    except errors.ServingError as error:
        return error


def _stalled(
    settings: storage_path_config.ServableToMonitor,
) -> errors.UnavailableError:
    return errors.UnavailableError(
        f"The storage of servable {settings.servable_name} has not answered "
        f"yet: {settings.base_path}"
    )


def _why_no_version(
    settings: storage_path_config.ServableToMonitor,
) -> errors.ServingError | None:
    """Returns None if there is a version."""
    try:
        found = version_folder.find_versions(settings.base_path)
    except errors.ServingError as error:
        return error
    if found.paths:
        return None
    return errors.NotFoundError(
        f"Servable {settings.servable_name} must have a version; got none in "
        f"{settings.base_path}"
    )
