"""Tests for keys_in_clear."""

import os

from absl import flags, logging
from absl.testing import absltest, flagsaver, parameterized

from tensorflow_serving.model_servers import keys_in_clear

_NO_PORT = {"port": 0, "grpc_socket_path": "/tmp/s"}


class KeysInClearTest(parameterized.TestCase):
    """Tests of flags, without a server."""

    def setUp(self) -> None:
        """Writes a key that only this user can read."""
        super().setUp()
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()
        self.path = self.create_tempfile(content="abc").full_path
        os.chmod(self.path, 0o600)

    def _warnings(self, **values: object) -> list[str]:
        with (
            flagsaver.flagsaver(**values),
            self.assertLogs("absl", "INFO") as logs,
        ):
            logging.info("At least one line is expected.")
            keys_in_clear.warn()
        return [each.getMessage() for each in logs.records[1:]]

    @parameterized.parameters(
        ({}, "--port;"),
        ({"host": "0.0.0.0"}, "--port;"),
        ({"rest_api_port": 8501}, "--port and --rest_api_port;"),
        ({"ssl_config_file": "f", "rest_api_port": 1}, "--rest_api_port;"),
        ({**_NO_PORT, "rest_api_port": 1}, "--rest_api_port;"),
        ({**_NO_PORT, "num_workers": 2}, "--port;"),
    )
    def test_ports_that_others_can_listen_to_are_named(
        self, values: dict[str, object], ports: str
    ) -> None:
        """There is one warning, whatever the number of ports."""
        (text,) = self._warnings(api_key_file=self.path, **values)
        self.assertIn(f"in clear on {ports}", text)

    @parameterized.parameters(
        ({"host": "localhost"},),
        ({"host": "127.0.0.1"},),
        ({"host": "::1"},),
        (_NO_PORT,),
        ({"ssl_config_file": "f"},),
        (
            {
                "ssl_config_file": "f",
                "rest_api_port": 1,
                "rest_api_ssl_config_file": "f",
            },
        ),
        ({"api_key_file": ""},),
    )
    def test_other_ports_need_no_warning(
        self, values: dict[str, object]
    ) -> None:
        """They are encrypted, or nobody but this machine can reach them."""
        self.assertEqual(
            self._warnings(**{"api_key_file": self.path, **values}), []
        )

    def test_file_that_others_can_read_is_named(self) -> None:
        """A file that is not there is left to those who read it."""
        os.chmod(self.path, 0o644)
        (text,) = self._warnings(api_key_file=self.path, host="localhost")
        self.assertIn(f"users of this machine can read {self.path}", text)
        os.remove(self.path)
        self.assertEqual(
            self._warnings(api_key_file=self.path, host="localhost"), []
        )


if __name__ == "__main__":
    absltest.main()
