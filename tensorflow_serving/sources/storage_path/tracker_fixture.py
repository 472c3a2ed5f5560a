"""A VersionTracker for tests, and files that are but sizes."""

import re
from collections.abc import Mapping

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import (
    storage_path_config,
    version_check,
    version_folder,
    version_tracker,
)
from tensorflow_serving.util import errors

_LATEST = storage_path_config.Latest()


def _require_even(path: str, contents: version_folder.Contents) -> None:
    """Takes versions for whole that have an even size."""
    if contents["file"].size_bytes % 2:
        raise errors.UnavailableError("version must be complete; got half")


# Takes an even size for whole.
CHECK = version_check.VersionCheck(_require_even)


class TrackerFixture:
    """A tracker, and files that are sizes.

    An even size is whole, an odd one half; -1 cannot be read, -2 is gone.
    """

    def __init__(self) -> None:
        self._sizes: Mapping[str, int] = {}
        self.inode = 0
        self.num_scans = 0
        self._tracker = version_tracker.VersionTracker(self._scan)
        self.decision = version_tracker.Decision(None)

    def look(
        self,
        now: float,
        sizes: Mapping[int, int],
        policy: storage_path_config.VersionPolicy = _LATEST,
        *,
        always_present: bool = True,
        **options: bool,
    ) -> str:
        """Returns the versions that are reported; "!" after an error."""
        paths = {version: f"/base/{version}" for version in sizes}
        self._sizes = {paths[each]: sizes[each] for each in sizes}
        self.decision = self._tracker.decide(
            storage_path_config.ServableToMonitor(
                "name", "/base", policy, CHECK
            ),
            version_folder.Versions(paths),
            lambda: now,
            always_present=always_present,
            **options,
        )
        if self.decision.versions is None:
            return "nothing"
        for data in self.decision.versions:
            if data.error is None:
                assert data.data == f"/base/{data.id.version}"
        return " ".join(
            f"{data.id.version}{'!' if data.error else ''}"
            for data in self.decision.versions
        )

    def reason(self, version: int) -> str:
        """Returns why a version was reported with an error."""
        for data in self.decision.versions or ():
            if data.id.version == version:
                assert isinstance(data.error, errors.UnavailableError)
                return str(data.error)
        raise AssertionError("the version must be reported")

    def publish(
        self,
        version: int,
        state: servable.ManagerState,
        error: errors.ServingError | None = None,
    ) -> None:
        """Publishes what became of a version."""
        self._tracker.record(
            servable.ServableState(
                servable.ServableId("name", version), state, error
            )
        )

    def fail(self, version: int) -> None:
        """Publishes that a version could not be loaded."""
        self.publish(
            version, servable.ManagerState.END, errors.DataLossError("broken")
        )

    def _scan(
        self, path: str, parts: re.Pattern[str]
    ) -> version_folder.Contents:
        self.num_scans += 1
        size = self._sizes[path]
        if size == -1:
            raise errors.UnavailableError("files must be readable; got smoke")
        if size == -2:
            raise errors.NotFoundError("gone")
        return {"file": version_folder.FileState(size, 0, self.inode)}
