"""Tests for mnist_archive, with a site on this machine."""

import errno
import functools
import gzip
import hashlib
import http.server
import io
import os
import socket
import sys
import threading
from unittest import mock

from absl.testing import absltest

from tensorflow_serving.example import mnist_archive
from tensorflow_serving.util import errors

_CONTENTS = {"a.gz": b"the first file", "b.gz": b"the second file"}
_CHECKSUMS = {
    name: hashlib.sha256(content).hexdigest()
    for name, content in _CONTENTS.items()
}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a log."""

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""


class ArchiveTest(absltest.TestCase):
    """Files whose content is known."""

    def setUp(self) -> None:
        """Makes folders, and a site that offers nothing yet."""
        super().setUp()
        self.work_dir = self.create_tempdir().full_path
        self.other_dir = self.create_tempdir().full_path
        self.site_dir = self.create_tempdir().full_path
        site = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0),
            functools.partial(_Quiet, directory=self.site_dir),
        )
        thread = threading.Thread(target=site.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(site.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(site.shutdown)
        self.site = f"http://127.0.0.1:{site.server_port}/"

    def _write(self, folder: str, name: str, content: bytes) -> None:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(gzip.compress(content))

    def _read(self, *mirrors: str) -> dict[str, bytes]:
        archive = mnist_archive.Archive(_CHECKSUMS, mirrors)
        return archive.read(["a.gz", "b.gz"], [self.work_dir, self.other_dir])

    def test_files_are_found_in_any_folder(self) -> None:
        """Files are found without a download, and nothing is copied."""
        self._write(self.work_dir, "a.gz", _CONTENTS["a.gz"])
        self._write(self.other_dir, "b.gz", _CONTENTS["b.gz"])
        self.assertEqual(self._read(), _CONTENTS)
        self.assertEqual(os.listdir(self.work_dir), ["a.gz"])

    def test_missing_files_are_downloaded_and_kept(self) -> None:
        """A download goes to the first folder; later no site is needed."""
        for name, content in _CONTENTS.items():
            self._write(self.site_dir, name, content)
        self.assertEqual(self._read(self.site), _CONTENTS)
        self.assertEqual(sorted(os.listdir(self.work_dir)), ["a.gz", "b.gz"])
        self.assertEqual(os.listdir(self.other_dir), [])
        self.assertEqual(self._read(), _CONTENTS)

    def test_corrupt_files_are_named_and_fetched_again(self) -> None:
        """Truncated files, and those with other content, are fetched again."""
        for name, content in _CONTENTS.items():
            self._write(self.site_dir, name, content)
        self._write(self.work_dir, "a.gz", b"something else")
        self._write(self.work_dir, "b.gz", _CONTENTS["b.gz"])
        path = os.path.join(self.work_dir, "b.gz")
        os.truncate(path, os.path.getsize(path) - 5)
        with self.assertLogs(level="WARNING") as log:
            self.assertEqual(self._read(self.site), _CONTENTS)
        self.assertIn(os.path.join(self.work_dir, "a.gz"), log.output[0])
        self.assertIn(path, log.output[1])
        self.assertEqual(self._read(), _CONTENTS)

    def test_file_that_may_not_be_read_is_not_called_corrupt(self) -> None:
        """The line in the log says what the system says."""
        for name, content in _CONTENTS.items():
            self._write(self.work_dir, name, content)
            self._write(self.other_dir, name, content)
        real_open = gzip.open

        def open_(path: str) -> object:
            if path.startswith(self.work_dir):
                raise PermissionError(errno.EACCES, "Permission denied", path)
            return real_open(path)

        with (
            mock.patch.object(gzip, "open", open_),
            self.assertLogs(level="WARNING") as log,
        ):
            self.assertEqual(self._read(), _CONTENTS)
        self.assertIn("can be read; got Permission denied", log.output[0])

    def test_bad_mirror_is_passed_over(self) -> None:
        """Mirrors that fail, lack the file or have a bad one are skipped."""
        os.mkdir(os.path.join(self.site_dir, "bad"))
        self._write(self.site_dir, "bad/a.gz", b"something else")
        for name, content in _CONTENTS.items():
            self._write(self.site_dir, name, content)
        self.assertEqual(
            self._read(
                "http://127.0.0.1:1/",
                self.site + "missing/",
                self.site + "bad/",
                self.site,
            ),
            _CONTENTS,
        )

    def test_mirror_that_hangs_does_not_hide_another(self) -> None:
        """It accepts connections and says nothing; the other one serves."""
        for name, content in _CONTENTS.items():
            self._write(self.site_dir, name, content)
        hanging = self.enter_context(
            socket.create_server(("127.0.0.1", 0), backlog=9)
        )
        self.enter_context(
            mock.patch.object(mnist_archive, "_PROBE_SECONDS", 1.0)
        )
        port = hanging.getsockname()[1]
        self.assertEqual(
            self._read(f"http://127.0.0.1:{port}/", self.site), _CONTENTS
        )

    def test_folder_that_cannot_be_written_is_a_warning(self) -> None:
        """The content is used all the same."""
        for name, content in _CONTENTS.items():
            self._write(self.site_dir, name, content)
        file = self.create_tempfile().full_path
        archive = mnist_archive.Archive(_CHECKSUMS, [self.site])
        with self.assertLogs(level="WARNING") as log:
            self.assertEqual(
                archive.read(["a.gz"], [file])["a.gz"], _CONTENTS["a.gz"]
            )
        self.assertIn("a.gz is not kept", log.output[0])

    def test_progress_is_shown(self) -> None:
        """A terminal shows the progress with the size of the file."""
        self._write(self.site_dir, "a.gz", _CONTENTS["a.gz"])
        terminal = io.StringIO()
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        self.enter_context(mock.patch.object(sys, "stderr", terminal))
        archive = mnist_archive.Archive(_CHECKSUMS, [self.site])
        archive.read(["a.gz"], [self.work_dir])
        size = os.path.getsize(os.path.join(self.site_dir, "a.gz"))
        self.assertIn(f"/{size} [", terminal.getvalue())

    def test_file_that_is_nowhere_is_an_error(self) -> None:
        """It names the file and each mirror, and leaves nothing behind."""
        with self.assertRaises(errors.UnavailableError) as caught:
            self._read("http://127.0.0.1:1/", self.site)
        for text in ("a.gz must be in", "http://127.0.0.1:1/a.gz", self.site):
            self.assertIn(text, str(caught.exception))
        self.assertEqual(os.listdir(self.work_dir), [])


if __name__ == "__main__":
    absltest.main()
