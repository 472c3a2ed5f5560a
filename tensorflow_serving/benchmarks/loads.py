"""Kinds of loads, and what they go to."""

import dataclasses

from tensorflow_serving.benchmarks import arrivals

_CALLS_PER_CONNECTION = 16
_MAX_CONNECTIONS = 8


@dataclasses.dataclass(frozen=True)
class Target:
    """A unary gRPC method of a server that runs, and a request for it.

    If is_rest, a path that takes POST of JSON instead, over HTTP/1.1; each call
    in flight then has a connection of its own.
    """

    name: str
    # Host and port.
    address: str
    # Such as "/tensorflow.serving.MnistService/Classify".
    method: str
    # A file with a request, which has the frame of gRPC if it is of gRPC.
    body_path: str
    # The size of a framed answer; 0 if it is not known.
    framed_answer_bytes: int = 0
    is_rest: bool = False
    # A page that is read each second while a load lasts; empty: none.
    scraped: str = ""


@dataclasses.dataclass(frozen=True)
class ClosedLoad:
    """Calls in flight, each followed by the next one as soon as it ends."""

    concurrency: int
    # The length of the load; 0 for one that ends after num_calls.
    seconds: float = 0.0
    num_calls: int = 0
    # The number of connections; 0 leaves it to num_connections.
    connections: int = 0

    def __str__(self) -> str:
        """Returns a label for tables."""
        if self.connections:
            streams = self.concurrency // self.connections
            return f"closed {self.connections} x {streams}"
        return f"closed {self.concurrency}"

    @property
    def num_connections(self) -> int:
        """The number of connections, which share the calls evenly.

        By default as many as have 16 calls in flight each, at most 8.
        """
        return self.connections or max(
            number
            for number in range(1, _MAX_CONNECTIONS + 1)
            if self.concurrency % number == 0
            and (
                number == 1
                or self.concurrency // number >= _CALLS_PER_CONNECTION
            )
        )

    def arrivals(self) -> arrivals.Arrivals:
        """Returns when the calls start."""
        return arrivals.Closed(
            self.concurrency,
            self.seconds or float("inf"),
            self.num_calls or None,
        )


@dataclasses.dataclass(frozen=True)
class OpenLoad:
    """Calls that start when they are meant to, whatever the server does."""

    # Calls a second on average; the time between two is random (Poisson).
    rate: float
    seconds: float
    # The same seed gives the same times.
    seed: int = 0

    def __str__(self) -> str:
        """Returns a label for tables."""
        return f"open {self.rate:.0f}/s"

    @property
    def num_connections(self) -> int:
        """As many as the largest closed load has."""
        return _MAX_CONNECTIONS

    def arrivals(self) -> arrivals.Arrivals:
        """Returns when the calls start."""
        times = arrivals.poisson_times(self.rate, self.seconds, self.seed)
        return arrivals.Open(times)


Load = ClosedLoad | OpenLoad
