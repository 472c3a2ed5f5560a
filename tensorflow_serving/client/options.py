"""How a client reaches its server."""

import dataclasses
import json
import pathlib
from typing import Final

import grpc

from tensorflow_serving.util import api_key_file, errors

# gRPC makes at most this many attempts, whatever it is asked for.
_MAX_ATTEMPTS: Final = 5
# With pauses under a millisecond, gRPC 1.85 loses some of the attempts, and the
# call waits for its deadline.
_SHORTEST_PAUSE_SECONDS: Final = 0.01


@dataclasses.dataclass(frozen=True)
class TlsOptions:
    """Files in PEM for an encrypted connection."""

    # The authorities that are trusted; empty for those of gRPC.
    ca_file: str = ""
    # The key and certificate with which the client authenticates; both or none.
    private_key_file: str = ""
    certificate_chain_file: str = ""

    def __post_init__(self) -> None:
        """Checks the values."""
        if bool(self.private_key_file) != bool(self.certificate_chain_file):
            raise errors.InvalidArgumentError(
                "private_key_file and certificate_chain_file must be given "
                f"together; got {self}"
            )

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files.

        Raises:
          OSError: One cannot be read.
        """
        return grpc.ssl_channel_credentials(
            _read(self.ca_file),
            _read(self.private_key_file),
            _read(self.certificate_chain_file),
        )


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a client."""

    # Host and port, such as "localhost:8500", or "unix:" and a path.
    server: str
    # None for a connection that is not encrypted.
    tls: TlsOptions | None = None
    # How long a call may take, attempts and pauses included. 0: any time.
    deadline_seconds: float = 10.0
    # How often a call is tried in all, while the server is UNAVAILABLE; at most
    # 5. 1: never again.
    max_attempts: int = 3
    # The pause before the second attempt, which doubles with each one; at
    # least 0.01. gRPC adds or takes a random fifth.
    first_pause_seconds: float = 0.1
    # After how long without news a ping shows whether the server is there. 0:
    # never. TensorFlow's own servers end connections with over one in 300 s.
    keepalive_seconds: float = 0.0
    # The key that the server asks for; empty if it asks for none. Without tls
    # it goes over the network in clear.
    api_key: str = dataclasses.field(default="", repr=False)

    def __post_init__(self) -> None:
        """Checks the values."""
        if not self.server:
            raise errors.InvalidArgumentError(
                "server must be a host and a port, for example "
                "localhost:8500; got nothing"
            )
        if not 1 <= self.max_attempts <= _MAX_ATTEMPTS:
            raise errors.InvalidArgumentError(
                f"max_attempts must be 1 to {_MAX_ATTEMPTS}; got "
                f"{self.max_attempts}"
            )
        if not self.first_pause_seconds >= _SHORTEST_PAUSE_SECONDS:
            raise errors.InvalidArgumentError(
                "first_pause_seconds must be at least "
                f"{_SHORTEST_PAUSE_SECONDS}; got {self.first_pause_seconds}"
            )
        for name in ("deadline_seconds", "keepalive_seconds"):
            if not getattr(self, name) >= 0:
                raise errors.InvalidArgumentError(
                    f"{name} must be at least 0; got {getattr(self, name)}"
                )

        if self.api_key:
            api_key_file.require_key(self.api_key, "api_key")

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Is sent with each call."""
        if not self.api_key:
            return ()
        return (("authorization", f"Bearer {self.api_key}"),)

    def channel_arguments(self) -> list[tuple[str, str | int]]:
        """Returns what a gRPC channel takes as its options."""
        arguments: list[tuple[str, str | int]] = [
            ("grpc.max_receive_message_length", -1),
            ("grpc.max_send_message_length", -1),
            ("grpc.service_config", json.dumps(self._service_config())),
        ]
        if self.keepalive_seconds:
            milliseconds = max(1, round(1000 * self.keepalive_seconds))
            arguments.append(("grpc.keepalive_time_ms", milliseconds))
        return arguments

    def _service_config(self) -> dict[str, object]:
        """Returns the policy by which gRPC itself tries calls again.

        The format: https://github.com/grpc/grpc/blob/master/doc/service_config.md
        """
        method: dict[str, object] = {"name": [{}]}
        if self.max_attempts > 1:
            longest = self.first_pause_seconds * 2**_MAX_ATTEMPTS
            method["retryPolicy"] = {
                "maxAttempts": self.max_attempts,
                "initialBackoff": f"{self.first_pause_seconds:.9f}s",
                "maxBackoff": f"{longest:.9f}s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            }
        return {"methodConfig": [method]}


def _read(path: str) -> bytes | None:
    return pathlib.Path(path).read_bytes() if path else None
