"""The flags that all servers have: where to listen, how many calls, the end.

Example:
    flags.adopt_module_key_flags(server_flags)  # shows them in --help
    Server(server_flags.address(9000), ...)

Imports nothing that serves, so that a supervisor stays small.
"""

from typing import Final

from absl import flags

from tensorflow_serving.rpc import shutdown as shutdown_lib

MAX_PORT: Final = 65535

HOST = flags.DEFINE_string(
    "host",
    "",
    "Host name or address to listen on, such as localhost or ::1; empty: all "
    "addresses of this machine, IPv4 and IPv6.",
)
MAX_CONCURRENT_CALLS = flags.DEFINE_integer(
    "max_concurrent_calls",
    0,
    "How many calls may be without an answer at the same time; more are "
    "refused with RESOURCE_EXHAUSTED. 0: any number.",
    lower_bound=0,
)
_DRAIN_DELAY_SECONDS = flags.DEFINE_float(
    "drain_delay_seconds",
    0.0,
    "How long to go on serving after SIGTERM or Ctrl-C, with a health of "
    "NOT_SERVING: the time that load balancers take to look elsewhere.",
    lower_bound=0.0,
)
_SHUTDOWN_GRACE_SECONDS = flags.DEFINE_float(
    "shutdown_grace_seconds",
    30.0,
    "How long calls that run may take to finish after that.",
    lower_bound=0.0,
)


def address(port: int) -> str:
    """Returns where to listen, for a server."""
    host = HOST.value
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return f"{host}:{port}"


def shutdown() -> shutdown_lib.Shutdown:
    """Returns how the server ends."""
    return shutdown_lib.Shutdown(
        drain_delay_seconds=_DRAIN_DELAY_SECONDS.value,
        grace_seconds=_SHUTDOWN_GRACE_SECONDS.value,
    )
