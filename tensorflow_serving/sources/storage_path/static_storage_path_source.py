"""A source of one version that never changes."""

import threading

from typing_extensions import override

from tensorflow_serving.core import servable, source
from tensorflow_serving.util import errors


class StaticStoragePathSource(source.Source[str]):
    """Says once, at the start, that a version should be served.

    For tests and for servers of one fixed version. The folder is not looked at.

    Thread-safe.
    """

    def __init__(self, servable_name: str, version: int, path: str) -> None:
        """Takes the version, and the path of its folder.

        Raises:
          InvalidArgumentError: The version is below 0.
        """
        self._id = servable.ServableId(servable_name, version)
        self._path = path
        self._lock = threading.Lock()
        self._has_callback = False  # guarded by _lock

    @override
    def set_aspired_versions_callback(
        self, callback: source.AspiredVersionsCallback[str]
    ) -> None:
        """See Source. Calls back before it returns."""
        with self._lock:
            if self._has_callback:
                raise errors.FailedPreconditionError(
                    "The source already has a callback."
                )
            self._has_callback = True
        callback(
            self._id.name, [servable.ServableData.ok(self._id, self._path)]
        )
