"""Tests for file_kind."""

import os
import pathlib
import socket
import tempfile

from absl.testing import absltest

from tensorflow_serving.util import file_kind


class FileKindTest(absltest.TestCase):
    """Kinds of real files."""

    def test_kinds_are_described(self) -> None:
        """Each kind has a name that people know."""
        folder = pathlib.Path(
            self.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))
        )
        (folder / "file").touch()
        os.mkfifo(folder / "pipe")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.fspath(folder / "socket"))
            for path, description in (
                (folder, "a folder"),
                (folder / "file", "a file"),
                (folder / "pipe", "a named pipe"),
                (folder / "socket", "a socket"),
                ("/dev/null", "a device"),
            ):
                self.assertEqual(
                    file_kind.describe(os.stat(path).st_mode), description
                )


if __name__ == "__main__":
    absltest.main()
