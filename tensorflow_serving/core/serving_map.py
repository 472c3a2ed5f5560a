"""Which versions are available right now."""

import threading
from collections.abc import Sequence

from tensorflow_serving.core import servable, servable_handle
from tensorflow_serving.util import errors

_Shared = servable_handle.SharedServable


class ServingMap:
    """Finds the version for a request without waiting for any lock of its own.

    Readers see a map that nobody changes; a change replaces the map.

    Thread-safe.
    """

    def __init__(self) -> None:
        """Makes an empty map."""
        self._lock = threading.Lock()
        # By name and version; the newest version comes last. Replaced with
        # _lock held, read without.
        self._versions: dict[str, dict[int, _Shared]] = {}

    def add(self, shared: _Shared) -> None:
        """Makes a version available; there must be none with its id."""
        name, version = shared.id.name, shared.id.version
        with self._lock:
            versions = {**self._versions.get(name, {}), version: shared}
            self._versions = {
                **self._versions,
                name: dict(sorted(versions.items())),
            }

    def replace(self, shared: _Shared) -> _Shared:
        """Makes another object available under its id; returns the old one.

        No request comes in between: it gets the one or the other.
        """
        name, version = shared.id.name, shared.id.version
        with self._lock:
            old = self._versions[name][version]
            # In the order of before.
            self._versions = {
                **self._versions,
                name: {**self._versions[name], version: shared},
            }
        return old

    def remove(self, servable_id: servable.ServableId) -> _Shared:
        """Makes a version unavailable; returns it."""
        with self._lock:
            versions = dict(self._versions[servable_id.name])
            shared = versions.pop(servable_id.version)
            names = {**self._versions, servable_id.name: versions}
            if not versions:
                del names[servable_id.name]
            self._versions = names
        return shared

    def ids(self) -> Sequence[servable.ServableId]:
        """Returns the available versions, sorted."""
        return sorted(
            shared.id
            for versions in self._versions.values()
            for shared in versions.values()
        )

    def acquire(
        self, request: servable.ServableRequest
    ) -> servable_handle.ServableHandle[object]:
        """Returns a new handle.

        Raises:
          NotFoundError: The version is not available.
        """
        while True:
            versions = self._versions.get(request.name, {})
            if request.version is None:
                shared = next(reversed(versions.values()), None)
            else:
                shared = versions.get(request.version)
            if shared is None:
                raise errors.NotFoundError(
                    f"Servable must be available; got a request for {request}"
                )
            handle = shared.acquire()
            if handle is not None:
                return handle
            # It was removed since the map was read.
