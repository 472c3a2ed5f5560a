"""Which versions of a servable to serve, from what was seen of their files."""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping, Set
from typing import Final

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    poll_schedule,
    storage_path_config,
    tracked_version,
    version_check,
    version_folder,
    version_reports,
)
from tensorflow_serving.util import errors

# How many versions that were never whole are reported, the newest ones. Others
# are looked at in turns: at one of so many looks each.
_MAX_INCOMPLETE = 10
_NUM_TURNS = 16
# So often the inodes of a version change alone until they are not trusted: file
# systems in the cloud may make them up at each look.
_MAX_INODE_CHANGES = 3

_Stage = tracked_version.Stage
_Version = tracked_version.TrackedVersion

_NOTHING: Final = storage_path_config.Specific(())


@dataclasses.dataclass(frozen=True)
class Decision:
    """The versions to report of a servable."""

    # In ascending order; the data is the path of a version. None: nothing is
    # reported, so that all stays as it is.
    versions: tuple[servable.ServableData[str], ...] | None
    outlook: poll_schedule.Outlook = poll_schedule.Outlook()
    # Warnings that hold now; repeated on every poll while they do.
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Look:
    """The versions that a look found, by their numbers."""

    # As they are now, without the others below.
    seen: Mapping[int, _Version]
    # Never whole, and beyond the number of those that are reported.
    others: Mapping[int, _Version]
    # Those that vanished while they were looked at.
    gone: frozenset[int]


class VersionTracker:
    """Decides what to report of a servable, look after look.

    A version is reported with data when it is whole: its check passes, and its
    files stayed as they are for SETTLE_SECONDS. Until then it is reported with
    an error that says what is missing; one that was never seen incomplete is
    not reported before. A whole version whose files change, or cannot be read,
    is reported with an error until it is whole again, and then with another
    content token. So a manager loads it once more, and what it loaded before
    serves in the meantime.

    Its memory is a value for each version; see tracked_version for their stages
    and version_reports for the reports. A look that raises an exception changes
    nothing. No file is read but through the functions it is given. Not
    thread-safe.
    """

    def __init__(
        self,
        scan: Callable[
            [str, re.Pattern[str]], version_folder.Contents
        ] = version_folder.scan,
    ) -> None:
        """Takes what looks at a version; see version_folder.scan()."""
        self._scan = scan
        self._versions: Mapping[int, _Version] = {}
        self._has_seen_versions = False
        self._trusts_inodes = True
        self._num_looks = 0

    def lose(self) -> None:
        """Records that the versions were out of sight.

        Loads that fail for that reason are tried again when they are back.
        """
        self._versions = {
            number: version.lose() for number, version in self._versions.items()
        }

    def record(self, state: servable.ServableState) -> None:
        """Records what became of a version in the manager."""
        number = state.id.version
        if number in self._versions:
            after = self._versions[number].record(state)
            self._versions = {**self._versions, number: after}

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
        look = self._look(monitored, found, now)
        present = found.paths.keys() - look.gone
        is_empty = not present or (look.gone and not look.seen)
        if is_empty and monitored.version_policy != _NOTHING:
            return self._decide_without_versions(
                monitored, always_present, found.hint
            )
        name = monitored.servable_name
        known = {**self._versions, **look.others, **look.seen}
        held = version_reports.held(look.seen, known)
        reports = version_reports.reports(
            name, {**look.seen, **held}, reloads=reload_changed_versions
        )
        reported = {report.id.version for report in reports}
        self._remember({**known, **held}, present, reported)
        return Decision(
            reports,
            version_reports.outlook(name, look.seen),
            tuple(
                version_reports.warnings(
                    monitored,
                    found,
                    has_more_incomplete=bool(look.others),
                    trusts_inodes=self._trusts_inodes,
                )
            ),
        )

    def _look(
        self,
        monitored: storage_path_config.ServableToMonitor,
        found: version_folder.Versions,
        now: Callable[[], float],
    ) -> _Look:
        """Looks at as many versions as needed, the newest first."""
        policy = monitored.version_policy
        num_wanted: float = math.inf
        if isinstance(policy, storage_path_config.Latest):
            num_wanted = policy.num_versions
        seen: dict[int, _Version] = {}
        others: dict[int, _Version] = {}
        gone = set()
        num_good = num_incomplete = 0
        for index, number in enumerate(sorted(found.paths, reverse=True)):
            if num_good >= num_wanted:
                break
            if (
                isinstance(policy, storage_path_config.Specific)
                and number not in policy.versions
            ):
                continue
            before = self._versions.get(number, _Version())
            is_full = num_incomplete >= _MAX_INCOMPLETE
            if is_full and self._is_left_out(before, index):
                others[number] = before
                continue
            path = self._whole_path(number, monitored, found)
            version = self._see(before, path, monitored.version_check, now)
            if version is None:
                gone.add(number)
            elif is_full and version.stage is _Stage.INCOMPLETE:
                others[number] = version
            else:
                seen[number] = version
                num_good += version.is_good
                num_incomplete += version.problem is not None
        return _Look(seen, others, frozenset(gone))

    def _is_left_out(self, version: _Version, index: int) -> bool:
        """Whether it is another version's turn, when there are too many."""
        return (
            version.stage is _Stage.INCOMPLETE
            and index % _NUM_TURNS != self._num_looks % _NUM_TURNS
        )

    def _see(
        self,
        before: _Version,
        path: str,
        check: version_check.VersionCheck,
        now: Callable[[], float],
    ) -> _Version | None:
        """Returns a version after a look at it; None if it is gone."""
        contents, problem = None, None
        start = now()
        try:
            contents = self._scan(path, check.parts)
            if not self._trusts_inodes:
                contents = tracked_version.without_inodes(contents)
        except errors.NotFoundError:
            return None
        except errors.UnavailableError as error:
            problem = str(error)
        return before.see(
            tracked_version.Sighting(path, contents, start, now(), problem),
            check,
        )

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

    def _remember(
        self,
        versions: Mapping[int, _Version],
        present: Set[int],
        reported: Set[int],
    ) -> None:
        """Keeps versions that are there or reported until the next look."""
        self._has_seen_versions |= bool(present)
        self._trusts_inodes &= all(
            version.num_inode_changes < _MAX_INODE_CHANGES
            for version in versions.values()
        )
        self._versions = {
            number: version.reported(number in reported)
            for number, version in versions.items()
            if number in present or number in reported
        }

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
        self._versions = {}
        return Decision((), warnings=(text,))
