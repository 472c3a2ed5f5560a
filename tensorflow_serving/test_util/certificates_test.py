"""Tests for certificates."""

import ssl

from absl.testing import absltest

from tensorflow_serving.test_util import certificates


class CertificatesTest(absltest.TestCase):
    """Handshakes in memory, with the files of a temporary folder."""

    def setUp(self) -> None:
        """Writes the files."""
        super().setUp()
        self.files = certificates.write(self.create_tempdir().full_path)

    def _shake_hands(
        self, host: str, pair: certificates.KeyPair | None = None
    ) -> str:
        """Returns the protocol on which server and client agree.

        Raises:
          ssl.SSLError: One of them does not trust the other.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server = self.files.server
        context.load_cert_chain(server.certificate_file, server.key_file)
        context.load_verify_locations(self.files.ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        sides = [
            self.files.client_context(pair).wrap_bio(
                to_client, to_server, server_hostname=host
            ),
            context.wrap_bio(to_server, to_client, server_side=True),
        ]
        # A handshake has three flights.
        for side in [*sides, *sides]:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        return sides[1].selected_alpn_protocol() or ""

    def test_client_and_server_trust_each_other(self) -> None:
        """The server goes by the name and the addresses of this machine."""
        for host in ("localhost", "127.0.0.1", "::1"):
            self.assertEqual(self._shake_hands(host, self.files.client), "h2")

    def test_server_is_nobody_else(self) -> None:
        """A client that asks for another host refuses the server."""
        with self.assertRaises(ssl.SSLCertVerificationError):
            self._shake_hands("another.host", self.files.client)

    def test_stranger_is_refused(self) -> None:
        """The server trusts the authority of its clients only."""
        with self.assertRaises(ssl.SSLCertVerificationError):
            self._shake_hands("localhost", self.files.stranger)

    def test_client_without_a_certificate_is_refused(self) -> None:
        """A server that requires certificates gets one from each client."""
        with self.assertRaises(ssl.SSLError):
            self._shake_hands("localhost")


if __name__ == "__main__":
    absltest.main()
