"""Limits on the calls of each model that are without a reply.

Example:
    limits = call_limits.CallLimits(models)
    with limits.place("m"):
        ...answer a call of the model m...

A model that is flooded then leaves the places and threads of a server to
others. All versions of a model, both ports and all signatures count together.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Final

from tensorflow_serving.model_servers import model_configs
from tensorflow_serving.util import errors

_UNLIMITED: Final = contextlib.nullcontext()


class CallLimit:
    """How many calls of a model are in flight, and how many may be.

    Thread-safe.
    """

    def __init__(self) -> None:
        """Starts with no call, and without a limit."""
        # How many calls may be in flight; 0: any number.
        self.most = 0
        self._lock = threading.Lock()
        self._num_calls = 0  # guarded by _lock

    def take(self, num_calls: int) -> int:
        """Begins calls, as many as there are places for; returns how many."""
        with self._lock:
            if self.most:
                num_calls = max(0, min(num_calls, self.most - self._num_calls))
            self._num_calls += num_calls
            return num_calls

    def release(self, num_calls: int) -> None:
        """Ends calls that take() has begun."""
        with self._lock:
            self._num_calls -= num_calls

    @contextlib.contextmanager
    def place(self, model: str) -> Iterator[None]:
        """Takes a place for a call while the block runs.

        Args:
          model: The name of the model, for the error.

        Raises:
          ResourceExhaustedError: There is none. Transient.
        """
        if not self.take(1):
            raise self.error(model)
        try:
            yield
        finally:
            self.release(1)

    def error(self, model: str) -> errors.ResourceExhaustedError:
        """Returns the error of a call without a place."""
        return errors.ResourceExhaustedError(
            f"Too many concurrent calls of model {model} (limit {self.most}); "
            "try again later."
        )


class CallLimits:
    """The limits of all models of a server. Thread-safe."""

    def __init__(self, models: model_configs.Models) -> None:
        """Takes the limits of models."""
        # Is replaced as a whole.
        self._limits: Mapping[str, CallLimit] = {}
        self.update(models)

    def update(self, models: model_configs.Models) -> None:
        """Takes other limits; calls in flight count on."""
        limits = {
            model.name: self._limits.get(model.name) or CallLimit()
            for model in models
        }
        for model in models:
            limits[model.name].most = model.max_concurrent_calls
        self._limits = limits

    def find(self, model: str) -> CallLimit | None:
        """Returns the limit of a model, None if it has none."""
        limit = self._limits.get(model)
        return limit if limit is not None and limit.most else None

    def place(self, model: str) -> contextlib.AbstractContextManager[None]:
        """Takes a place for a call of a model, if that has a limit.

        See CallLimit.place().
        """
        limit = self.find(model)
        return _UNLIMITED if limit is None else limit.place(model)
