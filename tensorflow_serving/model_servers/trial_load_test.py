"""Tests for trial_load; check_test has models that load and that do not."""

import os

from absl.testing import absltest

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    model_configs,
    server_core,
    trial_load,
)


class TrialLoadTest(absltest.TestCase):
    """Tests of the wait for loads."""

    def test_wait_ends_when_its_time_is_over(self) -> None:
        """A version that does not come is named as one that failed."""
        folder = self.create_tempdir().full_path
        models = (model_configs.ModelConfig("m", os.path.join(folder, "m")),)
        options = server_core.Options(model_load_timeout_seconds=0.01)
        with trial_load.TrialLoad(options, models) as trial:
            trial.wait([servable.ServableId("m", 1)])
            self.assertTrue(trial.is_loading)
            self.assertEqual(
                list(trial.problems()),
                ["model m: version 1 must become AVAILABLE; got no sign of it"],
            )


if __name__ == "__main__":
    absltest.main()
