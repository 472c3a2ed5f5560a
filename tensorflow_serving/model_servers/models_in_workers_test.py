"""Tests for models_in_workers."""

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    model_configs,
    models_in_workers,
    worker_notes,
)

_State = servable.ManagerState


def _config(*names: str) -> worker_notes.Config:
    return worker_notes.Config(
        tuple(model_configs.ModelConfig(name, f"/{name}") for name in names), 1
    )


def _model(
    name: str, state: _State, *, is_behind: bool = False
) -> worker_notes.ModelInWorkers:
    servable_id = servable.ServableId(name, 1)
    return worker_notes.ModelInWorkers(
        {1: servable.ServableState(servable_id, state)}, is_behind
    )


class ModelsInWorkersTest(parameterized.TestCase):
    """Models a, which is available, and b, which is being loaded."""

    def setUp(self) -> None:
        """Makes the value."""
        super().setUp()
        self.seen = models_in_workers.ModelsInWorkers().updated(
            _config("a", "b"),
            {
                "a": _model("a", _State.AVAILABLE),
                "b": _model("b", _State.LOADING, is_behind=True),
            },
        )

    @parameterized.parameters(
        ("a", 1, True), ("a", 2, False), ("b", 1, False), ("c", 1, False)
    )
    def test_version_is_available_or_not(
        self, name: str, version: int, is_available: bool
    ) -> None:
        """A version or model of which nothing is known is not."""
        self.assertEqual(self.seen.is_available(name, version), is_available)

    def test_worker_is_level_once_no_model_is_behind(self) -> None:
        """One model that others serve and this worker does not is enough."""
        self.assertFalse(self.seen.is_level)
        seen = self.seen.updated(
            self.seen.config, {"b": _model("b", _State.AVAILABLE)}
        )
        self.assertTrue(seen.is_level)

    def test_model_that_left_the_configuration_keeps_its_states(self) -> None:
        """It may still be unloaded, and a new one has no states yet."""
        seen = self.seen.updated(_config("b", "c"), {})
        self.assertEqual([*seen.names], ["b", "c"])
        self.assertEqual(seen.known_names, {"a", "b", "c"})
        self.assertTrue(seen.states("a"))
        self.assertFalse(seen.states("c"))


if __name__ == "__main__":
    absltest.main()
