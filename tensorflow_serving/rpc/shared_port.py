"""A port that several processes of one program listen on.

The system spreads new connections over all sockets that listen on the port
with SO_REUSEPORT. It would do so for two programs as well, without a word.
"""

import errno
import socket

from tensorflow_serving.rpc import listener
from tensorflow_serving.util import errors


class SharedPort:
    """Holds a TCP port for processes that listen on it with SO_REUSEPORT.

    with SharedPort("0.0.0.0:0") as port:
        ...start processes that listen on port.port, and end them...

    The port is that of this object alone, and of sockets with SO_REUSEPORT of
    the same user, until close(): no other SharedPort gets it, nor does a
    program that wants it for itself, even while no process listens. The object
    does not listen itself, so it is given no connection.

    A context manager that closes itself.
    """

    def __init__(self, address: str) -> None:
        """Takes the port.

        Args:
          address: Host and port, such as "0.0.0.0:9000" or "[::]:9000"; port 0
            picks one. "[::]" is for IPv4 as well.

        Raises:
          UnavailableError: The address cannot be bound; likely it is in use.
        """
        try:
            self._socket = _bind(address)
        except (OSError, ValueError):
            raise errors.UnavailableError(
                "address must be free, belong to this machine and be allowed "
                f"for this user; got {address}"
            ) from None
        self._port = int(self._socket.getsockname()[1])

    @property
    def port(self) -> int:
        """The port that is held."""
        return self._port

    def close(self) -> None:
        """Releases the port, but no socket that listens on it. Idempotent."""
        self._socket.close()

    def __enter__(self) -> "SharedPort":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the port."""
        self.close()


def _bind(address: str) -> socket.socket:
    """Returns a socket that has the address and does not listen.

    Raises:
      OSError: The address cannot be bound.
      ValueError: It is not an address.
    """
    (family, name), *_ = listener.resolve(*listener.split(address))
    bound = socket.socket(family)
    try:
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        _bind_alone(bound, name)
    except BaseException:
        bound.close()
        raise
    return bound


def _bind_alone(bound: socket.socket, name: tuple[object, ...]) -> None:
    """Binds the socket if no other has the address; then lets others join.

    SO_REUSEPORT comes after bind(), so that there is no moment between the
    check that the port is free and holding it: of two programs that start
    together, one fails.
    """
    try:
        bound.bind(name)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        # With this option, what is left of connections of a server that has
        # ended is not in the way; whatever listens or holds the port still is.
        # It does not stay on: two sockets that have it and do not listen would
        # get along.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(name)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
