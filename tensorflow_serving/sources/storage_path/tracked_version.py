"""One version of a servable: what was seen of its files, and became of it."""

import dataclasses
import math
from collections.abc import Hashable
from typing import Final

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import version_folder

# How long the files of a version must stay as they are until it counts as
# whole.
SETTLE_SECONDS: Final = 0.25


@dataclasses.dataclass(eq=False)
class TrackedVersion:
    """A version, from look to look. Not thread-safe."""

    path: str
    # None if they could not be read.
    contents: version_folder.Contents | None = None
    # Stands for the contents in reports; see servable.ServableData.
    content: Hashable | None = None
    # Since when path and contents are as they are: when a look at them ended.
    since: float = -math.inf
    # When the last look at them began.
    seen: float = -math.inf
    # Why it is not whole; None if it is.
    problem: str | None = None
    # The last report on it.
    reported: servable.ServableData[str] | None = None
    # Whether it was ever reported with data.
    was_whole: bool = False
    # Its contents when it failed to load; None if it did not.
    failed_contents: version_folder.Contents | None = None
    # Whether a manager serves it.
    is_available: bool = False
    # Whether it was out of sight, and no manager serves it since. A load may
    # have failed for that reason only.
    was_lost: bool = False
    # How often nothing but inodes changed.
    num_inode_changes: int = 0

    def settle_time(self) -> float:
        """When it counts as whole, if it is and stays as it is."""
        return self.since + SETTLE_SECONDS

    def is_settled(self) -> bool:
        """Whether it is whole, and was seen to be so for long enough."""
        return self.problem is None and self.seen >= self.settle_time()

    def is_good(self) -> bool:
        """Whether no older version is needed in its place."""
        if self.is_settled():
            return self.failed_contents is None
        return self.is_available

    def is_hopeless(self) -> bool:
        """Whether it was never whole when somebody looked."""
        return self.problem is not None and not self.was_whole

    def see(self, path: str, contents: version_folder.Contents | None) -> bool:
        """Takes what a look found; returns whether anything is different."""
        has_failed_while_lost = (
            self.was_lost and self.failed_contents is not None
        )
        has_changed = (
            self.since == -math.inf
            or has_failed_while_lost
            or (self.path, self.contents) != (path, contents)
        )
        if has_failed_while_lost:
            self.was_lost = False
            self.failed_contents = None
        if contents is not None and contents != self.failed_contents:
            self.failed_contents = None
        if has_changed:
            self.num_inode_changes += self._have_inodes_changed(contents)
            self.path, self.contents = path, contents
            if contents is not None:
                self.content = frozenset(contents.items())
        return has_changed

    def _have_inodes_changed(
        self, contents: version_folder.Contents | None
    ) -> bool:
        """Whether inodes are others, and nothing else."""
        return (
            self.contents is not None
            and contents is not None
            and self.contents != contents
            and without_inodes(self.contents) == without_inodes(contents)
        )


def without_inodes(
    contents: version_folder.Contents,
) -> version_folder.Contents:
    """Returns the states of files as if all inodes were the same."""
    return {name: state._replace(inode=0) for name, state in contents.items()}
