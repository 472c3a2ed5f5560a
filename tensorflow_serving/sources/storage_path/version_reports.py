"""The report on a servable, from its versions as a look left them.

Functions of values; see tracked_version for what is reported at which stage.
"""

import os
from collections.abc import Iterable, Mapping

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    poll_schedule,
    storage_path_config,
    tracked_version,
    version_folder,
)
from tensorflow_serving.util import errors

_Stage = tracked_version.Stage
_Version = tracked_version.TrackedVersion


def reports(
    name: str, versions: Mapping[int, _Version], *, reloads: bool
) -> tuple[servable.ServableData[str], ...]:
    """Returns the reports on versions of a servable, in ascending order."""
    candidates = (
        report(servable.ServableId(name, number), version, reloads=reloads)
        for number, version in sorted(versions.items())
    )
    return tuple(each for each in candidates if each is not None)


def report(
    servable_id: servable.ServableId, version: _Version, *, reloads: bool
) -> servable.ServableData[str] | None:
    """Returns what to report of a version; None for nothing yet.

    Args:
      servable_id: The version.
      version: What is known of it.
      reloads: Whether other files are to be loaded anew.
    """
    if version.stage is _Stage.WHOLE:
        content = version.content if reloads else None
        return servable.ServableData.ok(servable_id, version.path, content)
    reason = _reason(version, reloads=reloads)
    if reason is None:
        return None
    return servable.ServableData.failed(
        servable_id, errors.UnavailableError(reason)
    )


def _reason(version: _Version, *, reloads: bool) -> str | None:
    """Returns why a version is not reported with its path."""
    if version.stage is _Stage.INCOMPLETE:
        return version.problem
    if version.stage is _Stage.HELD:
        return (
            "version is gone from its base path and serves on until another "
            f"one is whole: {version.path}"
        )
    if version.stage in (_Stage.DAMAGED, _Stage.CHANGING):
        problem = version.problem or (
            "they must stay as they are for "
            f"{tracked_version.SETTLE_SECONDS} s: {version.path}"
        )
        return f"{_change(version, reloads=reloads)}: {problem}"
    if version.is_reported:
        # It was incomplete. To report nothing would take that back.
        return (
            "version must be complete; got one whose files were changing "
            f"until now: {version.path}"
        )
    return None


def _change(version: _Version, *, reloads: bool) -> str:
    if version.outcome is not tracked_version.Outcome.AVAILABLE:
        return "files are changing"
    until = "until the new files are whole" if reloads else "all the same"
    return (
        f"its files were replaced; the version that was loaded serves {until}"
    )


def held(
    seen: Mapping[int, _Version], known: Mapping[int, _Version]
) -> dict[int, _Version]:
    """Returns versions to keep while what comes instead is on its way.

    Without them a version that is replaced by another, by renaming it for
    example, would be gone before the other one is there.

    Args:
      seen: The versions that were looked at.
      known: All versions; those that were not looked at may be gone.
    """
    if any(version.is_good for version in seen.values()) or all(
        version.stage is _Stage.WHOLE for version in seen.values()
    ):
        return {}
    others = {
        number: version.hold()
        for number, version in known.items()
        if number not in seen
    }
    return {
        number: version
        for number, version in others.items()
        if version is not None
    }


def outlook(
    name: str, versions: Mapping[int, _Version]
) -> poll_schedule.Outlook:
    """Returns what another look at the versions of a servable will tell."""

    def ids(*stages: _Stage) -> frozenset[servable.ServableId]:
        return frozenset(
            servable.ServableId(name, number)
            for number, version in versions.items()
            if version.stage in stages
        )

    unsettled = ids(_Stage.UNSETTLED, _Stage.CHANGING)
    return poll_schedule.Outlook(
        unsettled,
        ids(_Stage.INCOMPLETE, _Stage.DAMAGED),
        min(
            (versions[each.version].settle_time for each in unsettled),
            default=None,
        ),
        any(
            version.has_changed and version.stage is not _Stage.WHOLE
            for version in versions.values()
        ),
    )


def warnings(
    monitored: storage_path_config.ServableToMonitor,
    found: version_folder.Versions,
    *,
    has_more_incomplete: bool,
    trusts_inodes: bool,
) -> Iterable[str]:
    """Yields what whoever cares for the base path should know."""
    name, policy = monitored.servable_name, monitored.version_policy
    base_path = monitored.base_path
    if found.duplicates:
        names = ", ".join(
            os.path.basename(path)
            for number in sorted(found.duplicates)
            for path in found.duplicates[number]
        )
        yield (
            f"Versions of servable {name} must have different numbers; "
            f"ignoring {names} in {base_path} while the one with more zeros is "
            "whole"
        )
    if isinstance(policy, storage_path_config.Specific):
        absent = sorted({*policy.versions} - found.paths.keys())
        if absent:
            yield (
                f"Versions {absent} of servable {name} must be there; got no "
                f"folders for them in {base_path}"
            )
        if not policy.versions:
            yield f"Servable {name} should have a version; got a policy without"
    if has_more_incomplete:
        yield (
            f"Servable {name} has more versions that are not complete in "
            f"{base_path}"
        )
    if not trusts_inodes:
        yield (
            "Inodes of files should stay; got others again and again in "
            f"{base_path}, where they are ignored from now on"
        )
