"""The flags of the servers of MnistService, beside those of all servers.

Example:
    flags.adopt_module_key_flags(mnist_server_flags)  # shows them in --help
    with mnist_server_flags.port_named():
        ...listen on server_flags.address(mnist_server_flags.PORT.value)...

Imports nothing that serves, so that a supervisor stays small.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from absl import flags

from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc import server_flags
from tensorflow_serving.util import errors, program

PORT = flags.DEFINE_integer(
    "port",
    0,
    "Port to listen on; 0 picks a free one and prints it.",
    lower_bound=0,
    upper_bound=server_flags.MAX_PORT,
)
_SSL_KEY_FILE = flags.DEFINE_string(
    "ssl_key_file",
    "",
    "Private key of the server, in PEM. With --ssl_certificate_file, "
    "connections are encrypted.",
)
_SSL_CERTIFICATE_FILE = flags.DEFINE_string(
    "ssl_certificate_file",
    "",
    "Certificate of the server and those that lead to its issuer, in PEM.",
)
_SSL_CLIENT_CA_FILE = flags.DEFINE_string(
    "ssl_client_ca_file",
    "",
    "Issuers of the certificates that clients must have, in PEM; empty: "
    "clients need none.",
)
RPC_LANE = flags.DEFINE_enum(
    "rpc_lane",
    "wire",
    ["wire", "grpcio"],
    "How calls get in: wire is this project's server, grpcio that of the "
    "package grpcio, which is much slower and less robust.",
)
flags.adopt_module_key_flags(server_flags)


def _are_ssl_flags_complete(values: Mapping[str, Any]) -> bool:
    has_key = bool(values["ssl_key_file"])
    has_certificate = bool(values["ssl_certificate_file"])
    return has_key == has_certificate and (
        has_key or not values["ssl_client_ca_file"]
    )


flags.register_multi_flags_validator(
    [_SSL_KEY_FILE, _SSL_CERTIFICATE_FILE, _SSL_CLIENT_CA_FILE],
    _are_ssl_flags_complete,
    "--ssl_key_file and --ssl_certificate_file must be given together, and "
    "--ssl_client_ca_file only with them",
)


def tls_options() -> options_lib.TlsOptions | None:
    """Returns how connections are encrypted; None: not at all.

    Raises:
      InvalidArgumentError: A file cannot be read.
    """
    if not _SSL_KEY_FILE.value:
        return None
    try:
        return options_lib.TlsOptions(
            _SSL_KEY_FILE.value,
            _SSL_CERTIFICATE_FILE.value,
            _SSL_CLIENT_CA_FILE.value,
        )
    except errors.InvalidArgumentError as error:
        raise errors.InvalidArgumentError(
            "--ssl_key_file, --ssl_certificate_file and --ssl_client_ca_file "
            f"must be files that can be read: {error}"
        ) from None


@contextlib.contextmanager
def port_named() -> Iterator[None]:
    """Adds the flags to the error of an address that cannot be taken."""
    try:
        yield
    except errors.UnavailableError as error:
        raise errors.UnavailableError(
            "--port must be a free port, or 0 to pick one, and --host an "
            f"address of this machine; got --port={PORT.value} "
            f"--host={server_flags.HOST.value} ({error})"
        ) from None


def say_running(port: int) -> None:
    """Prints that the server can be called."""
    host = server_flags.HOST.value or "0.0.0.0"
    program.say(f"Running... listening on {host}:{port}")
