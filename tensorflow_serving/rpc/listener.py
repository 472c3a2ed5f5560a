"""Sockets that listen: TCP on all addresses of a host, and UNIX sockets."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import urllib.parse
from collections.abc import Callable
from typing import Any, Final

_UNIX = "unix:"
# How many connections may wait until they are accepted. The system lowers it
# to what it allows.
BACKLOG: Final = 4096
# unix(7): the size of sun_path, without the zero at its end.
MAX_PATH_BYTES: Final = 107
# How often another port is tried that is free in all families.
_MAX_TRIES = 16


class Listener:
    """The sockets of one address.

    An address is a host and a port, such as "0.0.0.0:9000" or "[::1]:9000",
    where port 0 picks one; ":9000" is for all addresses of the machine, of both
    families where it has both, and "localhost:9000" for its own; or it is
    "unix:" and the path of a socket.

    A UNIX socket belongs to the one who has locked the file beside it: what a
    server that is gone left behind is removed, what another one has is not. Or
    it belongs to the last one who has come.
    """

    def __init__(
        self,
        address: str,
        *,
        reuse_port: bool = False,
        takes_over: bool = False,
    ) -> None:
        """Listens.

        Args:
          address: See above.
          reuse_port: Whether other sockets of this user with this option may
            listen on the port.
          takes_over: Whether a UNIX socket belongs to the last one, as with
            gRPC: it gets all further connections to the path, and those that
            there are stay with whom they are.

        Raises:
          OSError: The address cannot be taken.
          ValueError: It is not an address.
        """
        self._stack = contextlib.ExitStack()
        self.sockets: list[socket.socket] = []
        # 0 for a UNIX socket.
        self.port = 0
        with contextlib.ExitStack() as stack:
            if address.startswith(_UNIX):
                self._listen_on_path(path_of(address) or "", takes_over, stack)
            else:
                self._listen_on_host(address, reuse_port, stack)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Listens no longer. Idempotent."""
        self._stack.close()

    def _listen_on_host(
        self, address: str, reuse_port: bool, stack: contextlib.ExitStack
    ) -> None:
        host, port = split(address)
        families = resolve(host, port)
        for attempt in range(_MAX_TRIES):
            with contextlib.ExitStack() as attempt_stack:
                try:
                    self.sockets = _bind_all(
                        families, port, reuse_port, attempt_stack.callback
                    )
                except OSError as error:
                    # A free port of one family may be taken in the other.
                    if (
                        port == 0
                        and error.errno == errno.EADDRINUSE
                        and attempt < _MAX_TRIES - 1
                    ):
                        continue
                    raise
                stack.push(attempt_stack.pop_all())
                break
        self.port = int(self.sockets[0].getsockname()[1])

    def _listen_on_path(
        self, path: str, takes_over: bool, stack: contextlib.ExitStack
    ) -> None:
        if not path:
            raise ValueError("no path")
        if not takes_over:
            lock(path, stack)
        listening = socket.socket(socket.AF_UNIX)
        stack.callback(listening.close)
        with contextlib.suppress(FileNotFoundError):
            if not _is_socket(path):
                raise OSError(errno.EEXIST, "not a socket", path)
            os.unlink(path)
        listening.bind(path)
        stack.callback(_unlink_own, path, os.lstat(path))
        listening.listen(BACKLOG)
        listening.setblocking(False)
        self.sockets = [listening]


def path_of(address: str) -> str | None:
    """Returns the path of the address of a UNIX socket; None for another."""
    if not address.startswith(_UNIX):
        return None
    return address.removeprefix(_UNIX)


def split(address: str) -> tuple[str, int]:
    """Returns the host, which may be empty, and the port of an address.

    Raises:
      ValueError: It is not an address.
    """
    parts = urllib.parse.urlsplit(f"//{address}")
    if parts.port is None or parts.netloc != address or "@" in address:
        raise ValueError("address must be host:port")
    return parts.hostname or "", parts.port


# Family and address, as for a socket.
Address = tuple[int, tuple[Any, ...]]


def resolve(host: str, port: int) -> list[Address]:
    """Returns where to listen, without what this machine does not have.

    Raises:
      OSError: There is no such host.
    """
    if not host:
        if _has_ipv6():
            # This one takes both families.
            return [(socket.AF_INET6, ("::", port))]
        return [(socket.AF_INET, ("0.0.0.0", port))]
    found = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    unique: dict[Address, None] = dict.fromkeys(
        (family, name) for family, _, _, _, name in found
    )
    usable = [
        (family, name)
        for family, name in unique
        if family == socket.AF_INET
        or (family == socket.AF_INET6 and _has_ipv6())
    ]
    if not usable:
        raise OSError(errno.EADDRNOTAVAIL, "no such address")
    return usable


def _has_ipv6() -> bool:
    """Returns whether this machine has addresses of the new family."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _bind_all(
    addresses: list[Address],
    port: int,
    reuse_port: bool,
    on_exit: Callable[..., object],
) -> list[socket.socket]:
    """Returns sockets that listen on one port of all addresses."""
    sockets = []
    for family, name in addresses:
        listening = socket.socket(family)
        on_exit(listening.close)
        # Remains of the connections of an ended server do not block the port; a
        # server that still listens on it does.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, name[0] != "::"
            )
        listening.bind((name[0], port, *name[2:]))
        listening.listen(BACKLOG)
        listening.setblocking(False)
        port = int(listening.getsockname()[1])
        sockets.append(listening)
    return sockets


def lock(path: str, stack: contextlib.ExitStack) -> None:
    """Takes the lock file beside a path, until the stack is closed.

    Raises:
      OSError: Somebody else has it.
    """
    path = f"{path}.lock"
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It is removed by its owner: this may be the file of the last one.
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                break
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    stack.callback(os.close, fd)
    stack.callback(_unlink, path)


def _is_socket(path: str) -> bool:
    """Returns whether a path, which must be there, is one of a socket."""
    return stat.S_ISSOCK(os.lstat(path).st_mode)


def _unlink_own(path: str, own: os.stat_result) -> None:
    """Removes a file, unless another one has its path by now."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.lstat(path), own):
            os.unlink(path)


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
