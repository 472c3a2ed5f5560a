"""A worker's copy of the board of its supervisor; see board.py.

Example:
    with worker_board.WorkerBoard.from_environment() as board:
        board.write("state", b"loading")
        board.note(1, "state")
"""

import socket
import threading
from collections.abc import Callable, Set

from tensorflow_serving.rpc import board as board_lib
from tensorflow_serving.rpc import board_line, board_pb2
from tensorflow_serving.rpc import worker as worker_lib
from tensorflow_serving.util import errors

Callback = Callable[[Set[str]], None]


class WorkerBoard:
    """The board, as this worker knows it.

    A note is on it once the supervisor has spread it, one of this worker as
    well: all workers see the changes of a note in one order.

    A context manager that closes itself. Thread-safe. Writing does not block.
    """

    def __init__(self, end: socket.socket) -> None:
        """Takes over a socket, and waits until the board is known.

        Raises:
          UnavailableError: The supervisor is gone.
        """
        self._lock = threading.Lock()
        # The number of this worker is known, or the supervisor is gone.
        self._begins = threading.Condition(self._lock)
        # All guarded by _lock.
        self._board = board_lib.Board()
        self._number: int | None = None
        self._is_over = False
        self._callbacks: list[Callback] = []
        self._line = board_line.BoardLine(end, self._follow, self._end)
        self._line.start()
        with self._lock:
            self._begins.wait_for(
                lambda: self._number is not None or self._is_over
            )
            if self._number is None:
                raise errors.UnavailableError("The supervisor is gone.")

    @classmethod
    def from_environment(cls) -> "WorkerBoard":
        """Returns the board of the supervisor of this process; once.

        Raises:
          FailedPreconditionError: There is none. Permanent.
          UnavailableError: The supervisor is gone.
        """
        return cls(worker_lib.inherited_socket(board_line.SOCKET_VARIABLE))

    @property
    def number(self) -> int:
        """The number of this worker, from 0; it outlives a restart."""
        assert self._number is not None
        return self._number

    def note(self, worker: int, key: str) -> bytes | None:
        """Returns a note of a worker; None if it did not write it."""
        with self._lock:
            return self._board.note(worker, key)

    def common(self, key: str) -> board_lib.CommonNote:
        """Returns a common note."""
        with self._lock:
            return self._board.common(key)

    def write(self, key: str, value: bytes) -> None:
        """Writes a note of this worker's own; see board.PRIVATE."""
        self._post(board_pb2.BoardNote(key=key, value=value))

    def write_common(self, key: str, value: bytes, revision: int) -> None:
        """Writes a common note, unless another worker comes first.

        Args:
          key: The key of the note.
          value: The value of the note.
          revision: One more than that of the note that it replaces.
        """
        self._post(board_pb2.BoardNote(key=key, value=value, revision=revision))

    def subscribe(self, callback: Callback) -> None:
        """Calls back with the keys of notes that have changed, until the end.

        On a thread of the board, which a callback must not hold up. After the
        end of a worker, they are those of its notes.
        """
        with self._lock:
            self._callbacks.append(callback)

    def close(self) -> None:
        """Follows the board no longer. Idempotent."""
        self._line.close()

    def __enter__(self) -> "WorkerBoard":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _post(self, note: board_pb2.BoardNote) -> None:
        self._line.post(board_pb2.BoardNews(notes=[note]))

    def _follow(self, news: board_pb2.BoardNews) -> None:
        with self._lock:
            keys = self._board.follow(news)
            if news.HasField("recipient"):
                self._number = news.recipient
                self._begins.notify_all()
            callbacks = list(self._callbacks)
        for callback in callbacks:
            callback(keys)

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            self._begins.notify_all()
