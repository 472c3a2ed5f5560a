"""How long warm-ups took, and how many requests they replayed.

Example:
    metrics = warm_up_metrics.WarmUpMetrics()
    with metrics.measuring("/models/m/1") as ended:
        ended(model_warm_up.warm_up(model, bundle, options))
"""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from tensorflow_serving.model_servers import histograms, request_metrics
from tensorflow_serving.servables.tensorflow import model_warm_up
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_MICROS: Final = 1e6
# Versions come and go: only the last ones have counts. There are about as many
# as the states of a model remember.
_MAX_WARM_UPS_OF_MODEL: Final = 32
_MAX_WARM_UPS: Final = 1000


@dataclasses.dataclass(frozen=True)
class WarmUp:
    """The labels of a warm-up."""

    # The folder of the version.
    path: str
    # "OK", or the name of the status of the first error.
    status: str


@dataclasses.dataclass(frozen=True)
class Count:
    """Warm-ups of a version that ended with one status."""

    # In microseconds.
    latency: histograms.Histogram
    num_requests: int


class WarmUpMetrics:
    """Counts warm-ups. Thread-safe."""

    def __init__(self, clock: clock_lib.Clock = clock_lib.MONOTONIC) -> None:
        """Starts without warm-ups."""
        self._clock = clock
        self._lock = threading.Lock()
        # Guarded by _lock; those that were counted last are at the end.
        self._counts: dict[WarmUp, Count] = {}

    @contextlib.contextmanager
    def measuring(
        self, path: str
    ) -> Iterator[Callable[[model_warm_up.Outcome], None]]:
        """Counts a warm-up, and one that raises an error.

        Args:
          path: The folder of the version.

        Yields:
          What is to be called with the outcome.
        """
        start = self._clock.now()

        def count(num_requests: int, error: errors.ServingError | None) -> None:
            status = error.code.name if error else "OK"
            self._count(
                WarmUp(path, status), self._clock.now() - start, num_requests
            )

        try:
            yield lambda outcome: count(outcome.num_requests, outcome.failure)
        except errors.ServingError as error:
            count(0, error)
            raise

    def snapshot(self) -> Mapping[WarmUp, Count]:
        """Returns the counts of the last warm-ups."""
        with self._lock:
            return dict(self._counts)

    def _count(self, key: WarmUp, seconds: float, num_requests: int) -> None:
        with self._lock:
            before = self._counts.pop(key, None)
            latency = (
                before.latency.copy()
                if before
                else histograms.Histogram(request_metrics.LATENCY_BOUNDS)
            )
            latency.add([seconds * _MICROS])
            if before:
                num_requests += before.num_requests
            self._counts[key] = Count(latency, num_requests)
            folder = os.path.dirname(key.path)
            of_model = [
                each
                for each in self._counts
                if os.path.dirname(each.path) == folder
            ]
            if len(of_model) > _MAX_WARM_UPS_OF_MODEL:
                del self._counts[of_model[0]]
            elif len(self._counts) > _MAX_WARM_UPS:
                del self._counts[next(iter(self._counts))]
