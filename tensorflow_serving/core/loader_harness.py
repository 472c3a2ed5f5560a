"""A loader harness: the life of one version, step by step.

NEW -> LOAD_REQUESTED -> LOAD_APPROVED -> LOADING -> READY
    -> UNLOAD_REQUESTED -> QUIESCING -> QUIESCED -> UNLOADING -> DISABLED

or ERROR, from any of them; or from LOADING back to LOAD_REQUESTED, if it is
tried again.
"""

import dataclasses
import enum
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from absl import logging

from tensorflow_serving.core import loader as loader_lib
from tensorflow_serving.core import servable
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.util import bugs, errors

T = TypeVar("T")


class State(enum.Enum):
    """Where a version is in its life."""

    NEW = "new"  # nothing was done yet
    LOAD_REQUESTED = "load requested"  # waits for a thread, memory, a retry
    LOAD_APPROVED = "load approved"  # there are resources for it
    LOADING = "loading"
    READY = "ready"  # its servable can be used
    UNLOAD_REQUESTED = "unload requested"  # somebody wants it gone
    QUIESCING = "quiescing"  # no new handles; waits for the old ones
    QUIESCED = "quiesced"  # no handles
    UNLOADING = "unloading"
    DISABLED = "disabled"  # unloaded
    ERROR = "error"  # could not be loaded or unloaded


# A load was asked for, and has not ended.
LOADING_STATES = frozenset(
    {State.LOAD_REQUESTED, State.LOAD_APPROVED, State.LOADING}
)
# Nothing comes after them.
FINAL_STATES = frozenset({State.DISABLED, State.ERROR})


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a LoaderHarness.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How often a load is tried again after a transient error.
    max_num_load_retries: int = 0

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            0, max_num_load_retries=self.max_num_load_retries
        )


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A version at some moment."""

    id: servable.ServableId
    state: State
    # Why the state is ERROR; None if it is not.
    error: errors.ServingError | None = None
    # The token of the data that it is loaded from; see ServableData.
    content: Hashable | None = None
    # Whether its load was cancelled, and the servable never became ready.
    is_cancelled: bool = False
    # The load that is to take its place, with other content, under way or
    # failed; None if there is none.
    replacement: "Snapshot | None" = None


def _nothing() -> None:
    pass


class LoaderHarness:
    """Keeps the state of a version, and calls its loader in the right order.

    Each method checks that the version is in the state that comes before, so
    that of several callers the first one succeeds and the others get
    FAILED_PRECONDITION. Whatever the loader raises, an exit included, becomes
    an error of util/errors.py here; if it is a bug, its stack is logged.

    Thread-safe.
    """

    def __init__(
        self,
        data: servable.ServableData[loader_lib.Loader],
        options: Options = Options(),
    ) -> None:
        """Starts as NEW, or with the error of the data as ERROR."""
        self.id = data.id
        self._loader = data.data
        self._content = data.content
        self._options = options
        self._lock = threading.Lock()
        # All guarded by _lock.
        self._state = State.NEW
        self._error: errors.ServingError | None = None
        self._num_retries = 0
        self._is_cancelled = False
        # Whether a cancelled load was given up: it is too late to go on.
        self._is_given_up = False
        if data.error is not None:
            self.fail(data.error)

    def __str__(self) -> str:
        """Returns the id."""
        return str(self.id)

    @property
    def state(self) -> State:
        """The state at this moment."""
        with self._lock:
            return self._state

    @property
    def num_retries(self) -> int:
        """How often a load that failed was to be tried again."""
        with self._lock:
            return self._num_retries

    @property
    def error(self) -> errors.ServingError | None:
        """Why the state is ERROR; None if it is not."""
        with self._lock:
            return self._error

    def snapshot(self, replacement: Snapshot | None = None) -> Snapshot:
        """Returns everything of one moment, with another one beside it."""
        with self._lock:
            return Snapshot(
                self.id,
                self._state,
                self._error,
                self._content,
                self._is_cancelled or self._is_given_up,
                replacement,
            )

    def estimate_resources(self) -> resource_tracker.ResourceAllocation:
        """Returns what the loader estimates.

        Raises:
          ServingError: The loader cannot make an estimate.
        """
        assert self._loader is not None
        return self._call("estimating", self._loader.estimate_resources)

    # Any: what it is, only its users know.
    def servable(self) -> Any:
        """Returns the servable that is loaded.

        Raises:
          ServingError: The loader does not have it.
        """
        assert self._loader is not None
        return self._call("loading", self._loader.servable)

    def warning(self) -> str:
        """Returns a flaw of the servable that is loaded; empty for none.

        Raises:
          ServingError: The loader does not have it.
        """
        assert self._loader is not None
        return self._call("loading", self._loader.warning)

    def load_requested(self) -> None:
        """Records that the version is wanted.

        Raises:
          FailedPreconditionError: It is not NEW.
        """
        self._transition(State.NEW, State.LOAD_REQUESTED)

    def load_approved(self) -> None:
        """Records that there are resources for it.

        Raises:
          FailedPreconditionError: It is not LOAD_REQUESTED.
          CancelledError: The load was cancelled.
        """
        self.require_wanted()
        self._transition(State.LOAD_REQUESTED, State.LOAD_APPROVED)

    def load(self, before_ready: Callable[[], None] = _nothing) -> None:
        """Tries to load; ends as READY.

        After an error the state is still LOADING: ask should_retry(), or call
        fail(). A servable that was loaded is unloaded before the error is
        raised.

        Args:
          before_ready: Called once the servable is loaded and wanted, before
            the state says so.

        Raises:
          FailedPreconditionError: It is not LOAD_APPROVED.
          CancelledError: The load was cancelled before the servable was ready.
          ServingError: It could not be loaded, or what before_ready raised.
        """
        self._transition(State.LOAD_APPROVED, State.LOADING)
        self.require_wanted()
        assert self._loader is not None
        self._call("loading", self._loader.load)
        try:
            self.require_wanted()
            self._call("loading", before_ready)
        except errors.ServingError:
            self._unload_quietly()
            raise
        self._transition(State.LOADING, State.READY)

    def should_retry(self, error: errors.ServingError) -> bool:
        """Returns whether a load that failed is to be tried again.

        If so, the version is LOAD_REQUESTED once more: the caller has it loaded
        after a while.
        """
        with self._lock:
            if (
                self._is_cancelled
                or not errors.is_transient(error)
                or self._num_retries >= self._options.max_num_load_retries
            ):
                return False
            self._num_retries += 1
            self._state = State.LOAD_REQUESTED
        return True

    def require_wanted(self) -> None:
        """Gives a load up for good if it was cancelled.

        Raises:
          CancelledError: It was.
        """
        with self._lock:
            if not self._is_cancelled:
                return
            self._is_given_up = True
        raise errors.CancelledError(
            "loading was given up, as it is no longer wanted"
        )

    def cancel_load(self) -> None:
        """Has a load given up: before it begins, or as soon as it has ended.

        Its servable never becomes ready. No effect on one that is ready.
        """
        with self._lock:
            self._is_cancelled = True

    def uncancel_load(self) -> None:
        """Has a load go on, unless it was given up already."""
        with self._lock:
            self._is_cancelled = False

    def unload_requested(self) -> None:
        """Records that the version is no longer wanted.

        Raises:
          FailedPreconditionError: It is not READY.
        """
        self._transition(State.READY, State.UNLOAD_REQUESTED)

    def start_quiescing(self) -> None:
        """Records that no further handles are given out.

        Raises:
          FailedPreconditionError: It is not UNLOAD_REQUESTED.
        """
        self._transition(State.UNLOAD_REQUESTED, State.QUIESCING)

    def done_quiescing(self) -> None:
        """Records that all handles are closed.

        Raises:
          FailedPreconditionError: It is not QUIESCING.
        """
        self._transition(State.QUIESCING, State.QUIESCED)

    def unload(self) -> None:
        """Unloads. After an error the state is UNLOADING: call fail().

        Raises:
          FailedPreconditionError: It is not QUIESCED.
          ServingError: The loader failed, and may not have freed all.
        """
        self._transition(State.QUIESCED, State.UNLOADING)
        assert self._loader is not None
        self._call("unloading", self._loader.unload)
        self._transition(State.UNLOADING, State.DISABLED)

    def fail(self, error: errors.ServingError) -> None:
        """Ends as ERROR; not for a version that is loaded, or is loading."""
        with self._lock:
            self._state = State.ERROR
            # A copy, as it is kept.
            self._error = errors.copy_of(error)

    def _unload_quietly(self) -> None:
        """Frees a servable that never became ready."""
        assert self._loader is not None
        try:
            self._call("unloading", self._loader.unload)
        except errors.ServingError as error:
            logging.warning("Unloading %s failed: %s", self.id, error)

    def _call(self, what: str, function: Callable[[], T]) -> T:
        """Returns what somebody else's function returns."""
        try:
            return function()
        except errors.ServingError:
            raise
        except BaseException as error:
            internal = bugs.as_serving_error(f"{what} {self.id}", error)
        raise internal

    def _transition(self, before: State, after: State) -> None:
        with self._lock:
            if self._state is not before:
                raise errors.FailedPreconditionError(
                    f"{self.id} must be {before.name} to become {after.name}; "
                    f"got {self._state.name}"
                )
            self._state = after
