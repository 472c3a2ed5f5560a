"""A loader harness: the life of one version, step by step.

NEW -> LOAD_REQUESTED -> LOAD_APPROVED -> LOADING -> READY
    -> UNLOAD_REQUESTED -> QUIESCING -> QUIESCED -> UNLOADING -> DISABLED

or ERROR, from any of them.
"""

import dataclasses
import enum
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from absl import logging

from tensorflow_serving.core import loader as loader_lib
from tensorflow_serving.core import servable
from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

T = TypeVar("T")


class State(enum.Enum):
    """Where a version is in its life."""

    NEW = "new"  # nothing was done yet
    LOAD_REQUESTED = "load requested"  # somebody wants it loaded
    LOAD_APPROVED = "load approved"  # there are resources for it
    LOADING = "loading"
    READY = "ready"  # its servable can be used
    UNLOAD_REQUESTED = "unload requested"  # somebody wants it gone
    QUIESCING = "quiescing"  # no new handles; waits for the old ones
    QUIESCED = "quiesced"  # no handles
    UNLOADING = "unloading"
    DISABLED = "disabled"  # unloaded
    ERROR = "error"  # could not be loaded or unloaded


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
    # How long it waits before it is tried again.
    load_retry_interval_micros: int = 0

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            0,
            max_num_load_retries=self.max_num_load_retries,
            load_retry_interval_micros=self.load_retry_interval_micros,
        )


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A version at some moment."""

    id: servable.ServableId
    state: State
    # Why the state is ERROR; None if it is not.
    error: errors.ServingError | None


def _nothing() -> None:
    pass


class LoaderHarness:
    """Keeps the state of a version, and calls its loader in the right order.

    Each method checks that the version is in the state that comes before, so
    that of several callers the first one succeeds and the others get
    FAILED_PRECONDITION.

    Thread-safe.
    """

    def __init__(
        self,
        servable_id: servable.ServableId,
        loader: loader_lib.Loader | None,
        options: Options = Options(),
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Starts as NEW.

        Args:
          servable_id: Which version.
          loader: How it is loaded; None for one that fails before that.
          options: See Options.
          clock: Decides when a load is tried again.
        """
        self.id = servable_id
        self._loader = loader
        self._options = options
        self._clock = clock
        self._lock = threading.Lock()
        # Retries were cancelled. Wakes load().
        self._cancelled = threading.Condition(self._lock)
        # All guarded by _lock.
        self._state = State.NEW
        self._error: errors.ServingError | None = None
        self._is_retry_cancelled = False

    @property
    def state(self) -> State:
        """The state at this moment."""
        with self._lock:
            return self._state

    @property
    def error(self) -> errors.ServingError | None:
        """Why the state is ERROR; None if it is not."""
        with self._lock:
            return self._error

    def snapshot(self) -> Snapshot:
        """Returns state and error of one moment."""
        with self._lock:
            return Snapshot(self.id, self._state, self._error)

    def estimate_resources(self) -> resource_tracker.ResourceAllocation:
        """Returns what the loader estimates.

        Raises:
          ServingError: It cannot tell. INTERNAL for an exception that is none
            of util/errors.py.
        """
        assert self._loader is not None
        try:
            return self._loader.estimate_resources()
        except Exception as error:
            raise _as_serving_error("estimating", self.id, error) from None

    # Any: what it is, only its users know.
    def servable(self) -> Any:
        """Returns the servable that is loaded."""
        assert self._loader is not None
        return self._loader.servable()

    def load_requested(self) -> None:
        """Takes note that the version is wanted.

        Raises:
          FailedPreconditionError: It is not NEW.
        """
        self._transition(State.NEW, State.LOAD_REQUESTED)

    def load_approved(self) -> None:
        """Takes note that there are resources for it.

        Raises:
          FailedPreconditionError: It is not LOAD_REQUESTED.
        """
        self._transition(State.LOAD_REQUESTED, State.LOAD_APPROVED)

    def load(self, before_ready: Callable[[], None] = _nothing) -> None:
        """Loads; ends as READY, or as ERROR with what is raised.

        After a transient error it is tried again, unless retries are cancelled.

        Args:
          before_ready: Called once the servable is loaded, before the state
            says so; must not raise.

        Raises:
          FailedPreconditionError: It is not LOAD_APPROVED.
          ServingError: It could not be loaded. INTERNAL for an exception that
            is none of util/errors.py.
        """
        self._transition(State.LOAD_APPROVED, State.LOADING)
        try:
            self.with_retries(self._load)
        except errors.ServingError as error:
            self.fail(error)
            raise
        before_ready()
        self._transition(State.LOADING, State.READY)

    def with_retries(self, step: Callable[[], T]) -> T:
        """Returns what a step of loading returns.

        After a transient error it is tried again, unless retries are cancelled.

        Raises:
          ServingError: What the step raised.
        """
        for num_retries in range(1, self._options.max_num_load_retries + 1):
            try:
                return step()
            except errors.ServingError as error:
                if not errors.is_transient(error):
                    raise
                reason = str(error)
            logging.warning(
                "Loading %s failed: %s. Retry %d of %d follows in %g s",
                self.id,
                reason,
                num_retries,
                self._options.max_num_load_retries,
                self._options.load_retry_interval_micros / 1e6,
            )
            if not self._wait_for_retry():
                raise errors.CancelledError(
                    f"loading was given up, as it is no more wanted: {reason}"
                )
        return step()

    def cancel_load_retry(self) -> None:
        """Tries no more to load, beyond a try that runs."""
        with self._lock:
            self._is_retry_cancelled = True
            self._cancelled.notify_all()

    def unload_requested(self) -> None:
        """Takes note that the version is no more wanted.

        Raises:
          FailedPreconditionError: It is not READY.
        """
        self._transition(State.READY, State.UNLOAD_REQUESTED)

    def start_quiescing(self) -> None:
        """Takes note that no more handles are given out.

        Raises:
          FailedPreconditionError: It is not UNLOAD_REQUESTED.
        """
        self._transition(State.UNLOAD_REQUESTED, State.QUIESCING)

    def done_quiescing(self) -> None:
        """Takes note that all handles are closed.

        Raises:
          FailedPreconditionError: It is not QUIESCING.
        """
        self._transition(State.QUIESCING, State.QUIESCED)

    def unload(self) -> None:
        """Unloads; ends as DISABLED, or as ERROR with what is raised.

        Raises:
          FailedPreconditionError: It is not QUIESCED.
          ServingError: The loader failed, and may not have freed all.
        """
        self._transition(State.QUIESCED, State.UNLOADING)
        try:
            assert self._loader is not None
            self._loader.unload()
        except Exception as caught:
            error = _as_serving_error("unloading", self.id, caught)
            self.fail(error)
            raise error from None
        self._transition(State.UNLOADING, State.DISABLED)

    def fail(self, error: errors.ServingError) -> None:
        """Ends as ERROR; not for a version that is loaded, or is loading."""
        with self._lock:
            self._state = State.ERROR
            # A copy: the stack of the error may hold half a model.
            self._error = errors.from_code(error.code, str(error))

    def _load(self) -> None:
        assert self._loader is not None
        try:
            self._loader.load()
        except Exception as error:
            raise _as_serving_error("loading", self.id, error) from None

    def _wait_for_retry(self) -> bool:
        """Returns whether to try again, when it is time to."""
        deadline = (
            self._clock.now() + self._options.load_retry_interval_micros / 1e6
        )
        with self._lock:
            while not self._is_retry_cancelled:
                if self._clock.now() >= deadline:
                    return True
                self._clock.wait_until(self._cancelled, deadline)
        return False

    def _transition(self, before: State, after: State) -> None:
        with self._lock:
            if self._state is not before:
                raise errors.FailedPreconditionError(
                    f"{self.id} must be {before.name} to become {after.name}; "
                    f"got {self._state.name}"
                )
            self._state = after


def _as_serving_error(
    what: str, servable_id: servable.ServableId, error: Exception
) -> errors.ServingError:
    """Returns an error that may be shown; a bug is logged with its stack."""
    if isinstance(error, errors.ServingError):
        return error
    logging.error("%s %s failed", what.title(), servable_id, exc_info=error)
    return errors.InternalError(
        f"{what} {servable_id} failed with a {type(error).__name__}; see the "
        "log"
    )
