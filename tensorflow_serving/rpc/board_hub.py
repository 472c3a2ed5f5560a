"""The board of a supervisor: takes the notes of all workers, and spreads them.

Example:
    hub = BoardHub({"config": b"..."})
    with Supervisor(command, options, termination, board=hub) as workers:
        ...
"""

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping

from tensorflow_serving.rpc import board as board_lib
from tensorflow_serving.rpc import board_line, board_pb2


class BoardHub:
    """A board, and a line to each worker that runs.

    Thread-safe. No worker holds up another, whether it reads or not.
    """

    def __init__(self, common: Mapping[str, bytes]) -> None:
        """Makes a board.

        Args:
          common: The first revisions of common notes.
        """
        self._lock = threading.Lock()
        # Both guarded by _lock.
        self._board = board_lib.Board()
        self._lines: dict[int, board_line.BoardLine] = {}
        for key, value in common.items():
            self._board.write(
                board_pb2.BoardNote(key=key, value=value, revision=1)
            )

    @contextlib.contextmanager
    def connected(self, worker: int) -> Iterator[Mapping[str, int]]:
        """Serves a worker; its notes are forgotten at the end.

        Args:
          worker: Its number.

        Yields:
          The descriptor for its process to inherit, by the environment
          variable for it.
        """
        ours, theirs = socket.socketpair()
        line = board_line.BoardLine(ours, lambda news: self._take(worker, news))
        with theirs, line:
            with self._lock:
                line.post(self._board.all_news(worker))
                self._lines[worker] = line
            try:
                yield {board_line.SOCKET_VARIABLE: theirs.fileno()}
            finally:
                with self._lock:
                    del self._lines[worker]
        # The line is closed: no note of it comes after this.
        with self._lock:
            self._board.forget(worker)
            self._spread(board_pb2.BoardNews(ended_workers=[worker]))

    def _take(self, worker: int, news: board_pb2.BoardNews) -> None:
        """Takes the notes that a worker sends."""
        with self._lock:
            taken = board_pb2.BoardNews()
            for note in news.notes:
                note.worker = worker
                if self._board.write(note):
                    taken.notes.append(note)
            if taken.notes:
                self._spread(taken)

    def _spread(self, news: board_pb2.BoardNews) -> None:
        """Sends news to every worker; needs the lock."""
        for line in self._lines.values():
            line.post(news)
