"""Servables: what answers requests; their versions, and what becomes of them.

A servable is anything that is looked up by name and version: a session of a
model, a lookup table. The core knows nothing else about it.
"""

import dataclasses
import enum
from collections.abc import Hashable
from typing import Generic, TypeVar

from tensorflow_serving.util import errors

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, order=True)
class ServableId:
    """A version of a servable. Ids are ordered by name, then by version.

    Raises:
      InvalidArgumentError: The version is below 0.
    """

    name: str
    # A larger one is newer. At least 0.
    version: int

    def __post_init__(self) -> None:
        """Checks the version."""
        errors.require_at_least(0, version=self.version)

    def __str__(self) -> str:
        """Returns what logs and errors show."""
        return f"{{name: {self.name} version: {self.version}}}"


@dataclasses.dataclass(frozen=True)
class ServableData(Generic[T]):
    """A version, and either what is needed to serve it or why it cannot be.

    Make it with ok() or failed().
    """

    id: ServableId
    # A path, a loader, ...; None if there is an error.
    data: T | None = None
    # Why it cannot be served; None if it can.
    error: errors.ServingError | None = None
    # Stands for what the data refer to, such as the state of files below a
    # path. Another token, compared by equality, is other content, for which a
    # manager loads the version anew. None: unknown, never loaded anew.
    content: Hashable | None = dataclasses.field(default=None, kw_only=True)

    @classmethod
    def ok(
        cls,
        servable_id: ServableId,
        data: T,
        content: Hashable | None = None,
    ) -> "ServableData[T]":
        """Returns a version that can be served.

        Raises:
          InvalidArgumentError: The data are None.
        """
        if data is None:
            raise errors.InvalidArgumentError(
                f"data of {servable_id} must be what it is served from; got "
                "None"
            )
        return cls(servable_id, data, content=content)

    @classmethod
    def failed(
        cls, servable_id: ServableId, error: errors.ServingError
    ) -> "ServableData[T]":
        """Returns a version that cannot be served."""
        return cls(servable_id, None, error)

    def data_or_raise(self) -> T:
        """Returns the data.

        Raises:
          ServingError: The error of failed().
        """
        if self.error is not None:
            raise self.error
        assert self.data is not None
        return self.data


class ManagerState(enum.Enum):
    """How far a manager is with a version."""

    START = "start"  # known, not loaded yet
    LOADING = "loading"  # about to be loaded, being loaded, or tried again
    AVAILABLE = "available"  # requests get it
    UNLOADING = "unloading"  # no request gets it
    END = "end"  # gone, or never loaded; see the error


@dataclasses.dataclass(frozen=True)
class ServableState:
    """A state of a version, which its manager publishes."""

    id: ServableId
    manager_state: ManagerState
    # Why it could not be loaded or unloaded, or, if it is AVAILABLE, why its
    # other content could not be loaded; None if all is well.
    error: errors.ServingError | None = None
    # A flaw of one that is AVAILABLE, for people; empty if there is none.
    warning: str = ""

    @property
    def is_available(self) -> bool:
        """Whether the version answers requests."""
        return self.manager_state is ManagerState.AVAILABLE

    @property
    def has_failed(self) -> bool:
        """Whether it ended with an error; it may be tried again."""
        return self.manager_state is ManagerState.END and self.error is not None

    def __str__(self) -> str:
        """Returns what logs show."""
        text = f"{self.id} is {self.manager_state.name}"
        if self.warning:
            text = f"{text} (warning: {self.warning})"
        if self.error is None:
            return text
        return f"{text}: {self.error.code.name}: {self.error}"


@dataclasses.dataclass(frozen=True)
class ServableRequest:
    """Which version a caller wants: a certain one, or the newest."""

    name: str
    # None for the newest that is available.
    version: int | None = None

    @classmethod
    def specific(cls, name: str, version: int) -> "ServableRequest":
        """Asks for a certain version."""
        return cls(name, version)

    @classmethod
    def latest(cls, name: str) -> "ServableRequest":
        """Asks for the newest available version."""
        return cls(name)

    @classmethod
    def from_id(cls, servable_id: ServableId) -> "ServableRequest":
        """Asks for the version with an id."""
        return cls(servable_id.name, servable_id.version)

    def __str__(self) -> str:
        """Returns what logs and errors show."""
        version = "latest" if self.version is None else self.version
        return f"{{name: {self.name} version: {version}}}"
