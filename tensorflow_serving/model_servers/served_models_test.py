"""Tests for served_models."""

from unittest import mock

from absl.testing import absltest

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import served_models
from tensorflow_serving.util import errors


class ServedModelsTest(absltest.TestCase):
    """Models of a configuration that changes."""

    def test_model_that_goes_meanwhile_is_missing(self) -> None:
        """The other models have their states nevertheless."""
        states = {
            1: servable.ServableState(
                servable.ServableId("m", 1), servable.ManagerState.AVAILABLE
            )
        }
        served = mock.create_autospec(served_models.ServedModels)
        served.model_names = ["m", "gone", "empty"]
        served.states.side_effect = (
            states,
            errors.NotFoundError("Could not find any versions of model gone"),
            {},
        )
        self.assertEqual(
            served_models.all_states(served), {"m": states, "empty": {}}
        )


if __name__ == "__main__":
    absltest.main()
