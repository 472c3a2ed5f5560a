"""Which version of a servable to load or unload next.

A policy is a function of what is known of all versions of one servable. It is
asked again after each of its actions, so that it decides one step at a time.
"""

import dataclasses
import enum
from collections.abc import Callable, Sequence

from tensorflow_serving.core import loader_harness, servable


@dataclasses.dataclass(frozen=True)
class VersionSnapshot:
    """What a policy knows of a version."""

    id: servable.ServableId
    state: loader_harness.State
    # Whether the source wants it to be served.
    is_aspired: bool


class ActionKind(enum.Enum):
    """What can be done."""

    LOAD = "load"
    UNLOAD = "unload"


@dataclasses.dataclass(frozen=True)
class Action:
    """What to do next."""

    kind: ActionKind
    id: servable.ServableId


# Takes all versions of one servable; returns None if there is nothing to do.
AspiredVersionPolicy = Callable[[Sequence[VersionSnapshot]], Action | None]


def availability_preserving_policy(
    versions: Sequence[VersionSnapshot],
) -> Action | None:
    """Loads the new version first, and unloads the old one when it is there.

    There is always a version that serves; for a while there are two in memory.

    Unloads the lowest version that is ready and not aspired, if nothing is
    aspired, or an aspired version is ready, or there is more than one such
    version. Else loads the highest new version that is aspired.
    """
    aspired = [version for version in versions if version.is_aspired]
    unwanted = _unwanted(versions)
    if unwanted and (
        not aspired
        or any(each.state is loader_harness.State.READY for each in aspired)
        or len(unwanted) > 1
    ):
        return _unload_lowest(unwanted)
    return _load_highest(aspired)


def resource_preserving_policy(
    versions: Sequence[VersionSnapshot],
) -> Action | None:
    """Unloads the old version first, and loads the new one when it is gone.

    There is never a version in memory that is not wanted; for a while there is
    none that serves.
    """
    unwanted = _unwanted(versions)
    if unwanted:
        return _unload_lowest(unwanted)
    if any(
        not version.is_aspired
        and version.state not in loader_harness.FINAL_STATES
        and version.state is not loader_harness.State.NEW
        for version in versions
    ):
        return None
    return _load_highest([each for each in versions if each.is_aspired])


def _unwanted(versions: Sequence[VersionSnapshot]) -> list[VersionSnapshot]:
    """Returns the versions that serve and should not."""
    return [
        version
        for version in versions
        if not version.is_aspired
        and version.state is loader_harness.State.READY
    ]


def _unload_lowest(unwanted: Sequence[VersionSnapshot]) -> Action:
    return Action(ActionKind.UNLOAD, min(each.id for each in unwanted))


def _load_highest(aspired: Sequence[VersionSnapshot]) -> Action | None:
    new = [
        version.id
        for version in aspired
        if version.state is loader_harness.State.NEW
    ]
    return Action(ActionKind.LOAD, max(new)) if new else None
