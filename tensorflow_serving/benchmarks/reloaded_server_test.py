"""Tests for reloaded_server: a real server, two versions."""

import os

from absl.testing import absltest

from tensorflow_serving.benchmarks import reloaded_server, setting
from tensorflow_serving.core import servable


class ReloadedServerTest(absltest.TestCase):
    """A server whose versions come and go."""

    def test_answers_are_those_of_the_versions(self) -> None:
        """Of both, and when either came is known."""
        common = setting.Setting(
            concurrency=4, deadline_seconds=60.0, poll_seconds=0.05
        )
        folder = self.create_tempdir().full_path
        with reloaded_server.ReloadedServer(
            common, folder, num_versions=2
        ) as server:
            server.swap_to(2)
            server.remove(1)
            self.assertEqual(os.listdir(server.base_path), ["00000002"])
            available = server.wait_for(2, servable.ManagerState.AVAILABLE)
            self.assertGreater(available.time, server.put_times[2])
            self.assertLess(server.put_times[1], server.put_times[2])
            outcome = server.stop_load()
        self.assertTrue(outcome.is_clean, outcome)
        self.assertGreater(outcome.num_calls, 0)


if __name__ == "__main__":
    absltest.main()
