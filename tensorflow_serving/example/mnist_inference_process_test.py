"""Tests of the processes of mnist_inference: how they start, and end."""

import functools
import os
import pathlib
import subprocess
import tempfile
import unittest

from absl.testing import absltest, parameterized

from tensorflow_serving.util import server_process

_FOLDER = os.path.dirname(__file__)
_INFERENCE = os.path.join(_FOLDER, "mnist_inference")

# Longer than anything here takes, and shorter than a load that hangs.
_TIMEOUT_SECONDS = 60


@functools.cache
def _version_dir() -> str:
    """Exports a model, once for all tests; returns the folder."""
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    export = os.path.join(_FOLDER, "mnist_export")
    subprocess.run(
        [export, "--dataset=digits", folder.name],
        check=True,
        capture_output=True,
    )
    return os.path.join(folder.name, "00000001")


class SupervisorTest(parameterized.TestCase):
    """--num_workers=2."""

    def test_supervisor_does_not_import_what_serves(self) -> None:
        """Its memory comes on top of that of the workers."""
        with server_process.ServerProcess(
            [
                _INFERENCE,
                "--num_workers=2",
                "--max_batch_size=8",
                _version_dir(),
            ]
        ) as server:
            own, *others = (
                pathlib.Path(f"/proc/{pid}/maps").read_text()
                for pid in (server.pid, *server.child_pids())
            )
            self.assertEqual(len(others), 2)
            for name in ("/tensorflow/", "/numpy/"):
                self.assertNotIn(name, own)
            for other in others:
                self.assertIn("/tensorflow/", other)
            self.assertEqual(server.stop(), 0)

    @parameterized.named_parameters(
        ("flag_of_batching", ["--max_batch_size=0", "x"], "--max_batch_size=0"),
        ("flag_of_all", ["--port=-1", "x"], "--port=-1"),
        ("unknown_flag", ["--no_such_flag", "x"], "no_such_flag"),
        ("no_folder", [], "the folder of a version"),
        ("two_folders", ["--noenable_batching", "x", "y"], "got .'x', 'y'"),
        ("no_such_export", ["/no/such/export"], "/no/such/export"),
    )
    def test_wrong_arguments_are_errors(
        self, arguments: list[str], text: str
    ) -> None:
        """Each is reported once, and the exit code is not 0."""
        server = subprocess.run(
            [_INFERENCE, "--num_workers=2", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
        self.assertNotEqual(server.returncode, 0)
        output = server.stderr + server.stdout
        self.assertRegex(output, text)
        self.assertLessEqual(output.count("Flags parsing error"), 1)

    @parameterized.parameters("--num_workers=1", "--num_workers=2")
    def test_help_is_for_all_flags(self, flag: str) -> None:
        """The help shows all flags, and those of the workers among them."""
        text = subprocess.run(
            [_INFERENCE, flag, "--help"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        ).stdout
        for name in ("num_workers", "port", "enable_batching", "max_batch_s"):
            self.assertRegex(text, rf"--(\[no\])?{name}")


if __name__ == "__main__":
    absltest.main()
