"""Tests for text_files."""

import os
import threading

from absl.testing import absltest

from tensorflow_serving.config import ssl_config_pb2
from tensorflow_serving.model_servers import text_files
from tensorflow_serving.util import errors


class TextFilesTest(absltest.TestCase):
    """Tests of texts, some of which are not what they should be."""

    def test_text_fills_the_message(self) -> None:
        """Comments and separators are those of the text format."""
        config = text_files.parse(
            "/f", '# x\nserver_key: "a", ', ssl_config_pb2.SSLConfig()
        )
        self.assertEqual(config.server_key, "a")

    def test_error_has_path_line_and_field(self) -> None:
        """The name of the message says what the field is missing in."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            '^/f:2:1 : Message type "tensorflow.serving.SSLConfig" has no '
            'field named "no_such".$',
        ):
            text_files.parse("/f", "\nno_such: 1", ssl_config_pb2.SSLConfig())

    def test_named_pipe_that_nobody_writes_to_is_an_error(self) -> None:
        """Whoever reads it does not wait for somebody to come."""
        path = os.path.join(self.create_tempdir().full_path, "pipe")
        os.mkfifo(path)
        with self.assertRaisesRegex(OSError, "a pipe that nobody writes to"):
            text_files.read_text(path)

    def test_pipe_that_somebody_writes_to_is_read_to_its_end(self) -> None:
        """Shells make them of the output of commands, as /dev/fd/63."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)

        def write() -> None:
            with open(writing, "w", encoding="utf-8") as file:
                file.write("text")

        writer = threading.Thread(target=write)
        writer.start()
        self.assertEqual(text_files.read_text(f"/dev/fd/{reading}"), "text")
        writer.join()
        with self.assertRaises(OSError):
            text_files.read_text(f"/dev/fd/{reading}")

    def test_error_never_shows_a_key(self) -> None:
        """The content of a line stays out of logs."""
        for text in ('server_key: "secret', 'server_key: "secret" }', "}"):
            with self.assertRaises(errors.InvalidArgumentError) as raised:
                text_files.parse("/f", text, ssl_config_pb2.SSLConfig())
            self.assertNotIn("secret", str(raised.exception))
            self.assertRegex(str(raised.exception), "^/f:1:")


if __name__ == "__main__":
    absltest.main()
