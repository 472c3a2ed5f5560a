"""Keys and certificates for tests of encrypted connections.

They protect nothing: everybody can read the keys. Made with openssl, valid for
100 years; the keys of the two authorities were thrown away.
"""

import dataclasses
import os
import ssl

_CA = b"""\
-----BEGIN CERTIFICATE-----
MIIBkjCCATmgAwIBAgIUKWULuPDvVAHULiLZ4oEOKY6AIZcwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLY2Egb2YgdGVzdHMwIBcNMjYxMTI1MjEzMDQwWhgPMjEyNjEx
MDEyMTMwNDBaMBYxFDASBgNVBAMMC2NhIG9mIHRlc3RzMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEVjgs4YVg0Lkrw0+gu3G/JC2elz4FCsuzAZ+UEIPIZeO8pDE+
WTnIKFdp2ItkU8bjeu7pQwy9uNjzEIao0/WDMKNjMGEwHQYDVR0OBBYEFEVzPDAY
SW9RQEIeyK/5vufVQAbHMB8GA1UdIwQYMBaAFEVzPDAYSW9RQEIeyK/5vufVQAbH
MA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgEGMAoGCCqGSM49BAMCA0cA
MEQCICDD01F6L7UBG9F4WErqWTIX29PJyFTkzGKvugVQZp8YAiBgDM4TyNxCH22g
wJLxklxTz3FJNyX/sB5PywvUACgAcw==
-----END CERTIFICATE-----
"""
# The key of a certificate for localhost, 127.0.0.1 and ::1; issued by _CA.
_SERVER_KEY = b"""\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrZ4U2uhjTyOKrRBN
R+6bjaIFQMvDYEw3ZkIdrJSLt4+hRANCAATecj5DQ9CZcxlECXs7xnsxq13YHv8C
+4zpRZGYfvEP0/bAtK+H8tjxxnijG6Ge27Y23ADZtZwLdOc4kXgZW8IT
-----END PRIVATE KEY-----
"""
_SERVER = b"""\
-----BEGIN CERTIFICATE-----
MIIBrDCCAVOgAwIBAgIBAjAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAtjYSBvZiB0
ZXN0czAgFw0yNjExMjUyMTMwNDFaGA8yMTI2MTEwMTIxMzA0MVowFDESMBAGA1UE
AwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE3nI+Q0PQmXMZ
RAl7O8Z7Matd2B7/AvuM6UWRmH7xD9P2wLSvh/LY8cZ4oxuhntu2NtwA2bWcC3Tn
OJF4GVvCE6OBkTCBjjAJBgNVHRMEAjAAMCwGA1UdEQQlMCOCCWxvY2FsaG9zdIcE
fwAAAYcQAAAAAAAAAAAAAAAAAAAAATATBgNVHSUEDDAKBggrBgEFBQcDATAdBgNV
HQ4EFgQURGm8divNTnqfP8b5W/ILkHHvOTwwHwYDVR0jBBgwFoAURXM8MBhJb1FA
Qh7Ir/m+59VABscwCgYIKoZIzj0EAwIDRwAwRAIgGBUex69I2EslQuaPNV/witLh
WrThIlKuLEECbIkxdJkCIE+HXHiwljsUXuFcnq/+a/Zzey5vSHFhJnHCK9Ub92S1
-----END CERTIFICATE-----
"""
# The key of a certificate for clients; issued by _CA.
_CLIENT_KEY = b"""\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgwFy40AOMKuGczc2R
arlHi0qLa06BEh7fNXXZ9Tm29c+hRANCAAS10RzCcQfDTKf2Z17HWEA3cVpFgwNB
PHQ6LPA+yfrKr+dYnkZCphCt5Sr1LaduB4H5ZTxSHo/1L66BatNxj1Fr
-----END PRIVATE KEY-----
"""
_CLIENT = b"""\
-----BEGIN CERTIFICATE-----
MIIBejCCASCgAwIBAgIBAzAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAtjYSBvZiB0
ZXN0czAgFw0yNjExMjUyMTMwNDFaGA8yMTI2MTEwMTIxMzA0MVowETEPMA0GA1UE
AwwGY2xpZW50MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEtdEcwnEHw0yn9mde
x1hAN3FaRYMDQTx0OizwPsn6yq/nWJ5GQqYQreUq9S2nbgeB+WU8Uh6P9S+ugWrT
cY9Ra6NiMGAwCQYDVR0TBAIwADATBgNVHSUEDDAKBggrBgEFBQcDAjAdBgNVHQ4E
FgQUrqv9sNKgQlNbGVRLZET/yQK1FOQwHwYDVR0jBBgwFoAURXM8MBhJb1FAQh7I
r/m+59VABscwCgYIKoZIzj0EAwIDSAAwRQIhAOi74isPCfOOro/b1Xpncj+ehLxr
5bUn6oB0cQi+MgaPAiAtHi/WsIeohTD+Am7BcQ9rPHpUulKUGB/juxz+iCv2Jg==
-----END CERTIFICATE-----
"""
# The key of a certificate for clients that another authority issued.
_STRANGER_KEY = b"""\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZSaTrhoIsN3mJ1Cl
SOZ0fV5Ywe9lR3k27GCHMqQMAiyhRANCAASRtEiPoNl7DEj0oV8THDZfbzCdyZuB
hBVaPPxdSzGYX94AnDYYvU5kaXG3o2OzCTFRanwOUUmENG6dtkCt8yh2
-----END PRIVATE KEY-----
"""
_STRANGER = b"""\
-----BEGIN CERTIFICATE-----
MIIBhjCCASugAwIBAgIBAzAKBggqhkjOPQQDAjAfMR0wGwYDVQQDDBRzdHJhbmdl
cl9jYSBvZiB0ZXN0czAgFw0yNjExMjUyMTMwNDFaGA8yMTI2MTEwMTIxMzA0MVow
EzERMA8GA1UEAwwIc3RyYW5nZXIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASR
tEiPoNl7DEj0oV8THDZfbzCdyZuBhBVaPPxdSzGYX94AnDYYvU5kaXG3o2OzCTFR
anwOUUmENG6dtkCt8yh2o2IwYDAJBgNVHRMEAjAAMBMGA1UdJQQMMAoGCCsGAQUF
BwMCMB0GA1UdDgQWBBRs88LZ8gbT7g5uGN9sgvYO224GnjAfBgNVHSMEGDAWgBRm
MienRxbPkpQP5uZ3zUG76+MNbDAKBggqhkjOPQQDAgNJADBGAiEA3wqolUNKX70t
ne61OnxYfm5J+Bl4D5J2jEA1uACPdTQCIQCqOwWiGu7qvBV3f2549RNgPCu2NS4c
mu7QHHJau4/XxQ==
-----END CERTIFICATE-----
"""


@dataclasses.dataclass(frozen=True)
class KeyPair:
    """A private key and its certificate: files in PEM format."""

    key_file: str
    certificate_file: str


@dataclasses.dataclass(frozen=True)
class Certificates:
    """The files of a server, of its clients, and of a client it does not know.

    Example:
        files = certificates.write(self.create_tempdir().full_path)
        tls = options.TlsOptions(
            files.server.key_file, files.server.certificate_file, files.ca_file
        )
    """

    # The authority that issued the certificates of the server and the client.
    ca_file: str
    server: KeyPair
    client: KeyPair
    # A client with a certificate of an authority that nobody trusts.
    stranger: KeyPair

    def client_context(self, pair: KeyPair | None = None) -> ssl.SSLContext:
        """Returns what a client of HTTP/2 needs to trust the server.

        Args:
          pair: The certificate that the client shows; None for none.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        context.set_alpn_protocols(["h2"])
        if pair is not None:
            context.load_cert_chain(pair.certificate_file, pair.key_file)
        return context


def write(folder: str) -> Certificates:
    """Writes the files into a folder."""

    def put(name: str, data: bytes) -> str:
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    return Certificates(
        put("ca.pem", _CA),
        KeyPair(put("server.key", _SERVER_KEY), put("server.pem", _SERVER)),
        KeyPair(put("client.key", _CLIENT_KEY), put("client.pem", _CLIENT)),
        KeyPair(
            put("stranger.key", _STRANGER_KEY), put("stranger.pem", _STRANGER)
        ),
    )
