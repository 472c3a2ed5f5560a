"""A source that finds versions of servables in the file system.

    config = Config((ServableToMonitor("mnist", "/models/mnist"),))
    with FileSystemStoragePathSource(config, event_bus=bus) as source:
        connect_source_to_target(source, adapter)

/models/mnist holds a folder for each version, with a whole number for a name:
1 or 00000001.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from absl import logging

from tensorflow_serving.core import servable, source
from tensorflow_serving.sources.storage_path import (
    monitored_servable,
    poll_schedule,
    storage_path_config,
    tracked_version,
    version_folder,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors
from tensorflow_serving.util import event_bus as event_bus_lib

# What users of the source need beside it.
All = storage_path_config.All
Config = storage_path_config.Config
Latest = storage_path_config.Latest
ServableToMonitor = storage_path_config.ServableToMonitor
Specific = storage_path_config.Specific
SETTLE_SECONDS: Final = tracked_version.SETTLE_SECONDS

_Event = event_bus_lib.EventAndTime[servable.ServableState]


class FileSystemStoragePathSource(source.Source[str]):
    """Reports the paths of versions that are whole, and why others are not.

    It calls back at every poll, for each servable on its own; see
    version_tracker for what it reports. A servable whose base path is missing
    or cannot be read is left out, so that nothing of it is unloaded, and the
    others are not concerned. What is new is logged, once.

    A version is reported at the latest one period and SETTLE_SECONDS after it
    became whole.

    With the event bus of the manager it hears which versions fail to load, and
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
    ) -> None:
        """Does nothing yet: it starts with its callback."""
        self._event_bus = event_bus
        self._clock = clock
        self._schedule = poll_schedule.PollSchedule(
            max(0.0, config.file_system_poll_wait_seconds), SETTLE_SECONDS
        )
        self._lock = threading.Lock()
        # A poll is over. Wakes those who want to poll, or wait for its end.
        self._idle = threading.Condition(self._lock)
        # There is a reason to poll now, or the source is closed. Wakes the
        # thread.
        self._news = threading.Condition(self._lock)
        # All guarded by _lock.
        self._is_polling = False
        self._should_poll = False
        self._closed = False
        self._events: list[servable.ServableState] = []
        self._callback: source.AspiredVersionsCallback[str] | None = None
        self._subscription: event_bus_lib.Subscription | None = None
        self._thread: threading.Thread | None = None
        self._is_running = False
        # For those within _turn() only, but that the period never changes.
        self._config = config
        self._servables = _monitor(config, {})

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
          UnavailableError: The same, but it cannot be read. Transient.
        """
        with self._turn():
            with self._lock:
                if self._callback is not None or self._closed:
                    raise errors.FailedPreconditionError(
                        "callback of a source must be set once, before it is "
                        "closed; got another one"
                    )
            if self._config.fail_if_zero_versions_at_startup:
                for monitored in self._config.servables:
                    _require_version(monitored)
            subscription = None
            if self._event_bus is not None:
                subscription = self._event_bus.subscribe(self._take_note)
            with self._lock:
                self._callback = callback
                self._subscription = subscription
                if self._config.file_system_poll_wait_seconds >= 0:
                    self._poll_soon()

    def poll_once(self) -> Mapping[str, errors.ServingError]:
        """Looks at every servable once and calls back.

        Returns:
          Why a servable could not be polled, by its name.

        Raises:
          FailedPreconditionError: There is no callback. Permanent.
        """
        with self._turn():
            return self._poll().problems

    def update_config(self, config: storage_path_config.Config) -> None:
        """Looks after other servables from now on.

        Those that are not in the configuration any more are reported to have no
        versions before it returns. The others are polled at once.

        Raises:
          InvalidArgumentError: The period is another one. Permanent.
        """
        with self._turn():
            period = self._config.file_system_poll_wait_seconds
            if config.file_system_poll_wait_seconds != period:
                raise errors.InvalidArgumentError(
                    "file_system_poll_wait_seconds must stay the same, "
                    f"{period}; got {config.file_system_poll_wait_seconds}"
                )
            before = self._servables
            self._config = config
            self._servables = _monitor(config, before)
            for name in before.keys() - self._servables.keys():
                before[name].log_aspired(())
                self._call_back(name, ())
            with self._lock:
                if self._callback is None or self._closed:
                    return
                if period >= 0:
                    self._poll_soon()
            if period < 0:
                self._poll()

    def close(self) -> None:
        """Ends the thread. No callback runs any more. Idempotent."""
        with self._lock:
            self._closed = True
            self._news.notify_all()
        with self._turn():
            pass  # what ran has come to its end, and nothing more is started
        if self._subscription is not None:
            self._subscription.close()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> "FileSystemStoragePathSource":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the source."""
        self.close()

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Has what is in it done by one thread at a time, without the lock."""
        with self._lock:
            self._idle.wait_for(lambda: not self._is_polling)
            self._is_polling = True
        try:
            yield
        finally:
            with self._lock:
                self._is_polling = False
                self._idle.notify_all()

    def _take_note(self, event: _Event) -> None:
        """Hears of the event bus."""
        state = event.event
        with self._lock:
            self._events.append(state)
            if state.error is None or self._closed:
                return
            # An older version may be needed, even if all is known.
            if self._is_running:
                self._should_poll = True
                self._news.notify_all()
            elif self._config.file_system_poll_wait_seconds >= 0:
                self._poll_soon()

    def _poll_soon(self) -> None:
        """Has the thread poll, starts it if there is none; needs the lock."""
        self._should_poll = True
        self._schedule.start_over()
        self._news.notify_all()
        if not self._is_running:
            self._is_running = True
            self._thread = threading.Thread(
                target=self._run, name="file_system_storage_path_source"
            )
            self._thread.start()

    def _run(self) -> None:
        """Polls until the source is closed or there is nothing to wait for."""
        due_time: float | None = None
        while self._wait_until_due(due_time):
            with self._turn():
                start = self._clock.now()
                outlook = self._poll().outlook
                with self._lock:
                    due_time = self._schedule.next_poll(start, outlook)
                    if due_time is None and not self._should_poll:
                        self._is_running = False
                        return

    def _wait_until_due(self, due_time: float | None) -> bool:
        """Returns whether to poll, when it is time to."""
        with self._lock:
            while not self._closed and not self._should_poll:
                assert due_time is not None
                if self._clock.now() >= due_time:
                    break
                self._clock.wait_until(self._news, due_time)
            return not self._closed

    def _poll(self) -> "_Polled":
        """Looks at every servable and calls back; within _turn() only."""
        with self._lock:
            if self._callback is None:
                raise errors.FailedPreconditionError(
                    "callback of a source must be set before it polls; got none"
                )
            self._should_poll = False
            events, self._events = self._events, []
        for event in events:
            if event.id.name in self._servables:
                self._servables[event.id.name].record(event)
        problems: dict[str, errors.ServingError] = {}
        outlooks = []
        for name, monitored in self._servables.items():
            with self._lock:
                if self._closed:
                    break
            try:
                decision = monitored.look(self._clock.now, self._config)
            except errors.ServingError as error:
                problems[name] = error
                continue
            outlooks.append(decision.outlook)
            if decision.versions is not None:
                self._call_back(name, decision.versions)
        return _Polled(problems, poll_schedule.merge(outlooks))

    def _call_back(
        self, name: str, versions: Sequence[servable.ServableData[str]]
    ) -> None:
        """Reports versions; within _turn() only."""
        with self._lock:
            callback = None if self._closed else self._callback
        if callback is None:
            return
        try:
            callback(name, versions)
        except Exception:
            logging.exception("Reporting versions of servable %s failed", name)


@dataclasses.dataclass(frozen=True)
class _Polled:
    """What a poll found."""

    # Why a servable could not be polled, by its name.
    problems: Mapping[str, errors.ServingError]
    outlook: poll_schedule.Outlook


def _require_version(monitored: storage_path_config.ServableToMonitor) -> None:
    if not version_folder.find_versions(monitored.base_path).paths:
        raise errors.NotFoundError(
            f"Servable {monitored.servable_name} must have a version; got none "
            f"in {monitored.base_path}"
        )


def _monitor(
    config: storage_path_config.Config,
    before: Mapping[str, monitored_servable.MonitoredServable],
) -> dict[str, monitored_servable.MonitoredServable]:
    """Returns the servables of a configuration; keeps what is known."""
    servables = {}
    for settings in config.servables:
        name = settings.servable_name
        monitored = before.get(name)
        if monitored is None:
            monitored = monitored_servable.MonitoredServable(settings)
        monitored.settings = settings
        servables[name] = monitored
    return servables
