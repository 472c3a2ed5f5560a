"""The flags of the servers of MnistService: where they listen, how they end.

Example:
    flags.adopt_module_key_flags(mnist_server_flags)  # shows them in --help
    with mnist_server_flags.port_named():
        ...listen on mnist_server_flags.address()...

Imports nothing that serves, so that a supervisor stays small.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from absl import flags

from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.util import errors

PORT = flags.DEFINE_integer(
    "port",
    0,
    "Port to listen on; 0 picks a free one and prints it.",
    lower_bound=0,
    upper_bound=65535,
)
_HOST = flags.DEFINE_string(
    "host",
    "",
    "Host name or address to listen on, such as localhost or ::1; empty: all "
    "addresses of this machine, IPv4 and IPv6.",
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
MAX_CONCURRENT_CALLS = flags.DEFINE_integer(
    "max_concurrent_calls",
    0,
    "How many calls may be without an answer at the same time; more are "
    "refused with RESOURCE_EXHAUSTED. 0: any number.",
    lower_bound=0,
)
DRAIN_DELAY_SECONDS = flags.DEFINE_float(
    "drain_delay_seconds",
    0.0,
    "How long to go on serving after SIGTERM or Ctrl-C, with a health of "
    "NOT_SERVING: the time that load balancers take to look elsewhere.",
    lower_bound=0.0,
)
SHUTDOWN_GRACE_SECONDS = flags.DEFINE_float(
    "shutdown_grace_seconds",
    30.0,
    "How long calls that run may take to finish after that.",
    lower_bound=0.0,
)

# How long the process may go on without calls, or once their time is over.
EXIT_SECONDS = 2.0


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


def address(port: int | None = None) -> str:
    """Returns where to listen, for a server.

    Args:
      port: None for that of the flag.
    """
    host = _HOST.value
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{PORT.value if port is None else port}"


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


def max_seconds_to_end() -> float:
    """Returns how long the process may go on after the first signal."""
    return (
        DRAIN_DELAY_SECONDS.value + SHUTDOWN_GRACE_SECONDS.value + EXIT_SECONDS
    )


@contextlib.contextmanager
def port_named() -> Iterator[None]:
    """Adds the flags to the error of an address that cannot be taken."""
    try:
        yield
    except errors.UnavailableError as error:
        raise errors.UnavailableError(
            "--port must be a free port, or 0 to pick one, and --host an "
            f"address of this machine; got --port={PORT.value} "
            f"--host={_HOST.value} ({error})"
        ) from None


def say_running(port: int) -> None:
    """Prints that the server can be called."""
    print(
        f"Running... listening on {_HOST.value or '0.0.0.0'}:{port}", flush=True
    )
