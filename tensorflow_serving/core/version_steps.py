"""The next step of a version, from its wanted and its actual state.

Functions of values: the manager collects these, and does what comes out.

    what there is    wanted            not wanted, or wanted with other content
    nothing          MANAGE            -
    NEW              -                 FORGET, or MANAGE_ANEW
    being loaded     UNCANCEL          CANCEL
    READY            the policy says   the policy says; see is_stale()
    being unloaded   -                 -
    ERROR            MANAGE_ANEW, if   FORGET, or MANAGE_ANEW
                     worth a try

A version whose load was cancelled because its files changed meanwhile ends as
ERROR, and is then managed anew. So a mixture of old and new is never available.
"""

import dataclasses
import enum
from collections.abc import Hashable
from typing import Final

from tensorflow_serving.core import loader, loader_harness, servable
from tensorflow_serving.util import errors

_State = loader_harness.State

# How long a version that failed waits for another try by itself, at first and
# at most; each time twice as long as before.
FIRST_BACKOFF_SECONDS: Final = 5.0
MAX_BACKOFF_SECONDS: Final = 300.0
# How long a source that reports one reason after the other has to wait until
# the next one is published.
SECONDS_BETWEEN_REASONS: Final = 1.0


class Step(enum.Enum):
    """A step that the manager can take for a version."""

    MANAGE = "manage"
    FORGET = "forget"
    # Forget, and manage with the data that are aspired.
    MANAGE_ANEW = "manage anew"
    CANCEL = "cancel"
    UNCANCEL = "uncancel"


@dataclasses.dataclass(frozen=True)
class Aspired:
    """A version that a source aspires to: a value that each event replaces."""

    # The last report.
    data: servable.ServableData[loader.Loader]
    # Whether it reported an error since the manager got data to load: the files
    # were not what they are now.
    has_changed: bool = False
    # When another try or another reason is due, after the version has failed.
    due_time: float = 0.0
    # How often it failed since its content is what it is.
    num_failures: int = 0
    # Whether it failed since the manager got data to load.
    has_failed: bool = False

    def report(self, data: servable.ServableData[loader.Loader]) -> "Aspired":
        """Returns the version after its source reported it again."""
        if data.error is not None:
            return dataclasses.replace(self, data=data, has_changed=True)
        if data.content != self.data.content:
            return dataclasses.replace(self, data=data, num_failures=0)
        return dataclasses.replace(self, data=data)

    def begin(self) -> "Aspired":
        """Returns the version after the manager got its data to load."""
        return dataclasses.replace(
            self, has_changed=self.data.error is not None, has_failed=False
        )

    def fail(self, now: float) -> "Aspired":
        """Returns the version after it failed; a failure counts once."""
        if self.has_failed:
            return self
        if self.data.error is not None:
            return dataclasses.replace(
                self, has_failed=True, due_time=now + SECONDS_BETWEEN_REASONS
            )
        num_failures = self.num_failures + 1
        return dataclasses.replace(
            self,
            has_failed=True,
            due_time=now + backoff_seconds(num_failures),
            num_failures=num_failures,
        )

    def succeed(self) -> "Aspired":
        """Returns the version after it became available."""
        return dataclasses.replace(self, num_failures=0)

    def hasten(self, now: float) -> "Aspired":
        """Returns the version with another try due at once."""
        return dataclasses.replace(self, due_time=min(self.due_time, now))


def backoff_seconds(num_failures: int) -> float:
    """Returns how long to wait after so many failures, at least one."""
    # Twice as long as the limit is more than enough.
    doublings = min(num_failures - 1, 20)
    return min(FIRST_BACKOFF_SECONDS * 2.0**doublings, MAX_BACKOFF_SECONDS)


def next_step(
    aspired: Aspired | None,
    managed: loader_harness.Snapshot | None,
    now: float,
) -> Step | None:
    """Returns what to do; None for nothing, or for what the policy decides.

    Args:
      aspired: None if no source wants the version.
      managed: None if the manager does not know it.
      now: The time.
    """
    if managed is None:
        return None if aspired is None else Step.MANAGE
    loading = managed.replacement or managed
    if loading.state in loader_harness.LOADING_STATES:
        is_wanted = aspired is not None and _is_content_of(aspired, loading)
        if is_wanted is not loading.is_cancelled:
            return None
        return Step.UNCANCEL if is_wanted else Step.CANCEL
    if managed.state not in (_State.NEW, _State.ERROR):
        return None
    if aspired is None:
        return Step.FORGET
    if managed.state is _State.NEW:
        is_wanted = _is_content_of(aspired, managed)
        return None if is_wanted else Step.MANAGE_ANEW
    is_due = _is_worth_a_try(aspired, managed, now)
    return Step.MANAGE_ANEW if is_due else None


def is_stale(
    aspired: Aspired | None, managed: loader_harness.Snapshot, now: float
) -> bool:
    """Returns whether to load other content of a version that is available."""
    if (
        aspired is None
        or managed.state is not _State.READY
        or aspired.data.error is not None
        or not _differ(aspired.data.content, managed.content)
    ):
        return False
    replacement = managed.replacement
    if replacement is None:
        return True
    return replacement.state is _State.ERROR and _is_worth_a_try(
        aspired, replacement, now
    )


def failed_part(
    managed: loader_harness.Snapshot,
) -> loader_harness.Snapshot | None:
    """Returns what of a version has failed: itself, its other content, None."""
    part = managed.replacement or managed
    return part if part.state is _State.ERROR else None


def is_retriable(error: errors.ServingError) -> bool:
    """Returns whether a version with an error may load later as it is."""
    return errors.is_transient(error) or isinstance(error, errors.NotFoundError)


def _is_worth_a_try(
    aspired: Aspired, failed: loader_harness.Snapshot, now: float
) -> bool:
    """Returns whether to begin anew with a version that has failed."""
    assert failed.error is not None
    data = aspired.data
    if data.error is not None:
        is_news = (data.error.code, str(data.error)) != (
            failed.error.code,
            str(failed.error),
        )
        return is_news and now >= aspired.due_time
    if failed.is_cancelled:
        return True
    if data.content is not None and failed.content is not None:
        if data.content != failed.content:
            return True
    elif aspired.has_changed:
        return True
    return is_retriable(failed.error) and now >= aspired.due_time


def _is_content_of(aspired: Aspired, managed: loader_harness.Snapshot) -> bool:
    """Returns whether what is being loaded is what is aspired."""
    return (
        aspired.data.error is None
        and not aspired.has_changed
        and not _differ(aspired.data.content, managed.content)
    )


def _differ(one: Hashable | None, other: Hashable | None) -> bool:
    """Returns whether both are known and not the same."""
    return one is not None and other is not None and one != other
