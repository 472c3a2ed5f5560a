"""Loaders: how one version gets into memory, and out of it again."""

import abc
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from typing_extensions import override

from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.util import errors

ServableT = TypeVar("ServableT")


class Loader(abc.ABC):
    """Loads and unloads one version; made anew for each.

    A manager calls, from threads of its own and one after the other,
    estimate_resources(), load(), again and again if that fails and is worth
    another try, and at the end, if load() succeeded, unload(). If the version
    is wanted once more after that, all of it begins again.
    """

    @abc.abstractmethod
    def estimate_resources(self) -> resource_tracker.ResourceAllocation:
        """Returns what the servable will take at the most.

        May be called again once it is loaded, and be smaller then.

        Raises:
          ServingError: The estimate is not possible; then the version is not
          loaded.
        """

    @abc.abstractmethod
    def load(self) -> None:
        """Loads the servable, to the point where it can answer quickly.

        On an error everything is as before.

        Raises:
          ServingError: The servable cannot be loaded. If the error is transient
            (see errors.is_transient), it is tried again.
        """

    @abc.abstractmethod
    def unload(self) -> None:
        """Frees the servable. Called once nobody uses it."""

    @abc.abstractmethod
    def servable(self) -> Any:
        """Returns the servable between load() and unload()."""

    def warning(self) -> str:
        """Returns a flaw that the loaded servable has, for its state.

        Empty if there is none: a servable that should not answer is one that
        could not be loaded.
        """
        return ""


def no_warning(servable: object) -> str:
    """Returns an empty text."""
    return ""


class SimpleLoader(Loader, Generic[ServableT]):
    """Makes a loader of functions.

    Not thread-safe: see Loader.
    """

    def __init__(
        self,
        create: Callable[[], ServableT],
        estimate_ram_bytes: Callable[[], int],
        close: Callable[[ServableT], None] | None = None,
        warning: Callable[[ServableT], str] = no_warning,
    ) -> None:
        """Takes the functions.

        Args:
          create: Loads; returns the servable.
          estimate_ram_bytes: What the servable will take; called once.
          close: Frees the servable; None if forgetting it is enough.
          warning: Returns a flaw of the servable; see Loader.
        """
        self._create = create
        self._estimate_ram_bytes = estimate_ram_bytes
        self._close = close
        self._warning = warning
        self._estimate: resource_tracker.ResourceAllocation | None = None
        self._servable: ServableT | None = None

    @override
    def estimate_resources(self) -> resource_tracker.ResourceAllocation:
        if self._estimate is None:
            self._estimate = resource_tracker.ResourceAllocation(
                self._estimate_ram_bytes()
            )
        return self._estimate

    @override
    def load(self) -> None:
        servable = self._create()
        if servable is None:
            raise errors.InternalError("a servable must be created; got None")
        self._servable = servable

    @override
    def unload(self) -> None:
        servable, self._servable = self._servable, None
        if servable is not None and self._close is not None:
            self._close(servable)

    @override
    def servable(self) -> ServableT:
        assert self._servable is not None, "the servable must be loaded"
        return self._servable

    @override
    def warning(self) -> str:
        return self._warning(self.servable())
