"""The base of all managers: handles on the servables that are loaded."""

import abc
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from tensorflow_serving.core import servable, servable_handle, serving_map
from tensorflow_serving.util import errors

T = TypeVar("T")
ManagerT = TypeVar("ManagerT", bound="Manager")


class Manager(abc.ABC):
    """Knows which versions are available, and gives handles on them.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(self, available: serving_map.ServingMap) -> None:
        """Takes the versions that are available, now or later.

        Args:
          available: Changed by this manager, or by another one behind it.
        """
        self.serving_map: Final = available

    def __repr__(self) -> str:
        """Returns the versions that are available."""
        ids = ", ".join(map(str, self.list_available_servable_ids()))
        return f"<{type(self).__name__} [{ids}]>"

    def list_available_servable_ids(self) -> Sequence[servable.ServableId]:
        """Returns the versions that get_servable_handle() would find."""
        return self.serving_map.ids()

    def get_servable_handle(
        self, request: servable.ServableRequest, servable_type: type[T]
    ) -> servable_handle.ServableHandle[T]:
        """Returns a handle, which the caller must close. Does not block.

        Args:
          request: Which version.
          servable_type: The class that the servable must be of.

        Raises:
          NotFoundError: The version is not available. Permanent, but for
            versions that are still to come.
          InvalidArgumentError: The servable is of another class. Permanent.
        """
        handle = self.get_untyped_servable_handle(request)
        if isinstance(handle.servable, servable_type):
            return handle  # type: ignore[return-value]
        actual = type(handle.servable).__name__
        handle.close()
        raise errors.InvalidArgumentError(
            f"Servable {request} must be a {servable_type.__name__}; got a "
            f"{actual}"
        )

    def get_untyped_servable_handle(
        self, request: servable.ServableRequest
    ) -> servable_handle.ServableHandle[object]:
        """Returns a handle on a servable of any class.

        Raises:
          NotFoundError: See get_servable_handle().
        """
        return self.serving_map.acquire(request)

    def get_available_servable_handles(
        self, servable_type: type[T]
    ) -> Mapping[servable.ServableId, servable_handle.ServableHandle[T]]:
        """Returns handles on all available servables of a class.

        The caller must close each.
        """
        handles = {}
        for servable_id in self.list_available_servable_ids():
            try:
                handles[servable_id] = self.get_servable_handle(
                    servable.ServableRequest.from_id(servable_id),
                    servable_type,
                )
            except (errors.NotFoundError, errors.InvalidArgumentError):
                continue  # unloaded since, or of another class
        return handles

    @abc.abstractmethod
    def close(self) -> None:
        """Unloads everything; waits for open handles. Idempotent."""

    def __enter__(self: ManagerT) -> ManagerT:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the manager."""
        self.close()
