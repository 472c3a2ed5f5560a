"""A TCP port for a server that cannot choose one itself."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def hold() -> Iterator[int]:
    """Yields a port of 127.0.0.1 that the system gives to nobody else.

    A server that sets SO_REUSEADDR, as servers do, can listen on it: the socket
    that holds it does not listen.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
