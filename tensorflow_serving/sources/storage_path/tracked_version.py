"""One version of a servable: what was seen of its files, and became of it.

Values: a look at the files, or an event of the manager, returns another one.

    stage        the files of the version              it is reported with
    UNSEEN       were not looked at                    nothing
    INCOMPLETE   fail the check, or cannot be read     an error
    UNSETTLED    pass it, but may still be changing    nothing; an error, if
                                                       it was INCOMPLETE
    WHOLE        pass it, and stayed as they are       its path
    DAMAGED      were whole, and fail the check now    an error
    CHANGING     were whole, and are others that pass  an error
    HELD         were whole, and are gone or unwanted  an error

An error keeps what was loaded, so that it serves until the version, or in the
case of HELD another one, is whole.
"""

import dataclasses
import enum
import math
from collections.abc import Callable, Hashable
from typing import Final

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import version_folder
from tensorflow_serving.util import errors

# How long the files of a version must stay as they are until it counts as
# whole.
SETTLE_SECONDS: Final = 0.25


class Stage(enum.Enum):
    """The stages of a version; see the table above."""

    UNSEEN = "unseen"
    INCOMPLETE = "incomplete"
    UNSETTLED = "unsettled"
    WHOLE = "whole"
    DAMAGED = "damaged"
    CHANGING = "changing"
    HELD = "held"


_WERE_WHOLE: Final = frozenset(
    {Stage.WHOLE, Stage.DAMAGED, Stage.CHANGING, Stage.HELD}
)


class Outcome(enum.Enum):
    """The last thing that a manager made of a version."""

    # Nothing yet, or it was unloaded.
    NONE = "none"
    AVAILABLE = "available"
    # It could not be loaded from the content that it has.
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class Sighting:
    """The result of a look at the files of a version."""

    path: str
    # None if they could not be read.
    contents: version_folder.Contents | None
    # When the look began and ended.
    start: float
    end: float
    # Why they could not be read.
    problem: str | None = None


@dataclasses.dataclass(frozen=True)
class TrackedVersion:
    """A version, as the last look left it."""

    stage: Stage = Stage.UNSEEN
    path: str = ""
    # None if they could not be read.
    contents: version_folder.Contents | None = None
    # Stands for the contents in reports; see servable.ServableData. Stays while
    # they cannot be read.
    content: Hashable | None = None
    # Why it is not whole; None if its check passes.
    problem: str | None = None
    # Since when path and contents are as they are: when a look at them ended.
    since: float = -math.inf
    # Whether the last look found anything different.
    has_changed: bool = False
    # Whether the last report had the version, with its path or an error.
    is_reported: bool = False
    outcome: Outcome = Outcome.NONE
    # Whether it was out of sight, and no manager serves it since. A load may
    # have failed for that reason only.
    was_lost: bool = False
    # How often nothing but inodes changed.
    num_inode_changes: int = 0

    @property
    def is_good(self) -> bool:
        """Whether no older version is needed in its place."""
        if self.stage is Stage.WHOLE:
            return self.outcome is not Outcome.FAILED
        return self.outcome is Outcome.AVAILABLE

    @property
    def settle_time(self) -> float:
        """When it counts as whole, if its check passes and it stays."""
        return self.since + SETTLE_SECONDS

    def see(
        self,
        sighting: Sighting,
        check: Callable[[str, version_folder.Contents], None],
    ) -> "TrackedVersion":
        """Returns the version after a look at its files.

        Args:
          sighting: What the look found.
          check: Raises a ServingError if a version is not whole.
        """
        contents = sighting.contents
        # A load may have failed only because the files were out of sight: then
        # they count as others, once.
        is_retry = self.was_lost and self.outcome is Outcome.FAILED
        has_changed = (
            self.stage is Stage.UNSEEN
            or is_retry
            or (self.path, self.contents) != (sighting.path, contents)
        )
        content, problem = self.content, sighting.problem
        if contents is not None and has_changed:
            content = frozenset(contents.items())
        if contents is not None and (has_changed or self.problem is not None):
            problem = _problem(check, sighting.path, contents)
        is_other = is_retry or content != self.content
        since = sighting.end if has_changed else self.since
        return dataclasses.replace(
            self._forgive() if is_other else self,
            stage=next_stage(
                self.stage,
                passes=problem is None,
                is_settled=sighting.start >= since + SETTLE_SECONDS,
            ),
            path=sighting.path,
            contents=contents,
            content=content,
            problem=problem,
            since=since,
            has_changed=has_changed,
            was_lost=self.was_lost and not is_retry,
            num_inode_changes=self.num_inode_changes
            + _have_inodes_changed(self.contents, contents),
        )

    def _forgive(self) -> "TrackedVersion":
        """Returns the version without a failure: its files are others."""
        if self.outcome is not Outcome.FAILED:
            return self
        return dataclasses.replace(self, outcome=Outcome.NONE)

    def record(self, state: servable.ServableState) -> "TrackedVersion":
        """Returns the version after an event of the manager."""
        kind = state.manager_state
        if kind is servable.ManagerState.AVAILABLE:
            return dataclasses.replace(
                self, outcome=Outcome.AVAILABLE, was_lost=False
            )
        if (
            kind is servable.ManagerState.END
            and state.error is not None
            # Else the error may be the one that was reported.
            and self.is_reported
            and self.stage is Stage.WHOLE
        ):
            return dataclasses.replace(self, outcome=Outcome.FAILED)
        if self.outcome is Outcome.AVAILABLE:
            return dataclasses.replace(self, outcome=Outcome.NONE)
        return self

    def reported(self, is_reported: bool) -> "TrackedVersion":
        """Returns the version after a report with or without it."""
        return dataclasses.replace(self, is_reported=is_reported)

    def lose(self) -> "TrackedVersion":
        """Returns the version after it was out of sight."""
        return dataclasses.replace(
            self, was_lost=self.outcome is not Outcome.AVAILABLE
        )

    def hold(self) -> "TrackedVersion | None":
        """Returns the version as one that is kept, or None if it is not.

        It is if it is reported and was whole: something may be loaded.
        """
        if self.is_reported and self.stage in _WERE_WHOLE:
            return dataclasses.replace(self, stage=Stage.HELD)
        return None


def next_stage(stage: Stage, *, passes: bool, is_settled: bool) -> Stage:
    """Returns the stage after a look.

    Args:
      stage: The one before.
      passes: Whether the files pass the check.
      is_settled: Whether they stayed as they are for long enough.
    """
    was_whole = stage in _WERE_WHOLE
    if not passes:
        return Stage.DAMAGED if was_whole else Stage.INCOMPLETE
    if is_settled:
        return Stage.WHOLE
    return Stage.CHANGING if was_whole else Stage.UNSETTLED


def _problem(
    check: Callable[[str, version_folder.Contents], None],
    path: str,
    contents: version_folder.Contents,
) -> str | None:
    try:
        check(path, contents)
    except errors.ServingError as error:
        return str(error)
    return None


def without_inodes(
    contents: version_folder.Contents,
) -> version_folder.Contents:
    """Returns the states of files as if all inodes were the same."""
    return {name: state._replace(inode=0) for name, state in contents.items()}


def _have_inodes_changed(
    before: version_folder.Contents | None,
    after: version_folder.Contents | None,
) -> bool:
    """Whether inodes are others, and nothing else."""
    return (
        before is not None
        and after is not None
        and before != after
        and without_inodes(before) == without_inodes(after)
    )
