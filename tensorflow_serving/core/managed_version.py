"""One version that a manager has, and which of its events are published.

Values, and functions of values: the manager replaces them with its lock held,
and publishes without it.

    event            of what serves       of content beside it
    MANAGED          START                -
    REFUSED          END, with an error   -
    FORGOTTEN        END                  -
    LOAD_BEGAN       LOADING              nothing
    LOADED           AVAILABLE            AVAILABLE
    LOAD_GIVEN_UP    END                  nothing
    LOAD_FAILED      END, with an error   AVAILABLE, with an error
    UNLOAD_BEGAN     UNLOADING            -
    UNLOADED         END                  nothing
    UNLOAD_FAILED    END, with an error   nothing

Content beside what serves is other content that is being loaded, to take the
place of what serves, and afterwards what had served until then.
"""

import dataclasses
import enum
from collections.abc import Sequence
from typing import Final

from tensorflow_serving.core import loader_harness, servable
from tensorflow_serving.util import errors

_Harness = loader_harness.LoaderHarness
_ManagerState = servable.ManagerState
_State = loader_harness.State


class Event(enum.Enum):
    """Something that a manager does with a version; see the table above."""

    MANAGED = "managed"
    # Managed with an error in place of data.
    REFUSED = "refused"
    # Before any load.
    FORGOTTEN = "forgotten"
    LOAD_BEGAN = "load began"
    LOADED = "loaded"
    LOAD_GIVEN_UP = "load given up"
    LOAD_FAILED = "load failed"
    UNLOAD_BEGAN = "unload began"
    UNLOADED = "unloaded"
    UNLOAD_FAILED = "unload failed"


# Published of what serves, and of content beside it.
_PUBLISHED: Final[dict[Event, tuple[_ManagerState, _ManagerState | None]]] = {
    Event.MANAGED: (_ManagerState.START, None),
    Event.REFUSED: (_ManagerState.END, None),
    Event.FORGOTTEN: (_ManagerState.END, None),
    Event.LOAD_BEGAN: (_ManagerState.LOADING, None),
    Event.LOADED: (_ManagerState.AVAILABLE, _ManagerState.AVAILABLE),
    Event.LOAD_GIVEN_UP: (_ManagerState.END, None),
    # Loaded beside what serves: that is as available as before.
    Event.LOAD_FAILED: (_ManagerState.END, _ManagerState.AVAILABLE),
    Event.UNLOAD_BEGAN: (_ManagerState.UNLOADING, None),
    Event.UNLOADED: (_ManagerState.END, None),
    Event.UNLOAD_FAILED: (_ManagerState.END, None),
}


def published_state(
    event: Event, *, is_beside: bool = False
) -> servable.ManagerState | None:
    """Returns the state that an event is published as; None for nothing.

    Args:
      event: What has happened.
      is_beside: Whether it happened to content beside what serves.
    """
    return _PUBLISHED[event][is_beside]


def failure_of_load(
    error: errors.ServingError,
    loaded: loader_harness.Snapshot,
    replaced: loader_harness.State | None = None,
) -> Event:
    """Returns whether a load was given up or has failed.

    Args:
      error: Why it has ended.
      loaded: What was to be loaded.
      replaced: The state of what served meanwhile, if anything did. Nobody
        cares for other content of what is being unloaded.
    """
    # A loader may raise a CancelledError of its own.
    is_cancelled = (
        isinstance(error, errors.CancelledError) and loaded.is_cancelled
    )
    if is_cancelled or replaced not in (None, _State.READY):
        return Event.LOAD_GIVEN_UP
    return Event.LOAD_FAILED


def require_forgettable(version: loader_harness.Snapshot) -> None:
    """Checks that nothing is loaded that would be forgotten.

    Raises:
      FailedPreconditionError: It is loaded, or on the way there or back.
    """
    state = version.state
    if state is not _State.NEW and state not in loader_harness.FINAL_STATES:
        raise errors.FailedPreconditionError(
            f"{version.id} must not be loaded to be forgotten; got state "
            f"{state.name}"
        )


def require_reloadable(version: loader_harness.Snapshot) -> None:
    """Checks that other content of a version may be loaded.

    Raises:
      FailedPreconditionError: It is not available, or is being loaded anew.
    """
    other = version.replacement
    if version.state is not _State.READY or (
        other is not None and other.state in loader_harness.LOADING_STATES
    ):
        raise errors.FailedPreconditionError(
            f"{version.id} must be READY, and not be loaded anew already, to "
            f"be loaded anew; got {version.state.name}"
        )


@dataclasses.dataclass(frozen=True)
class ManagedVersion:
    """A version, by what was given to the manager to load."""

    # Serves, or is the first that was to.
    harness: _Harness
    # Other content that is to take its place, or has failed to.
    replacement: _Harness | None = None

    @property
    def last_to_load(self) -> _Harness:
        """Whose load is the last that was requested, if any was."""
        return self.replacement or self.harness

    def snapshot(self) -> loader_harness.Snapshot:
        """Returns the states of one moment."""
        if self.replacement is None:
            return self.harness.snapshot()
        return self.harness.snapshot(self.replacement.snapshot())

    def reload(self, replacement: _Harness) -> "ManagedVersion":
        """Returns the version while other content is loaded beside it.

        Raises:
          FailedPreconditionError: See require_reloadable().
        """
        require_reloadable(self.snapshot())
        return ManagedVersion(self.harness, replacement)

    def swap(self) -> "ManagedVersion":
        """Returns the version once its replacement serves."""
        assert self.replacement is not None
        return ManagedVersion(self.replacement)

    def give_up_reload(self) -> "ManagedVersion":
        """Returns the version without other content."""
        return ManagedVersion(self.harness)


class ManagedVersions:
    """The versions of a manager.

    Not thread-safe: the manager has a lock.
    """

    def __init__(self) -> None:
        """Starts without versions."""
        # By name and number.
        self._versions: dict[str, dict[int, ManagedVersion]] = {}

    def has(self, servable_id: servable.ServableId) -> bool:
        """Returns whether there is a version with an id."""
        return servable_id.version in self._versions.get(servable_id.name, {})

    def get(self, servable_id: servable.ServableId) -> ManagedVersion:
        """Returns the version with an id.

        Raises:
          NotFoundError: There is none.
        """
        if not self.has(servable_id):
            raise errors.NotFoundError(
                f"Servable must be managed; {servable_id} is not being managed"
            )
        return self._versions[servable_id.name][servable_id.version]

    def put(self, version: ManagedVersion) -> None:
        """Adds a version, or replaces the one with its id."""
        servable_id = version.harness.id
        versions = self._versions.setdefault(servable_id.name, {})
        versions[servable_id.version] = version

    def forget(self, harness: _Harness) -> None:
        """Removes a version, but not one that has taken its place."""
        servable_id = harness.id
        if self.has(servable_id) and self.get(servable_id).harness is harness:
            versions = self._versions[servable_id.name]
            del versions[servable_id.version]
            if not versions:
                del self._versions[servable_id.name]

    def names(self) -> Sequence[str]:
        """Returns the names of all servables with a version, sorted."""
        return sorted(self._versions)

    def snapshots(self, name: str) -> Sequence[loader_harness.Snapshot]:
        """Returns the states of the versions of a servable, lowest first."""
        versions = self._versions.get(name, {})
        return [version.snapshot() for _, version in sorted(versions.items())]
