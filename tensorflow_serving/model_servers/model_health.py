"""Health of models: whether they can be called.

""                                      every model has a version
tensorflow.serving.PredictionService    the same, and so for each service
PredictionService, ModelService         the same, as TensorFlow Serving has it
<model>                                 it has a version
<model>:<version>                       that version is available

A version that is available and stuck, so that no call of it would run, does not
count.
"""

import threading
from collections.abc import Mapping
from typing import Final

from tensorflow_serving.model_servers import served_models
from tensorflow_serving.rpc import health as health_lib
from tensorflow_serving.util import errors

_BARE_NAMES: Final = ("ModelService", "PredictionService")


class ModelHealth:
    """Keeps the health of a server up to date, from now until it is closed.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self, served: served_models.ServedModels, health: health_lib.Health
    ) -> None:
        """Subscribes to what becomes of models.

        Args:
          served: Its models count.
          health: Answers clients.
        """
        self._served = served
        self._health = health
        # Held from looking at states until they are published, so that older
        # ones never replace those that an event has led to.
        self._lock = threading.Lock()
        # The states that health has of each model, by its name and the names of
        # its versions; and the models without a version. Guarded by _lock.
        self._states: dict[str, Mapping[str, bool]] = {}
        self._unready: set[str] = set()
        self._subscription = served.news.subscribe(self._record)
        self.update()

    def update(self) -> None:
        """Looks at all models, whether something has changed or not."""
        names = self._served.model_names
        with self._lock:
            for name in self._states.keys() - set(names):
                self._forget(name)
            for name in names:
                self._look_at(name)
            self._publish_server()

    def close(self) -> None:
        """Leaves the health as it is. Idempotent."""
        self._subscription.close()

    def __enter__(self) -> "ModelHealth":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _record(self, name: str) -> None:
        is_served = name in self._served.model_names
        with self._lock:
            if is_served:
                self._look_at(name)
            else:
                self._forget(name)
            self._publish_server()

    def _look_at(self, name: str) -> None:
        """Publishes the states of a model; needs the lock."""
        try:
            states_by_version = self._served.states(name)
        except errors.NotFoundError:
            # The configuration has just left it out.
            states_by_version = {}
        stuck = self._served.stuck_versions(name)
        versions = {
            f"{name}:{version}": state.is_available and version not in stuck
            for version, state in states_by_version.items()
        }
        states = {name: any(versions.values()), **versions}
        gone = self._states.get(name, {}).keys() - states.keys()
        self._states[name] = states
        if states[name]:
            self._unready.discard(name)
        else:
            self._unready.add(name)
        self._health.set_states(states)
        self._health.forget(gone)

    def _forget(self, name: str) -> None:
        """Forgets a model that is no longer served; needs the lock."""
        self._unready.discard(name)
        self._health.forget(self._states.pop(name, {}))

    def _publish_server(self) -> None:
        """Publishes the state of the server; needs the lock."""
        is_ready = bool(self._states) and not self._unready
        names = (*self._health.service_names, *_BARE_NAMES)
        self._health.set_states(dict.fromkeys(names, is_ready))
