"""TLS for servers: options as what Python's ssl needs."""

import ssl

from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.util import errors

# The name of HTTP/2 in the handshake; RFC 9113, section 3.3.
_HTTP_2 = "h2"


def create_context(
    options: options_lib.TlsOptions, protocol: str = _HTTP_2
) -> ssl.SSLContext:
    """Returns what encrypts the connections of a server.

    Args:
      options: See TlsOptions.
      protocol: The name of what is spoken, for the handshake (ALPN).

    Raises:
      InvalidArgumentError: A file does not hold what it should. Permanent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # RFC 9113, 9.2: at least 1.2, without compression and renegotiation.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols([protocol])
    try:
        context.load_cert_chain(
            options.certificate_chain_file,
            options.private_key_file,
            # Without one, OpenSSL would ask for it on the terminal.
            password=lambda: "",
        )
    except (ssl.SSLError, OSError, ValueError) as error:
        raise errors.InvalidArgumentError(
            "private_key_file and certificate_chain_file must be a key without "
            "a password and its certificate, in PEM; got "
            f"{options.private_key_file} and {options.certificate_chain_file} "
            f"({error})"
        ) from None
    if options.client_ca_file:
        try:
            context.load_verify_locations(options.client_ca_file)
        except (ssl.SSLError, OSError) as error:
            raise errors.InvalidArgumentError(
                "client_ca_file must hold certificates in PEM; got "
                f"{options.client_ca_file} ({error})"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
