"""One servable of a source: its base path, and what was logged of it."""

import collections
from collections.abc import Callable, Iterable

from absl import logging

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    poll_schedule,
    storage_path_config,
    tracked_version,
    version_folder,
    version_tracker,
)
from tensorflow_serving.util import errors


class MonitoredServable:
    """Looks at the versions of a servable, and logs what is new.

    Not thread-safe but for record(): a look may be on another thread than what
    else is done, if not two looks run at a time.
    """

    def __init__(
        self,
        settings: storage_path_config.ServableToMonitor,
        period_seconds: float = 0.0,
    ) -> None:
        """Takes which servable it is, and how often to look at it."""
        # May be replaced by others of the same name.
        self.settings = settings
        self.schedule = poll_schedule.PollSchedule(
            period_seconds, tracked_version.SETTLE_SECONDS
        )
        self._events: collections.deque[servable.ServableState] = (
            collections.deque()
        )
        # With a period of 0: the versions of the first look.
        self._known: frozenset[int] | None = None
        self._tracker = version_tracker.VersionTracker()
        # The problem that was logged last and still persists.
        self._problem: str | None = None
        self._warnings: frozenset[str] = frozenset()
        self._aspired: list[int] | None = None

    def record(self, state: servable.ServableState) -> None:
        """Records what became of a version in the manager.

        Any thread may do so; it counts from the next look on.
        """
        self._events.append(state)

    def is_aspired(self, version: int) -> bool:
        """Whether the last look had a version reported with its path."""
        return version in (self._aspired or ())

    def start_over(self) -> None:
        """Has the next look be as if it were the first one."""
        self.schedule.start_over()
        self._known = None

    def look(
        self, now: Callable[[], float], config: storage_path_config.Config
    ) -> version_tracker.Decision:
        """Returns what to report.

        Args:
          now: Returns the time, in seconds.
          config: Says what to do about versions that vanish or change.

        Raises:
          ServingError: The versions cannot be found; INTERNAL for an exception
          that is not one of util/errors.py, such as one of a version check.
        """
        while self._events:
            self._tracker.record(self._events.popleft())
        try:
            decision = self._tracker.decide(
                self.settings,
                self._find_versions(config),
                now,
                always_present=config.servable_versions_always_present,
                reload_changed_versions=config.reload_changed_versions,
            )
        except Exception as caught:
            self._tracker.lose()
            error = self._as_serving_error(caught)
            self._log_problem(str(error))
            raise error from None
        self._log_problem(None)
        self._log_warnings(decision)
        if decision.versions is not None:
            self.log_aspired(
                each.id.version
                for each in decision.versions
                if each.error is None
            )
        return decision

    def log_aspired(self, versions: Iterable[int]) -> None:
        """Sets which versions should be served, if that has changed."""
        aspired = list(versions)
        if aspired != self._aspired:
            self._aspired = aspired
            logging.info(
                "Aspiring versions %s of servable %s",
                aspired,
                self.settings.servable_name,
            )

    def _find_versions(
        self, config: storage_path_config.Config
    ) -> version_folder.Versions:
        if self.settings.version_policy == storage_path_config.Specific(()):
            # Nothing is to be served, whether the base path is there or not.
            return version_folder.Versions({})
        found = version_folder.find_versions(self.settings.base_path)
        if config.file_system_poll_wait_seconds:
            return found
        if self._known is None:
            self._known = frozenset(found.paths)
        return found._replace(
            paths={
                number: path
                for number, path in found.paths.items()
                if number in self._known
            }
        )

    def _as_serving_error(self, error: Exception) -> errors.ServingError:
        if isinstance(error, errors.ServingError):
            return error
        text = f"looking for versions failed with a {type(error).__name__}"
        if self._problem != text:
            logging.error("%s", text, exc_info=error)
        return errors.InternalError(text)

    def _log_problem(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        name = self.settings.servable_name
        if problem is None:
            logging.info("Versions of servable %s are found again", name)
        else:
            logging.warning(
                "Versions of servable %s stay as they are: %s", name, problem
            )

    def _log_warnings(self, decision: version_tracker.Decision) -> None:
        warnings = {
            *decision.warnings,
            *(
                f"Servable {each.id} is not ready: {each.error}"
                for each in decision.versions or ()
                if each.error is not None
            ),
        }
        for warning in sorted(warnings - self._warnings):
            logging.warning("%s", warning)
        self._warnings = frozenset(warnings)
