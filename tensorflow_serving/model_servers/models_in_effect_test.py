"""Tests for models_in_effect."""

from absl.testing import absltest, parameterized

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import model_configs, models_in_effect
from tensorflow_serving.util import errors

_State = servable.ManagerState


def _models(*names: str) -> model_configs.Models:
    return tuple(model_configs.ModelConfig(name, f"/{name}") for name in names)


def _first(
    *names: str, is_one_of_several: bool = False
) -> models_in_effect.ModelsInEffect:
    return models_in_effect.ModelsInEffect.first(
        _models(*names), {}, is_one_of_several=is_one_of_several
    )


class ModelsInEffectTest(parameterized.TestCase):
    """A server that starts with some models."""

    @parameterized.named_parameters(
        ("loading", "a", _State.LOADING, None, {"a", "b"}),
        ("available", "a", _State.AVAILABLE, None, {"b"}),
        ("failed", "b", _State.END, errors.InternalError("x"), {"a"}),
        ("unloaded", "a", _State.END, None, {"a", "b"}),
        ("of_another_model", "c", _State.AVAILABLE, None, {"a", "b"}),
    )
    def test_start_goes_on_until_each_first_model_is_known(
        self,
        name: str,
        state: _State,
        error: errors.ServingError | None,
        starting: set[str],
    ) -> None:
        """A model is known once one of its versions is loaded, or failed."""
        event = servable.ServableState(
            servable.ServableId(name, 1), state, error
        )
        found = _first("a", "b").recorded(event)
        self.assertEqual(found.starting, starting)
        self.assertEqual(found.recorded(event), found)

    def test_model_that_leaves_is_no_longer_waited_for(self) -> None:
        """Models that come with a later configuration never count."""
        found = _first("a", "b").replaced(_models("b", "c"), {"c": {"x": 1}})
        self.assertEqual([*found.names], ["b", "c"])
        self.assertEqual(found.labels, {"c": {"x": 1}})
        self.assertEqual(found.starting, {"b"})

    def test_names_are_found_once_for_a_configuration(self) -> None:
        """They are asked for at each event; ten thousand models have many."""
        first = _first("a", "b")
        event = servable.ServableState(
            servable.ServableId("a", 1), _State.AVAILABLE
        )
        self.assertIs(first.recorded(event).names, first.names)
        self.assertNotIsInstance(first.names, list)

    def test_others_start_by_themselves(self) -> None:
        """Only one of several servers has others to wait for."""
        several = _first("a", is_one_of_several=True)
        self.assertTrue(several.replaced((), {}).is_starting)
        self.assertEqual(several.others_started(), _first("a"))
        self.assertTrue(_first("a").is_starting)
        self.assertFalse(_first("a").replaced((), {}).is_starting)


if __name__ == "__main__":
    absltest.main()
