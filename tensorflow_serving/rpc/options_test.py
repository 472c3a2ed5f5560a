"""Tests for options."""

import os

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import options
from tensorflow_serving.test_util import certificates
from tensorflow_serving.util import errors


class OptionsTest(parameterized.TestCase):
    """The options of a server."""

    @parameterized.parameters(
        ("num_threads", 0, "num_threads must be at least 1; got 0"),
        ("max_request_bytes", 0, "max_request_bytes must be at least 1; got 0"),
        (
            "max_concurrent_calls",
            -1,
            "max_concurrent_calls must be at least 0; got -1",
        ),
        (
            "max_request_bytes",
            2**31,
            "max_request_bytes must be at most 2147483647; got 2147483648",
        ),
    )
    def test_value_out_of_range_is_an_error(
        self, name: str, value: int, text: str
    ) -> None:
        """The error names the option, the rule and the value."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, f"^{text}$"):
            options.Options(**{name: value})  # type: ignore[arg-type]

    def test_largest_request_that_a_prefix_can_announce_is_allowed(
        self,
    ) -> None:
        """The largest request has 2 GiB without a byte."""
        self.assertEqual(
            options.Options(max_request_bytes=2**31 - 1).max_request_bytes,
            2**31 - 1,
        )


class TlsOptionsTest(absltest.TestCase):
    """The files of a server with TLS."""

    def setUp(self) -> None:
        """Writes a key and a certificate."""
        super().setUp()
        self._folder = self.create_tempdir().full_path
        server = certificates.write(self._folder).server
        self._key, self._certificate = server.key_file, server.certificate_file

    def test_certificates_of_clients_are_not_needed(self) -> None:
        """A server may have a key and a certificate only."""
        tls = options.TlsOptions(self._key, self._certificate)
        self.assertEqual(tls.client_ca_file, "")

    def test_file_that_is_not_there_is_an_error(self) -> None:
        """The error names the option, and the path."""
        path = os.path.join(self._folder, "missing")
        for name, files in (
            ("private_key_file", (path, self._certificate)),
            ("certificate_chain_file", (self._key, path)),
            ("certificate_chain_file", (self._key, self._folder)),
            ("private_key_file", ("", self._certificate)),
        ):
            with self.assertRaisesRegex(errors.InvalidArgumentError, name):
                options.TlsOptions(*files)
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"client_ca_file .*; got '{path}'"
        ):
            options.TlsOptions(self._key, self._certificate, path)


if __name__ == "__main__":
    absltest.main()
