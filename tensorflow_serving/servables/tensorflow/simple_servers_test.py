"""Tests for simple_servers."""

import os
import queue
from typing import Any

import numpy as np
from absl.testing import absltest

from tensorflow_serving.core import manager, servable, servable_handle
from tensorflow_serving.servables.tensorflow import simple_servers
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.test_util import written_models
from tensorflow_serving.util import errors, event_bus

_Bundle = session_bundle.SessionBundle[Any]
_LATEST = servable.ServableRequest.latest("default")


class SimpleServersTest(absltest.TestCase):
    """A manager from one line."""

    def setUp(self) -> None:
        """Serves a folder that is still empty."""
        super().setUp()
        self.base_path = self.create_tempdir().full_path
        bus: event_bus.EventBus[servable.ServableState] = event_bus.EventBus()
        # Every state that a version gets, in order.
        self.states: queue.SimpleQueue[servable.ServableState]
        self.states = queue.SimpleQueue()
        self.enter_context(
            bus.subscribe(lambda each: self.states.put(each.event))
        )
        self.manager: manager.Manager = self.enter_context(
            simple_servers.create_single_tf_model_manager_from_base_path(
                self.base_path, event_bus=bus
            )
        )

    def _put(self, version: int) -> servable.ServableId:
        """Copies a version in, and waits for it."""
        written_models.copy(
            written_models.HALF_PLUS_TWO,
            os.path.join(self.base_path, f"{version:08d}"),
        )
        servable_id = servable.ServableId("default", version)
        self._wait_for(servable_id, servable.ManagerState.AVAILABLE)
        return servable_id

    def _wait_for(
        self, servable_id: servable.ServableId, state: servable.ManagerState
    ) -> None:
        """Waits for a state that has not been waited for yet."""
        wanted = servable.ServableState(servable_id, state)
        while self.states.get() != wanted:
            pass

    def _handle(
        self,
    ) -> servable_handle.ServableHandle[_Bundle]:
        """Returns a handle on the newest version."""
        return self.manager.get_servable_handle(
            _LATEST, session_bundle.SessionBundle
        )

    def _half_plus_two(self, bundle: _Bundle, x: float) -> float:
        (y,) = bundle.session.run(["y:0"], {"x:0": np.array([[x]], np.float32)})
        return float(y.item())

    def test_newest_export_is_served(self) -> None:
        """An export is served under the name "default" until the end."""
        servable_id = self._put(123)
        self.assertEqual(
            self.manager.list_available_servable_ids(), [servable_id]
        )
        with self._handle() as handle:
            self.assertEqual(self._half_plus_two(handle.servable, 1), 2.5)
        self.manager.close()
        with self.assertRaises(errors.NotFoundError):
            self._handle()

    def test_version_outlives_its_place_while_a_handle_is_open(self) -> None:
        """A version ends when its last handle is closed, and not before.

        Until then the handle can be used, and nobody else waits for it: others
        get the newest version.
        """
        old = self._put(1)
        handle = self._handle()
        new = self._put(2)
        self._wait_for(old, servable.ManagerState.UNLOADING)
        for _ in range(100):
            with self._handle() as other:
                self.assertEqual(other.id, new)
        self.assertEqual(self._half_plus_two(handle.servable, 3), 3.5)
        self.assertTrue(self.states.empty())
        handle.close()
        self._wait_for(old, servable.ManagerState.END)


if __name__ == "__main__":
    absltest.main()
