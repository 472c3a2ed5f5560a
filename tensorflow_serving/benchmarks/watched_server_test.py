"""Tests for watched_server, with a program that says it is a server."""

import os
import sys

from absl.testing import absltest

from tensorflow_serving.benchmarks import watched_server
from tensorflow_serving.core import servable
from tensorflow_serving.util import errors

_PROGRAM = """
import signal, sys
print("Servable {name: default version: 3} is AVAILABLE", file=sys.stderr)
sys.stderr.flush()
print("Running... listening on 0.0.0.0:1234", flush=True)
signal.pause()
"""


class WatchedServerTest(absltest.TestCase):
    """A process that is watched."""

    def test_log_and_memory_are_watched(self) -> None:
        """Until it is killed; the log is kept."""
        path = os.path.join(self.create_tempdir().full_path, "log")
        with watched_server.WatchedServer(
            [sys.executable, "-c", _PROGRAM], path
        ) as server:
            self.assertEqual(server.address, "127.0.0.1:1234")
            entry = server.log.wait_for(
                watched_server.version_id(3), servable.ManagerState.AVAILABLE
            )
            self.assertEqual(entry.reason, "")
            self.assertGreater(server.resident_bytes(), 1e6)
            server.kill()
        with open(path) as file:
            self.assertIn("version: 3} is AVAILABLE", file.read())

    def test_program_that_does_not_listen_is_an_error(self) -> None:
        """It says how the program ended."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "got exit code 3"
        ):
            watched_server.WatchedServer(
                [sys.executable, "-c", "exit(3)"], None
            )

    def test_command_names_folder_and_period(self) -> None:
        """The last argument is the folder."""
        command = watched_server.mnist_inference_2("/models", 0.5, ["--x=1"])
        self.assertEqual(os.path.basename(command[0]), "mnist_inference_2")
        self.assertEqual(
            command[1:],
            [
                "--port=0",
                "--file_system_poll_wait_seconds=0.5",
                "--x=1",
                "/models",
            ],
        )


if __name__ == "__main__":
    absltest.main()
