"""Tests for reloading_server: a real process, two models."""

import os
import subprocess

from absl.testing import absltest

from tensorflow_serving.benchmarks import (
    first_answer,
    version_supply,
    watched_server,
)
from tensorflow_serving.core import servable

_SERVER = os.path.join(os.path.dirname(__file__), "reloading_server")


class ReloadingServerTest(absltest.TestCase):
    """The program."""

    def test_first_model_is_served_and_the_other_one_is_loaded(self) -> None:
        """Both are the versions of one folder each."""
        folder, large = (self.create_tempdir().full_path for _ in range(2))
        supply = version_supply.VersionSupply(folder, seed=0)
        supply.export(1, 1)
        version_supply.VersionSupply(large, seed=1).export(5, 5)
        with watched_server.WatchedServer(
            [_SERVER, "--port=0", folder, large], None
        ) as server:
            answer = first_answer.ask(
                server.address, supply.workload.requests[0]
            )
            self.assertEqual(supply.workload.versions_of([0], [answer]), [1])
            server.log.wait_for(
                servable.ServableId("large", 5),
                servable.ManagerState.AVAILABLE,
            )

    def test_arguments_are_two(self) -> None:
        """Else the error names them."""
        server = subprocess.run(
            [_SERVER, "one"], capture_output=True, text=True, check=False
        )
        self.assertNotEqual(server.returncode, 0)
        self.assertIn("LARGE_BASE_PATH", server.stdout + server.stderr)


if __name__ == "__main__":
    absltest.main()
