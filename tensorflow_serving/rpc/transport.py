"""The bytes of a connection on a socket that never blocks, encrypted or not."""

import abc
import contextlib
import socket
import ssl
from typing import Final

from typing_extensions import override

# How much may be read at a time. More would make malloc map and unmap memory
# each time.
MAX_READ_BYTES: Final = 128 << 10


class Transport(abc.ABC):
    """A connected socket. Not thread-safe; nothing blocks."""

    def __init__(self, sock: socket.socket) -> None:
        """Takes over a socket."""
        self._socket = sock
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        """Returns the descriptor."""
        return self._socket.fileno()

    @property
    def wants_to_write(self) -> bool:
        """Whether receive() cannot go on before the socket is writable."""
        return False

    @property
    def can_send(self) -> bool:
        """Whether send() takes anything before receive() has gone on."""
        return True

    @abc.abstractmethod
    def receive(self, max_bytes: int) -> bytes | None:
        """Returns bytes of the peer.

        Args:
          max_bytes: How many at the most; with TLS, what came encrypted with
            them is returned as well.

        Returns:
          None if there are none now; no bytes after the last ones.
        """

    @abc.abstractmethod
    def send(self, data: bytes | memoryview) -> int:
        """Returns how many of the bytes were taken.

        Raises:
          OSError: The peer is gone.
        """

    def shut_down(self) -> None:
        """Notifies the peer that no further bytes will come."""
        with contextlib.suppress(OSError):  # it is gone already
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes the socket. Idempotent."""
        self._socket.close()


class PlainTransport(Transport):
    """A socket that sends and receives bytes without encryption."""

    @override
    def receive(self, max_bytes: int) -> bytes | None:
        try:
            return self._socket.recv(max_bytes)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    @override
    def send(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0


class TlsTransport(Transport):
    """A socket with TLS on it."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Takes over a socket, on which the handshake is still to come."""
        super().__init__(sock)
        self._tls = context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False
        )
        self._socket = self._tls
        self._is_established = False
        self._wants_to_write = False

    @property
    @override
    def wants_to_write(self) -> bool:
        return self._wants_to_write

    @property
    @override
    def can_send(self) -> bool:
        return self._is_established

    @override
    def receive(self, max_bytes: int) -> bytes | None:
        self._wants_to_write = False
        try:
            if not self._is_established:
                self._tls.do_handshake()
                self._is_established = True
            data = self._tls.recv(max_bytes)
            # epoll does not know of what was decrypted already.
            while data and self._tls.pending():
                data += self._tls.recv(self._tls.pending())
            return data
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLWantWriteError:
            self._wants_to_write = True
            return None
        except OSError:
            return b""

    @override
    def send(self, data: bytes | memoryview) -> int:
        if not self._is_established:
            return 0
        try:
            return self._tls.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0

    @override
    def shut_down(self) -> None:
        # The close_notify tells the peer that nothing was cut off; RFC 8446,
        # section 6.1. The server does not wait for the peer's answer to it.
        with contextlib.suppress(OSError, ValueError):
            self._tls.unwrap()
        super().shut_down()
