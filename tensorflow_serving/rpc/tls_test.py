"""Tests for tls."""

import os
import ssl

from absl.testing import absltest

from tensorflow_serving.rpc import options, tls
from tensorflow_serving.test_util import certificates
from tensorflow_serving.util import errors


class TlsTest(absltest.TestCase):
    """Contexts made from files."""

    def setUp(self) -> None:
        """Writes a key and a certificate."""
        super().setUp()
        self._folder = self.create_tempdir().full_path
        self._files = certificates.write(self._folder)
        self._key = self._files.server.key_file
        self._certificate = self._files.server.certificate_file

    def _write(self, text: bytes) -> str:
        path = os.path.join(self._folder, "other.pem")
        with open(path, "wb") as file:
            file.write(text)
        return path

    def _negotiate(
        self, context: ssl.SSLContext, client: ssl.SSLContext
    ) -> ssl.SSLObject:
        """Returns the client's end after a handshake in memory."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(to_server, to_client, server_side=True)
        other = client.wrap_bio(
            to_client, to_server, server_hostname="localhost"
        )
        waiting = [other, server]
        while waiting:
            for end in list(waiting):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(end)
        return other

    def _client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._files.ca_file)

    def test_http_2_is_chosen(self) -> None:
        """ALPN chooses HTTP/2 (RFC 9113, 3.2)."""
        client = self._client()
        client.set_alpn_protocols(["http/1.1", "h2"])
        context = tls.create_context(
            options.TlsOptions(self._key, self._certificate)
        )
        end = self._negotiate(context, client)
        self.assertEqual(end.selected_alpn_protocol(), "h2")
        self.assertIsNone(end.compression())

    def test_old_versions_are_refused(self) -> None:
        """TLS 1.2 is the least that is accepted (RFC 9113, 9.2)."""
        context = tls.create_context(
            options.TlsOptions(self._key, self._certificate)
        )
        self.assertEqual(context.minimum_version, ssl.TLSVersion.TLSv1_2)
        client = self._client()
        client.minimum_version = ssl.TLSVersion.TLSv1
        client.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises(ssl.SSLError):
            self._negotiate(context, client)

    def test_clients_need_a_certificate_if_their_issuer_is_named(self) -> None:
        """One with the certificate gets in, one without does not."""
        context = tls.create_context(
            options.TlsOptions(
                self._key, self._certificate, self._files.ca_file
            )
        )
        with self.assertRaisesRegex(ssl.SSLError, "did not return a cert"):
            client = self._client()
            client.maximum_version = ssl.TLSVersion.TLSv1_2
            self._negotiate(context, client)
        client = self._client()
        client.load_cert_chain(
            self._files.client.certificate_file, self._files.client.key_file
        )
        self._negotiate(context, client)

    def test_file_that_holds_something_else_is_an_error(self) -> None:
        """The error names both files: it cannot be known which is wrong."""
        other = self._write(b"something else")
        for files in ((other, self._certificate), (self._key, other)):
            with self.assertRaisesRegex(
                errors.InvalidArgumentError,
                f"private_key_file and .* got {files[0]} and {files[1]}",
            ):
                tls.create_context(options.TlsOptions(*files))
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "client_ca_file must hold"
        ):
            tls.create_context(
                options.TlsOptions(self._key, self._certificate, other)
            )


if __name__ == "__main__":
    absltest.main()
