"""The configuration of a FileSystemStoragePathSource: where to look, for what.

Users take these names from file_system_storage_path_source.
"""

import collections
import dataclasses

from tensorflow_serving.sources.storage_path import version_check as checks
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class Latest:
    """Serves the newest versions.

    Those are versions that are complete and do not fail to load. Newer ones
    that are or do are reported beside them.

    Raises:
      InvalidArgumentError: The number is below 1.
    """

    num_versions: int = 1

    def __post_init__(self) -> None:
        """Checks the number."""
        errors.require_at_least(1, num_versions=self.num_versions)


@dataclasses.dataclass(frozen=True)
class All:
    """Serves every version that is there."""


@dataclasses.dataclass(frozen=True)
class Specific:
    """Serves certain versions, if they are there. With none, serves nothing.

    Raises:
      InvalidArgumentError: A version is below 0.
    """

    versions: tuple[int, ...]

    def __post_init__(self) -> None:
        """Checks the versions."""
        for version in self.versions:
            errors.require_at_least(0, version=version)


VersionPolicy = Latest | All | Specific


@dataclasses.dataclass(frozen=True)
class ServableToMonitor:
    """A servable, and the folder that its versions are in.

    Raises:
      InvalidArgumentError: A name or path is empty.
    """

    servable_name: str
    # Its folders with a whole number for a name are the versions.
    base_path: str
    # Which of them to serve.
    version_policy: VersionPolicy = Latest()
    # When the files of a version are all there.
    version_check: checks.VersionCheck = checks.tensorflow_model

    def __post_init__(self) -> None:
        """Checks name and path."""
        if not self.servable_name:
            raise errors.InvalidArgumentError(
                'servable_name must be a name, such as "mnist"; got an empty '
                "one"
            )
        if not self.base_path:
            raise errors.InvalidArgumentError(
                f"base_path of servable {self.servable_name} must be a folder, "
                'such as "/models/mnist"; got an empty path'
            )


@dataclasses.dataclass(frozen=True)
class Config:
    """The servables that a FileSystemStoragePathSource polls, and how often.

    Raises:
      InvalidArgumentError: Two servables have the same name.
    """

    servables: tuple[ServableToMonitor, ...]
    # How often it looks, in seconds from start to start. 0: until everything
    # that is there at first is known, and then never again. Below 0: there is
    # no thread; somebody calls poll_once().
    file_system_poll_wait_seconds: float = 1.0
    # Whether it is an error if a servable has no version at the start.
    fail_if_zero_versions_at_startup: bool = False
    # Whether a base path that becomes empty is taken for storage that is lost,
    # and what is served stays; else everything is unloaded.
    servable_versions_always_present: bool = True
    # Whether a version whose files are replaced is loaded anew when the new
    # ones are whole; else what was loaded serves until it is unloaded.
    reload_changed_versions: bool = True

    def __post_init__(self) -> None:
        """Checks the names."""
        counts = collections.Counter(
            each.servable_name for each in self.servables
        )
        for name, count in counts.items():
            if count > 1:
                raise errors.InvalidArgumentError(
                    f"servable_name must be unique; got {name} {count} times"
                )
