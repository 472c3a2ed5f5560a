"""How a server serves."""

import dataclasses
import os
from collections.abc import Callable

from tensorflow_serving.rpc import access as access_lib
from tensorflow_serving.rpc import observer as observer_lib
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.util import errors

# The largest size that fits into the prefix of a message and into the option of
# grpcio.
_MAX_MESSAGE_BYTES = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class TlsOptions:
    """Files in PEM format with which connections are encrypted.

    Raises:
      InvalidArgumentError: A file cannot be read.
    """

    private_key_file: str
    # The certificate of the server, then those that lead to its issuer.
    certificate_chain_file: str
    # The issuers of the certificates that clients must have; empty: clients
    # need none.
    client_ca_file: str = ""

    def __post_init__(self) -> None:
        """Checks that the files are there."""
        for name, path in dataclasses.asdict(self).items():
            if not path and name == "client_ca_file":
                continue
            if not os.path.isfile(path) or not os.access(path, os.R_OK):
                raise errors.InvalidArgumentError(
                    f"{name} must be a file that can be read; got {path!r}"
                )


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a Server.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How many calls of blocking methods run at the same time; more wait.
    num_threads: int = 1
    # How many calls may be without a reply at the same time, counted from the
    # moment in which their request is there; one more is refused with
    # RESOURCE_EXHAUSTED. 0: any number.
    max_concurrent_calls: int = 0
    # The largest request. A larger one is refused with RESOURCE_EXHAUSTED.
    max_request_bytes: int = 4 << 20
    # None: no encryption.
    tls: TlsOptions | None = None
    # None: everybody may call.
    access: access_lib.Access | None = None
    # Gets the ends of calls that services do not see, of the wire lane; None:
    # nobody wants to know.
    observer: observer_lib.Observer | None = None
    # Whether health is SERVING once calls are answered; if not, it is up to
    # whoever calls Server.health.
    starts_serving: bool = True
    # Whether other processes of this user may listen on the same port.
    reuse_port: bool = False
    # Whether the UNIX socket of another server becomes that of this one, if
    # both have the same path. The wire lane does that.
    takes_over_sockets: bool = False
    # Limits on the demands of one connection; the wire lane enforces them.
    limits: limits_lib.Limits = limits_lib.Limits()
    # Called about once a second on the thread that answers calls, as long as it
    # does; must not block.
    heartbeat: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1,
            num_threads=self.num_threads,
            max_request_bytes=self.max_request_bytes,
        )
        errors.require_at_least(
            0, max_concurrent_calls=self.max_concurrent_calls
        )
        if self.max_request_bytes > _MAX_MESSAGE_BYTES:
            raise errors.InvalidArgumentError(
                f"max_request_bytes must be at most {_MAX_MESSAGE_BYTES}; got "
                f"{self.max_request_bytes}"
            )
