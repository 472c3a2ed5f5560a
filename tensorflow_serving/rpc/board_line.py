"""A socket that carries news of a board, between supervisor and worker.

A message is its length, as 4 bytes in network order, and a BoardNews.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final

from absl import logging

from tensorflow_serving.rpc import board, board_pb2

# The environment variable with the descriptor of a worker's socket.
SOCKET_VARIABLE: Final = "TENSORFLOW_SERVING_BOARD_SOCKET"

_LENGTH: Final = struct.Struct("!I")


class BoardLine:
    """One end of the socket.

    post() does not block: a thread sends, and what it could not send yet is
    replaced by what is newer. Another thread reads. Both end with the socket.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        end: socket.socket,
        on_news: Callable[[board_pb2.BoardNews], None],
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes over a socket; nothing happens until start().

        Args:
          end: A stream.
          on_news: Takes what comes, on a thread.
          on_end: Called on that thread when nothing more comes.
        """
        self._socket = end
        self._on_news = on_news
        self._on_end = on_end
        self._lock = threading.Lock()
        # There is something to send, or the line is closed. Wakes the sender.
        self._news = threading.Condition(self._lock)
        # Both guarded by _lock.
        self._outbox = board.Outbox()
        self._is_closed = False
        self._threads = [
            threading.Thread(target=target, name=target.__name__, daemon=True)
            for target in (self._send_board, self._read_board)
        ]

    def start(self) -> None:
        """Begins to send and to read."""
        for thread in self._threads:
            thread.start()

    def post(self, news: board_pb2.BoardNews) -> None:
        """Sends news as soon as the other side takes them."""
        with self._lock:
            self._outbox.add(news)
            self._news.notify()

    def close(self) -> None:
        """Ends the threads; not for on_news to call. Idempotent."""
        with self._lock:
            self._is_closed = True
            self._news.notify()
        # Wakes a thread that sends or reads.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._socket.close()

    def __enter__(self) -> "BoardLine":
        """Starts; returns itself."""
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _send_board(self) -> None:
        # The other side is gone, or this one is closed.
        with contextlib.suppress(OSError):
            while (news := self._next_news()) is not None:
                data = news.SerializeToString()
                self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def _next_news(self) -> board_pb2.BoardNews | None:
        """Waits for something to send; returns None once closed."""
        with self._lock:
            self._news.wait_for(lambda: self._outbox or self._is_closed)
            return None if self._is_closed else self._outbox.take()

    def _read_board(self) -> None:
        try:
            with self._socket.makefile("rb") as file:
                while len(prefix := file.read(_LENGTH.size)) == _LENGTH.size:
                    (length,) = _LENGTH.unpack(prefix)
                    data = file.read(length)
                    if len(data) < length:
                        break
                    self._take(data)
        except OSError:
            pass  # the end, as well
        finally:
            self._on_end()

    def _take(self, data: bytes) -> None:
        """Takes one message; whatever is wrong with it, others follow."""
        try:
            self._on_news(board_pb2.BoardNews.FromString(data))
        except Exception:
            logging.exception("News of a board could not be taken; going on")
