"""Which version of a servable to load or unload next.

A policy is a function of what is known of all versions of one servable. It is
asked again after each of its actions, so that it decides one step at a time.
"""

import dataclasses
import enum
from collections.abc import Callable, Sequence
from typing import Final

from tensorflow_serving.core import loader_harness, servable

_State = loader_harness.State

_UNLOADING_STATES: Final = frozenset(
    {
        _State.UNLOAD_REQUESTED,
        _State.QUIESCING,
        _State.QUIESCED,
        _State.UNLOADING,
    }
)


@dataclasses.dataclass(frozen=True)
class VersionSnapshot:
    """A version as a policy sees it."""

    id: servable.ServableId
    state: loader_harness.State
    # Whether the source wants it to be served.
    is_aspired: bool
    # Whether it is READY, aspired, and the source has other content for it.
    is_stale: bool = False


class ActionKind(enum.Enum):
    """The kinds of actions."""

    LOAD = "load"
    UNLOAD = "unload"
    # Load the other content of a stale version beside it; that then takes its
    # place.
    RELOAD = "reload"


@dataclasses.dataclass(frozen=True)
class Action:
    """A load or an unload to begin next."""

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
    version. Else loads the highest version that is aspired and new, or stale:
    what serves it is unloaded once its other content is loaded.
    """
    aspired = [version for version in versions if version.is_aspired]
    unwanted = _unwanted(versions)
    if unwanted and (
        not aspired
        or any(each.state is _State.READY for each in aspired)
        or len(unwanted) > 1
    ):
        return _unload_lowest(unwanted)
    return _load_highest(aspired)


def resource_preserving_policy(
    versions: Sequence[VersionSnapshot],
) -> Action | None:
    """Unloads the old version first, and loads the new one when it is gone.

    There is never a version in memory that is not wanted; for a while there is
    none that serves. A stale version is not wanted: it is unloaded, and then
    new.
    """
    unwanted = _unwanted(versions)
    unwanted += [version for version in versions if version.is_stale]
    if unwanted:
        return _unload_lowest(unwanted)
    if any(
        version.state in _UNLOADING_STATES
        or (
            not version.is_aspired
            and version.state in loader_harness.LOADING_STATES
        )
        for version in versions
    ):
        return None
    return _load_highest([each for each in versions if each.is_aspired])


def _unwanted(versions: Sequence[VersionSnapshot]) -> list[VersionSnapshot]:
    """Returns the versions that serve and should not."""
    return [
        version
        for version in versions
        if not version.is_aspired and version.state is _State.READY
    ]


def _unload_lowest(unwanted: Sequence[VersionSnapshot]) -> Action:
    return Action(ActionKind.UNLOAD, min(each.id for each in unwanted))


def _load_highest(aspired: Sequence[VersionSnapshot]) -> Action | None:
    wanted = [
        version
        for version in aspired
        if version.is_stale or version.state is _State.NEW
    ]
    if not wanted:
        return None
    highest = max(wanted, key=lambda version: version.id)
    kind = ActionKind.RELOAD if highest.is_stale else ActionKind.LOAD
    return Action(kind, highest.id)
