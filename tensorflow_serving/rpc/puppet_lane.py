"""A lane without a thread, whose rounds a test turns."""

import contextlib
import socket
from collections.abc import Callable, Mapping

from tensorflow_serving.rpc import (
    call_router,
    event_loop,
    lane,
    peer,
    raw_client,
    transport,
)
from tensorflow_serving.rpc import options as options_lib


class PuppetLane:
    """A router with peers on pairs of sockets.

    A context manager that closes all of it. For one thread.
    """

    def __init__(
        self,
        methods: lane.Methods,
        options: options_lib.Options | None = None,
    ) -> None:
        """Takes the methods that clients may call."""
        options = options or options_lib.Options()
        self.loop = event_loop.EventLoop()
        self.limits = options.limits
        self.peers: set[peer.Peer] = set()
        self.to_flush: list[peer.Peer] = []
        self.router = call_router.CallRouter(methods, options, self)
        self.router.start()
        self._stack = contextlib.ExitStack()

    def connect(
        self, settings: Mapping[int, int] | None = None
    ) -> raw_client.RawClient:
        """Returns a client that has said hello."""
        ours, theirs = socket.socketpair()
        peer.Peer(self, transport.PlainTransport(ours))
        client = self._stack.enter_context(raw_client.RawClient(theirs))
        client.greet(settings)
        self.turn()
        return client

    def run(self, function: Callable[[], None]) -> None:
        """Runs a function in the next round, on whatever thread it is called.

        Unlike a lane, which runs it at once on its own thread.
        """
        self.loop.post(function)

    def turn(self, times: int = 3) -> None:
        """Handles what has come and was posted, and sends what there is."""
        for _ in range(times):
            self.loop.run_once(0)
            while self.to_flush:
                peers, self.to_flush = self.to_flush, []
                for each in peers:
                    each.flush()

    def wait_until(self, is_true: Callable[[], bool]) -> None:
        """Handles what other threads post until a condition is true."""
        while not is_true():
            self.loop.run_once(60)
        self.turn()

    def __enter__(self) -> "PuppetLane":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes everything."""
        for each in list(self.peers):
            each.close()
        self._stack.close()
        self.router.close()
        self.loop.close()
