"""Tests for ssl_files."""

import os
import pathlib

from absl.testing import absltest, parameterized

from tensorflow_serving.config import ssl_config_pb2
from tensorflow_serving.model_servers import ssl_files
from tensorflow_serving.test_util import certificates
from tensorflow_serving.util import errors


class SslFilesTest(parameterized.TestCase):
    """Tests with the certificates for tests."""

    def setUp(self) -> None:
        """Reads the texts of the certificates."""
        super().setUp()
        files = certificates.write(self.create_tempdir().full_path)
        self.config = ssl_config_pb2.SSLConfig(
            server_key=pathlib.Path(files.server.key_file).read_text(),
            server_cert=pathlib.Path(files.server.certificate_file).read_text(),
            custom_ca=pathlib.Path(files.ca_file).read_text(),
            client_verify=True,
        )

    def test_texts_are_files_of_this_user_alone(self) -> None:
        """They are gone afterwards: one of them is a private key."""
        with ssl_files.tls_options(self.config) as options:
            path = options.private_key_file
            self.assertEqual(
                pathlib.Path(path).read_text(), self.config.server_key
            )
            self.assertEqual(os.stat(path).st_mode & 0o077, 0)
            self.assertTrue(options.client_ca_file)
        self.assertFalse(os.path.exists(path))

    def test_clients_need_no_certificate_by_default(self) -> None:
        """An authority alone does not make the server ask for one."""
        self.config.client_verify = False
        with ssl_files.tls_options(self.config) as options:
            self.assertEqual(options.client_ca_file, "")

    @parameterized.parameters(
        ("server_key", "", "server_key and a server_cert, .* is empty"),
        ("server_cert", "", "server_key and a server_cert, .* is empty"),
        ("custom_ca", "", "a custom_ca, the issuers"),
        ("server_key", "x", "as server_key, and its certificate"),
        ("server_cert", "x", "as server_key, and its certificate"),
        ("custom_ca", "x", "as custom_ca; got something else"),
    )
    def test_text_that_is_not_what_it_should_be_is_refused(
        self, field: str, text: str, expected: str
    ) -> None:
        """The error names the flag and the field."""
        setattr(self.config, field, text)
        with (
            self.assertRaisesRegex(
                errors.InvalidArgumentError,
                f"^--ssl_config_file must have .*{expected}",
            ),
            ssl_files.tls_options(self.config),
        ):
            pass


if __name__ == "__main__":
    absltest.main()
