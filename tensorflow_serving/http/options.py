"""Options of a server of HTTP."""

import dataclasses
import ssl
from collections.abc import Callable

from tensorflow_serving.http import messages
from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits on what clients may demand.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # The largest body, also once it is decompressed.
    max_body_bytes: int = 64 << 20
    # The bodies of all requests that are not answered yet, together.
    max_total_body_bytes: int = 512 << 20
    # How many requests may be without an answer; 0: any number.
    max_concurrent_requests: int = 0
    # All that comes before the body.
    max_head_bytes: int = 64 << 10
    max_connections: int = 10_000
    # How long a head may take, from its first byte or from the connection.
    head_seconds: float = 20.0
    # How long a body may take, and how fast it must come in all time after.
    body_seconds: float = 30.0
    min_body_bytes_per_second: int = 64 << 10
    # How long the rest of a body that is refused is read, and thrown away.
    refused_body_seconds: float = 5.0
    # How long a client may leave a response unread.
    write_seconds: float = 30.0
    # How long a new connection may still bring its first request, and half a
    # head its other half, once the server takes no further connections.
    last_request_seconds: float = 1.0
    # How long a connection without a request stays. Longer than that of the
    # usual proxies, up to ten minutes: a request that meets a closing
    # connection is lost.
    keep_alive_seconds: int = 620

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1,
            max_body_bytes=self.max_body_bytes,
            max_head_bytes=self.max_head_bytes,
            max_connections=self.max_connections,
            min_body_bytes_per_second=self.min_body_bytes_per_second,
        )
        errors.require_at_least(
            0, max_concurrent_requests=self.max_concurrent_requests
        )
        errors.require_at_least(
            self.max_body_bytes, max_total_body_bytes=self.max_total_body_bytes
        )


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an HttpServer."""

    limits: Limits = Limits()
    # None: no encryption.
    tls: ssl.SSLContext | None = None
    # Whether other processes of this user may listen on the same port.
    reuse_port: bool = False
    # Gets each request without its body before anything is done for it, and
    # raises the ServingError with which it is refused, if it is. None: all are
    # admitted.
    admit: Callable[[messages.Request], None] | None = None
    # Gets each request, its response, and the seconds between its head and the
    # end of that; None instead of a response if the client left. On the thread
    # of the server, which it must not block. None: nobody wants to know.
    on_end: (
        Callable[[messages.Request, messages.Response | None, float], None]
        | None
    ) = None
