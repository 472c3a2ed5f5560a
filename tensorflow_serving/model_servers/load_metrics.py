"""Counts of loads and unloads of versions.

Example:
    bus = event_bus.EventBus[servable.ServableState]()
    metrics = load_metrics.LoadMetrics(bus)
    metrics.snapshot()
"""

import dataclasses
import threading
from collections.abc import Collection, Mapping
from typing import Final

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import histograms
from tensorflow_serving.util import event_bus

_START: Final = servable.ManagerState.START
_LOADING: Final = servable.ManagerState.LOADING
_AVAILABLE: Final = servable.ManagerState.AVAILABLE
_UNLOADING: Final = servable.ManagerState.UNLOADING
_END: Final = servable.ManagerState.END

# In seconds: 10 ms to 22 minutes.
SECONDS_BOUNDS: Final = tuple(0.01 * 2**power for power in range(18))

# The phase that ends with the second state.
_PHASES: Final = {
    (_START, _LOADING): "queue",
    (_LOADING, _AVAILABLE): "load",
    (_LOADING, _END): "load",
    (_UNLOADING, _END): "unload",
}


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of the life of a version, and how it ended."""

    model: str
    # "queue", "load" or "unload".
    name: str
    # "OK", or the name of the status of the error.
    outcome: str


class LoadMetrics:
    """Counts what becomes of versions, as long as their event bus is there.

    Thread-safe.
    """

    def __init__(self, bus: event_bus.EventBus[servable.ServableState]) -> None:
        """Subscribes; earlier events do not count."""
        self._lock = threading.Lock()
        # Both guarded by _lock. The last state of each version that has not
        # ended, and when it came.
        self._states: dict[
            servable.ServableId, tuple[servable.ManagerState, float]
        ] = {}
        self._phases = histograms.Histograms[Phase](SECONDS_BOUNDS)
        bus.subscribe(self._record)

    def snapshot(self) -> Mapping[Phase, histograms.Histogram]:
        """Returns all counts; times are in seconds."""
        with self._lock:
            return self._phases.copies()

    def forget_others(self, models: Collection[str]) -> None:
        """Forgets the counts of all models but some."""
        with self._lock:
            for phase in [
                each for each in self._phases if each.model not in models
            ]:
                del self._phases[phase]

    def _record(
        self, event: event_bus.EventAndTime[servable.ServableState]
    ) -> None:
        found = event.event
        state = found.manager_state
        with self._lock:
            before, since = self._states.pop(found.id, (None, 0.0))
            if state is not _END:
                self._states[found.id] = state, event.time
            name = _PHASES.get((before, state)) if before else None
            if name is not None:
                outcome = "OK" if found.error is None else found.error.code.name
                self._phases[Phase(found.id.name, name, outcome)].add(
                    [event.time - since]
                )
