"""Health that tells whether models can be called.

""                                      every model has a version
PredictionService, ModelService         the same; both also with their
                                        package
<model>                                 it has a version
<model>:<version>                       that version is available
"""

import threading
from typing import Final

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import server_core
from tensorflow_serving.rpc import health as health_lib
from tensorflow_serving.util import event_bus

_SERVER_NAMES: Final = (
    "",
    "ModelService",
    "PredictionService",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
)
_AVAILABLE = servable.ManagerState.AVAILABLE


class ModelHealth:
    """Keeps the health of a server up to date, from now until it is closed.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self, core: server_core.ServerCore, health: health_lib.Health
    ) -> None:
        """Subscribes to what becomes of models.

        Args:
          core: Its models count.
          health: Answers clients.
        """
        self._core = core
        self._health = health
        self._lock = threading.Lock()
        # Both guarded by _lock.
        # The names of models and versions that health knows.
        self._names: set[str] = set()
        self._num_events = 0
        self._subscription = core.events.subscribe(self._record)
        self.update()

    def update(self) -> None:
        """Looks at all models; after a change of the configuration."""
        while not self._try_to_update():
            pass

    def close(self) -> None:
        """Leaves the health as it is. Idempotent."""
        self._subscription.close()

    def __enter__(self) -> "ModelHealth":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _record(
        self, event: event_bus.EventAndTime[servable.ServableState]
    ) -> None:
        del event  # The core knows the states of all versions.
        with self._lock:
            self._num_events += 1
        self.update()

    def _try_to_update(self) -> bool:
        """Publishes states, unless an event came while they were collected.

        Older states must not replace those that the event led to.
        """
        with self._lock:
            num_events = self._num_events
        states: dict[str, bool] = {}
        for name in self._core.model_names:
            states |= self._states(name)
        server_states = self._server_states()
        with self._lock:
            if self._num_events != num_events:
                return False
            gone = self._names - states.keys()
            self._names = set(states)
            self._health.set_states({**states, **server_states})
            self._health.forget(gone)
        return True

    def _server_states(self) -> dict[str, bool]:
        return dict.fromkeys(_SERVER_NAMES, self._core.is_ready())

    def _states(self, name: str) -> dict[str, bool]:
        versions = {
            f"{name}:{version}": state.manager_state is _AVAILABLE
            for version, state in self._core.states(name).items()
        }
        return {name: any(versions.values()), **versions}
