"""Which versions of a servable to serve, from what was seen of their files."""

import dataclasses
import math
import os
import re
from collections.abc import Callable
from typing import Final

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    poll_schedule,
    storage_path_config,
    tracked_version,
    version_folder,
)
from tensorflow_serving.util import errors

# How many versions that were never whole are reported, the newest ones. Others
# are looked at in turns: at one of so many looks each.
_MAX_INCOMPLETE = 10
_NUM_TURNS = 16
# So often the inodes of a version change alone until they are not trusted: file
# systems in the cloud may make them up at each look.
_MAX_INODE_CHANGES = 3

_Data = servable.ServableData[str]

_NOTHING: Final = storage_path_config.Specific(())


@dataclasses.dataclass(frozen=True)
class Decision:
    """The versions to report of a servable."""

    # In ascending order; the data is the path of a version. None: nothing is
    # reported, so that all stays as it is.
    versions: tuple[_Data, ...] | None
    outlook: poll_schedule.Outlook = poll_schedule.Outlook()
    # Warnings that hold now; repeated on every poll while they do.
    warnings: tuple[str, ...] = ()


class VersionTracker:
    """Decides what to report of a servable, look after look.

    A version is reported with data when it is whole: its check passes, and its
    files stayed as they are for SETTLE_SECONDS. Until then it is reported with
    an error that says what is missing; one that was never seen incomplete is
    not reported before. A whole version whose files change, or cannot be read,
    is reported with an error until it is whole again, and then with another
    content token. So a manager loads it once more, and meanwhile what it loaded
    serves.

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
        self._versions: dict[int, tracked_version.TrackedVersion] = {}
        self._has_seen_versions = False
        self._trusts_inodes = True
        self._num_looks = 0

    def lose(self) -> None:
        """Records that the versions were out of sight.

        Loads that fail for that reason are tried again when they are back.
        """
        for version in self._versions.values():
            version.was_lost = not version.is_available

    def record(self, state: servable.ServableState) -> None:
        """Records what became of a version in the manager."""
        version = self._versions.get(state.id.version)
        if version is None:
            return
        kind = servable.ManagerState
        version.is_available = state.manager_state is kind.AVAILABLE
        if version.is_available:
            version.failed_contents = None
            version.was_lost = False
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
        now: Callable[[], float],
        *,
        always_present: bool = True,
        reload_changed_versions: bool = True,
    ) -> Decision:
        """Looks at versions and returns what to report.

        Args:
          monitored: Which servable, and which of its versions.
          found: The versions that are there.
          now: Returns the time, in seconds.
          always_present: Whether to report nothing when all versions vanish.
          reload_changed_versions: Whether reports say which content it is.
        """
        self._num_looks += 1
        look = _Look(self._versions, monitored, reloads=reload_changed_versions)
        gone = self._look_at_wanted(look, monitored, found, now)
        present = found.paths.keys() - gone
        is_empty = not present or (gone and not look.num_versions)
        if is_empty and monitored.version_policy != _NOTHING:
            return self._decide_without_versions(
                monitored, always_present, found.hint
            )
        self._has_seen_versions |= bool(present)
        self._trusts_inodes &= all(
            version.num_inode_changes < _MAX_INODE_CHANGES
            for version in self._versions.values()
        )
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
            tuple(self._warnings(look, monitored, found)),
        )

    def _look_at_wanted(
        self,
        look: "_Look",
        monitored: storage_path_config.ServableToMonitor,
        found: version_folder.Versions,
        now: Callable[[], float],
    ) -> set[int]:
        """Looks at as many versions as needed, the newest first.

        Returns those that are gone.
        """
        policy = monitored.version_policy
        num_wanted: float = math.inf
        if isinstance(policy, storage_path_config.Latest):
            num_wanted = policy.num_versions
        gone = set()
        for index, number in enumerate(sorted(found.paths, reverse=True)):
            if look.num_good >= num_wanted:
                break
            if (
                isinstance(policy, storage_path_config.Specific)
                and number not in policy.versions
            ):
                continue
            if look.is_full and self._is_left_out(number, index):
                look.has_more_incomplete = True
                continue
            path = self._whole_path(number, monitored, found)
            start = now()
            contents, problem = None, None
            try:
                contents = self._scan(path, monitored.version_check.parts)
                if not self._trusts_inodes:
                    contents = tracked_version.without_inodes(contents)
            except errors.NotFoundError:
                gone.add(number)
                continue
            except errors.UnavailableError as error:
                problem = str(error)
            look.add(number, _Seen(path, contents, problem, start, now()))
        return gone

    def _whole_path(
        self,
        number: int,
        monitored: storage_path_config.ServableToMonitor,
        found: version_folder.Versions,
    ) -> str:
        """Returns the first whole one of the folders with a number."""
        path = found.paths[number]
        others = found.duplicates.get(number, ())
        for candidate in [path, *others] if others else ():
            try:
                contents = self._scan(candidate, monitored.version_check.parts)
                monitored.version_check(candidate, contents)
            except (errors.NotFoundError, errors.UnavailableError):
                continue
            return candidate
        return path

    def _is_left_out(self, number: int, index: int) -> bool:
        """Whether it is another version's turn, when there are too many."""
        version = self._versions.get(number)
        return (
            version is not None
            and version.is_hopeless()
            and index % _NUM_TURNS != self._num_looks % _NUM_TURNS
        )

    def _warnings(
        self,
        look: "_Look",
        monitored: storage_path_config.ServableToMonitor,
        found: version_folder.Versions,
    ) -> list[str]:
        warnings = _warnings(monitored, found)
        if look.has_more_incomplete:
            warnings.append(
                f"Servable {monitored.servable_name} has more versions that "
                f"are not complete in {monitored.base_path}"
            )
        if not self._trusts_inodes:
            warnings.append(
                "Inodes of files should stay; got others again and again in "
                f"{monitored.base_path}, where they are ignored from now on"
            )
        return warnings

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
            self.lose()
            return Decision(None, warnings=(f"{text}. What is served stays",))
        self._versions.clear()
        return Decision((), warnings=(text,))


@dataclasses.dataclass(frozen=True)
class _Seen:
    """The result of a look at one version, with its beginning and end."""

    path: str
    contents: version_folder.Contents | None
    # Why there are no contents.
    problem: str | None
    start: float
    end: float


class _Look:
    """One look at the versions of a servable."""

    def __init__(
        self,
        versions: dict[int, tracked_version.TrackedVersion],
        monitored: storage_path_config.ServableToMonitor,
        *,
        reloads: bool,
    ) -> None:
        """Starts with no version looked at; changes versions."""
        self._versions = versions
        self._monitored = monitored
        self._reloads = reloads
        self.reports: dict[int, _Data] = {}
        # How many versions were looked at, and how many of them are good.
        self.num_versions = 0
        self.num_good = 0
        self._unsettled: set[int] = set()
        self._incomplete: set[int] = set()
        self._has_changed = False
        # Whether some of those that are not whole are not reported.
        self.has_more_incomplete = False

    @property
    def is_full(self) -> bool:
        """Whether enough versions that are not whole were looked at."""
        return len(self._incomplete) >= _MAX_INCOMPLETE

    def add(self, number: int, seen: _Seen) -> None:
        """Takes what was found of a version."""
        version = self._versions.get(number)
        if version is None:
            version = self._versions[number] = tracked_version.TrackedVersion(
                seen.path
            )
        has_changed = version.see(seen.path, seen.contents)
        version.seen = seen.start
        if has_changed:
            version.since = seen.end
        if seen.contents is None:
            version.problem = seen.problem
        elif has_changed or version.problem is not None:
            # In case that the check itself is broken and raises something else.
            version.problem = (
                f"version must be checked; got a fault: {seen.path}"
            )
            version.problem = self._check(seen.path, seen.contents)
        self.num_versions += 1
        self.num_good += version.is_good()
        if version.is_hopeless() and self.is_full:
            self.has_more_incomplete = True
            return
        if version.problem is not None:
            self._incomplete.add(number)
        elif not version.is_settled():
            self._unsettled.add(number)
        if not version.is_settled():
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
                    "version is gone from its base path and serves on "
                    f"until another one is whole: {version.path}",
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

    def _report(
        self, number: int, version: tracked_version.TrackedVersion
    ) -> None:
        if version.is_settled():
            version.was_whole = True
            self.reports[number] = servable.ServableData.ok(
                self._id(number),
                version.path,
                version.content if self._reloads else None,
            )
        elif version.was_whole:
            reason = version.problem or (
                "they must stay as they are for "
                f"{tracked_version.SETTLE_SECONDS} s: {version.path}"
            )
            self._report_error(number, f"{self._change(version)}: {reason}")
        elif version.problem is not None:
            self._report_error(number, version.problem)
        elif version.reported is not None:
            # It was incomplete. To report nothing would take that back.
            self._report_error(
                number,
                "version must be complete; got one whose files were changing "
                f"until now: {version.path}",
            )

    def _change(self, version: tracked_version.TrackedVersion) -> str:
        if not version.is_available:
            return "files are changing"
        until = (
            "until the new files are whole" if self._reloads else "all the same"
        )
        return (
            "its files were replaced; the version that was loaded serves "
            f"{until}"
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
        names = ", ".join(
            os.path.basename(path)
            for number in sorted(found.duplicates)
            for path in found.duplicates[number]
        )
        warnings.append(
            f"Versions of servable {name} must have different numbers; "
            f"ignoring {names} in {monitored.base_path} while the one with "
            "more zeros is whole"
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
