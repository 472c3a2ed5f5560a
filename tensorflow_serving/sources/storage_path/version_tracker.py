"""Which versions of a servable to serve, from what was seen of their files."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Final

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    poll_schedule,
    storage_path_config,
    version_folder,
)
from tensorflow_serving.util import errors

# How long the files of a version must stay as they are until it counts as
# whole.
SETTLE_SECONDS: Final = 0.25

_Data = servable.ServableData[str]

_NOTHING: Final = storage_path_config.Specific(())


@dataclasses.dataclass(frozen=True)
class Decision:
    """What to report of a servable."""

    # In ascending order; the data is the path of a version. None: nothing is
    # reported, so that all stays as it is.
    versions: tuple[_Data, ...] | None
    outlook: poll_schedule.Outlook = poll_schedule.Outlook()
    # What somebody should know, again and again while it is so.
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(eq=False)
class _Version:
    """What is known of a version."""

    path: str
    # None if they could not be read.
    contents: version_folder.Contents | None = None
    # Since when path and contents are as they are; they were seen then.
    since: float = -math.inf
    # Why it is not whole; None if it is.
    problem: str | None = None
    # What was reported of it, the last time.
    reported: _Data | None = None
    # Whether it was ever reported with data.
    was_whole: bool = False
    # Its contents when it failed to load; None if it did not.
    failed_contents: version_folder.Contents | None = None
    # Whether a manager serves it.
    is_available: bool = False

    def settle_time(self) -> float:
        """When it counts as whole, if it is and stays as it is."""
        return self.since + SETTLE_SECONDS

    def is_settled(self, now: float) -> bool:
        """Whether it is whole, and was seen to be so for long enough."""
        return self.problem is None and now >= self.settle_time()

    def is_good(self, now: float) -> bool:
        """Whether no older version is needed in its place."""
        if self.is_settled(now):
            return self.failed_contents is None
        return self.is_available


class VersionTracker:
    """Decides what to report of a servable, look after look.

    A version is reported with data when it is whole: its check passes, and its
    files stayed as they are for SETTLE_SECONDS. Until then it is reported with
    an error that says what is missing; one that was never seen incomplete is
    not reported before. A whole version whose files change, or cannot be read,
    is reported with an error until it is whole again. So a manager tries once
    more to load it, if it could not, and does nothing about it, if it serves.

    No file is read but through the functions it is given. Not thread-safe.
    """

    def __init__(
        self,
        scan: Callable[
            [str, re.Pattern[str]], version_folder.Contents
        ] = version_folder.scan,
    ) -> None:
        """Takes what looks at a version; see version_folder.scan()."""
        self._scan = scan
        self._versions: dict[int, _Version] = {}
        self._has_seen_versions = False

    def record(self, state: servable.ServableState) -> None:
        """Takes note of what became of a version in the manager."""
        version = self._versions.get(state.id.version)
        if version is None:
            return
        kind = servable.ManagerState
        version.is_available = state.manager_state is kind.AVAILABLE
        if version.is_available:
            version.failed_contents = None
        elif (
            state.manager_state is kind.END
            and state.error is not None
            # Else the error may be the one that was reported.
            and version.reported is not None
            and version.reported.error is None
        ):
            version.failed_contents = version.contents

    def decide(
        self,
        monitored: storage_path_config.ServableToMonitor,
        found: version_folder.Versions,
        now: float,
        *,
        always_present: bool = True,
    ) -> Decision:
        """Looks at versions and says what to report.

        Args:
          monitored: Which servable, and which of its versions.
          found: The versions that are there.
          now: The time, in seconds.
          always_present: Whether to report nothing when all versions vanish.
        """
        look = _Look(self._versions, monitored, now)
        gone = self._look_at_wanted(look, monitored, found)
        present = found.paths.keys() - gone
        is_empty = not present or (gone and not look.num_versions)
        if is_empty and monitored.version_policy != _NOTHING:
            return self._decide_without_versions(
                monitored, always_present, found.hint
            )
        self._has_seen_versions |= bool(present)
        look.hold()
        self._versions = {
            number: version
            for number, version in self._versions.items()
            if number in present or number in look.reports
        }
        for number, version in self._versions.items():
            version.reported = look.reports.get(number)
        return Decision(
            tuple(look.reports[number] for number in sorted(look.reports)),
            look.outlook(),
            tuple(_warnings(monitored, found)),
        )

    def _look_at_wanted(
        self,
        look: "_Look",
        monitored: storage_path_config.ServableToMonitor,
        found: version_folder.Versions,
    ) -> set[int]:
        """Looks at as many versions as needed, the newest first.

        Returns those that are gone.
        """
        policy = monitored.version_policy
        num_wanted: float = math.inf
        if isinstance(policy, storage_path_config.Latest):
            num_wanted = policy.num_versions
        gone = set()
        for number in sorted(found.paths, reverse=True):
            if look.num_good >= num_wanted:
                break
            if (
                isinstance(policy, storage_path_config.Specific)
                and number not in policy.versions
            ):
                continue
            path = found.paths[number]
            try:
                look.add(
                    number,
                    path,
                    self._scan(path, monitored.version_check.parts),
                    None,
                )
            except errors.NotFoundError:
                gone.add(number)
            except errors.UnavailableError as error:
                look.add(number, path, None, str(error))
        return gone

    def _decide_without_versions(
        self,
        monitored: storage_path_config.ServableToMonitor,
        always_present: bool,
        hint: str,
    ) -> Decision:
        text = (
            f"Base path of servable {monitored.servable_name} must hold a "
            f"version; got none: {monitored.base_path}"
        )
        if hint:
            text += f". {hint}"
        if self._has_seen_versions and always_present:
            return Decision(None, warnings=(f"{text}. What is served stays",))
        self._versions.clear()
        return Decision((), warnings=(text,))


class _Look:
    """One look at the versions of a servable."""

    def __init__(
        self,
        versions: dict[int, _Version],
        monitored: storage_path_config.ServableToMonitor,
        now: float,
    ) -> None:
        """Starts with no version looked at; changes versions."""
        self._versions = versions
        self._monitored = monitored
        self._now = now
        self.reports: dict[int, _Data] = {}
        # How many versions were looked at, and how many of them are good.
        self.num_versions = 0
        self.num_good = 0
        self._unsettled: set[int] = set()
        self._incomplete: set[int] = set()
        self._has_changed = False

    def add(
        self,
        number: int,
        path: str,
        contents: version_folder.Contents | None,
        problem: str | None,
    ) -> None:
        """Takes what was found of a version."""
        version = self._versions.get(number)
        if version is None:
            version = self._versions[number] = _Version(path)
        has_changed = version.since == -math.inf or (
            version.path,
            version.contents,
        ) != (path, contents)
        if has_changed:
            version.path, version.contents = path, contents
            version.since = self._now
        if contents is None:
            version.problem = problem
        elif has_changed or version.problem is not None:
            # In case that the check itself is broken and raises something else.
            version.problem = f"version must be checked; got a fault: {path}"
            version.problem = self._check(path, contents)
        if contents is not None and contents != version.failed_contents:
            version.failed_contents = None
        self.num_versions += 1
        self.num_good += version.is_good(self._now)
        if version.problem is not None:
            self._incomplete.add(number)
        elif not version.is_settled(self._now):
            self._unsettled.add(number)
        if not version.is_settled(self._now):
            self._has_changed |= has_changed
        self._report(number, version)

    def hold(self) -> None:
        """Keeps what was reported while what comes instead is on its way.

        Else a version that is replaced by another, by renaming it for example,
        would be gone before the other one is there.
        """
        if self.num_good or not self._unsettled | self._incomplete:
            return
        for number, version in self._versions.items():
            if (
                number not in self.reports
                and version.reported is not None
                and version.was_whole
            ):
                self._report_error(
                    number,
                    "version must be wanted and there; got one that is kept "
                    f"until there is another: {version.path}",
                )

    def outlook(self) -> poll_schedule.Outlook:
        """Returns what another look will know more about."""
        return poll_schedule.Outlook(
            frozenset(map(self._id, self._unsettled)),
            frozenset(map(self._id, self._incomplete)),
            min(
                (
                    self._versions[each].settle_time()
                    for each in self._unsettled
                ),
                default=None,
            ),
            self._has_changed,
        )

    def _check(
        self, path: str, contents: version_folder.Contents
    ) -> str | None:
        try:
            self._monitored.version_check(path, contents)
        except errors.ServingError as error:
            return str(error)
        return None

    def _report(self, number: int, version: _Version) -> None:
        if version.is_settled(self._now):
            version.was_whole = True
            self.reports[number] = servable.ServableData.ok(
                self._id(number), version.path
            )
        elif version.was_whole:
            reason = version.problem or (
                f"they must stay as they are for {SETTLE_SECONDS} s: "
                f"{version.path}"
            )
            self._report_error(number, f"files are changing: {reason}")
        elif version.problem is not None:
            self._report_error(number, version.problem)
        elif version.reported is not None:
            # It was incomplete. To report nothing would take that back.
            self._report_error(
                number,
                "version must be complete; got one whose files were changing "
                f"until now: {version.path}",
            )

    def _report_error(self, number: int, reason: str) -> None:
        self.reports[number] = servable.ServableData.failed(
            self._id(number), errors.UnavailableError(reason)
        )

    def _id(self, number: int) -> servable.ServableId:
        return servable.ServableId(self._monitored.servable_name, number)


def _warnings(
    monitored: storage_path_config.ServableToMonitor,
    found: version_folder.Versions,
) -> list[str]:
    name, policy = monitored.servable_name, monitored.version_policy
    warnings = []
    if found.duplicates:
        warnings.append(
            f"Versions of servable {name} must have different numbers; "
            f"ignoring {', '.join(found.duplicates)} in {monitored.base_path}"
        )
    if isinstance(policy, storage_path_config.Specific):
        absent = sorted({*policy.versions} - found.paths.keys())
        if absent:
            warnings.append(
                f"Versions {absent} of servable {name} must be there; got no "
                f"folders for them in {monitored.base_path}"
            )
        if not policy.versions:
            warnings.append(
                f"Servable {name} should have a version; got a policy without"
            )
    return warnings
