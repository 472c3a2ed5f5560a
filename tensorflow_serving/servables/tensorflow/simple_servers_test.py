"""Tests for simple_servers."""

import os

import numpy as np
from absl.testing import absltest

from tensorflow_serving.core import servable, servable_state_monitor
from tensorflow_serving.servables.tensorflow import simple_servers
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.test_util import written_models
from tensorflow_serving.util import errors, event_bus


class SimpleServersTest(absltest.TestCase):
    """A manager from one line."""

    def test_newest_export_is_served(self) -> None:
        """Under the name "default", from real files with a real manager."""
        base = self.create_tempdir().full_path
        written_models.copy(
            written_models.HALF_PLUS_TWO, os.path.join(base, "00000123")
        )
        request = servable.ServableRequest.latest("default")
        bus: event_bus.EventBus[servable.ServableState] = event_bus.EventBus()
        with (
            servable_state_monitor.ServableStateMonitor(bus) as monitor,
            simple_servers.create_single_tf_model_manager_from_base_path(
                base, event_bus=bus
            ) as manager,
        ):
            monitor.wait_until_available([request], None)
            self.assertEqual(
                manager.list_available_servable_ids(),
                [servable.ServableId("default", 123)],
            )
            with manager.get_servable_handle(
                request, session_bundle.SessionBundle
            ) as handle:
                (y,) = handle.servable.session.run(
                    ["y:0"], {"x:0": np.array([[1]], np.float32)}
                )
            np.testing.assert_array_equal(y, [[2.5]])
        with self.assertRaises(errors.NotFoundError):
            manager.get_servable_handle(request, session_bundle.SessionBundle)


if __name__ == "__main__":
    absltest.main()
