"""Tests for model_health."""

import threading
from collections.abc import Callable, Iterable, Mapping, Set

from absl.testing import absltest

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import model_health, model_news

_LOADING = servable.ManagerState.LOADING
_AVAILABLE = servable.ManagerState.AVAILABLE


class _Core:
    """Has version 1 of the model m, as a ServerCore would."""

    def __init__(self) -> None:
        self.news = model_news.ModelNews(threading.RLock())
        self.model_names = ["m"]
        self.state = servable.ServableState(
            servable.ServableId("m", 1), _LOADING
        )
        self.stuck: Set[int] = set()
        # Called once, after states were collected.
        self.after_states: Callable[[], None] | None = None

    def states(self, name: str) -> Mapping[int, servable.ServableState]:
        """Returns the state of the version."""
        states = {1: self.state}
        after, self.after_states = self.after_states, None
        if after is not None:
            after()
        return states

    def stuck_versions(self, name: str) -> Set[int]:
        """Returns what a test has set."""
        return self.stuck

    def become_available(self) -> None:
        """Makes the version available and publishes that."""
        self.state = servable.ServableState(self.state.id, _AVAILABLE)
        self.news.publish(["m"])


class _Health:
    """Records what is served."""

    service_names = ("", "package.Service")

    def __init__(self) -> None:
        self.serves: dict[str, bool] = {}

    def set_states(self, states: Mapping[str, bool]) -> None:
        """Records states."""
        self.serves.update(states)

    def forget(self, names: Iterable[str]) -> None:
        """Removes names."""
        for name in names:
            self.serves.pop(name, None)


class ModelHealthTest(absltest.TestCase):
    """Tests with a core that has one version."""

    def setUp(self) -> None:
        """Starts to follow the core."""
        super().setUp()
        self.core = _Core()
        self.health = _Health()
        self.model_health = self.enter_context(
            model_health.ModelHealth(
                self.core,  # type: ignore[arg-type]
                self.health,  # type: ignore[arg-type]
            )
        )

    def test_health_follows_the_version(self) -> None:
        """Server, model and version serve once the version is available."""
        self.assertFalse(any(self.health.serves.values()))
        self.core.become_available()
        self.assertTrue(all(self.health.serves.values()))
        self.assertEqual(
            self.health.serves.keys(),
            {
                *("", "package.Service", "ModelService", "PredictionService"),
                *("m", "m:1"),
            },
        )

    def test_version_that_is_stuck_does_not_serve(self) -> None:
        """It serves again once its calls run."""
        self.core.become_available()
        self.core.stuck = {1}
        self.core.news.publish(["m"])
        self.assertFalse(any(self.health.serves.values()))
        self.core.stuck = {2}
        self.core.news.publish(["m"])
        self.assertTrue(all(self.health.serves.values()))

    def test_event_during_an_update_is_not_lost(self) -> None:
        """States from before an event never replace those from after it."""
        thread = threading.Thread(target=self.core.become_available)
        self.core.after_states = thread.start
        self.model_health.update()
        thread.join()
        self.assertTrue(all(self.health.serves.values()))

    def test_model_that_is_gone_is_forgotten(self) -> None:
        """Health does not know a model that the configuration left out."""
        self.core.model_names = []
        self.model_health.update()
        self.assertFalse({"m", "m:1"} & self.health.serves.keys())


if __name__ == "__main__":
    absltest.main()
