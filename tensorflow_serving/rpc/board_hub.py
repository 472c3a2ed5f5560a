"""The board of a supervisor: takes the notes of all workers, and spreads them.

Example:
    hub = BoardHub({"config": b"..."})
    with Supervisor(command, options, termination, board=hub) as workers:
        ...
"""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

from tensorflow_serving.rpc import board as board_lib
from tensorflow_serving.rpc import board_line, board_pb2


class PrivateNotes(Protocol):
    """Takes notes with board.PRIVATE in their keys, and answers them.

    Implementations are thread-safe. Methods do not block for long: those of a
    worker hold up what else it writes.
    """

    def begin(self, worker: int, post: Callable[[str, bytes], None]) -> None:
        """Gets a worker that is about to run.

        Args:
          worker: Its number.
          post: Writes a note for it alone; does not block.
        """

    def take(self, worker: int, key: str, value: bytes) -> None:
        """Takes a note of a worker."""

    def end(self, worker: int) -> None:
        """Gets the end of a worker; no note of it comes after that."""


class _NoPrivateNotes:
    """Takes no notes."""

    def begin(self, worker: int, post: Callable[[str, bytes], None]) -> None:
        pass

    def take(self, worker: int, key: str, value: bytes) -> None:
        pass

    def end(self, worker: int) -> None:
        pass


_NO_PRIVATE_NOTES: Final = _NoPrivateNotes()


class BoardHub:
    """A board, and a line to each worker that runs.

    Thread-safe. No worker holds up another, whether it reads or not.
    """

    def __init__(
        self,
        common: Mapping[str, bytes],
        private: PrivateNotes = _NO_PRIVATE_NOTES,
    ) -> None:
        """Makes a board.

        Args:
          common: The first revisions of common notes.
          private: Takes the private notes of workers.
        """
        self._private = private
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
            self._private.begin(worker, _private_post(worker, line))
            try:
                yield {board_line.SOCKET_VARIABLE: theirs.fileno()}
            finally:
                with self._lock:
                    del self._lines[worker]
        # The line is closed: no note of it comes after this.
        self._private.end(worker)
        with self._lock:
            self._board.forget(worker)
            self._spread(board_pb2.BoardNews(ended_workers=[worker]))

    def _take(self, worker: int, news: board_pb2.BoardNews) -> None:
        """Takes the notes that a worker sends."""
        with self._lock:
            taken = board_pb2.BoardNews()
            for note in news.notes:
                note.worker = worker
                if not _is_private(note) and self._board.write(note):
                    taken.notes.append(note)
            if taken.notes:
                self._spread(taken)
        for note in news.notes:
            if _is_private(note):
                self._private.take(worker, note.key, note.value)

    def _spread(self, news: board_pb2.BoardNews) -> None:
        """Sends news to every worker; needs the lock."""
        for line in self._lines.values():
            line.post(news)


def _is_private(note: board_pb2.BoardNote) -> bool:
    return bool(note.key.startswith(board_lib.PRIVATE))


def _private_post(
    worker: int, line: board_line.BoardLine
) -> Callable[[str, bytes], None]:
    """Returns what writes a private note for a worker."""

    def post(key: str, value: bytes) -> None:
        note = board_pb2.BoardNote(key=key, value=value, worker=worker)
        line.post(board_pb2.BoardNews(notes=[note]))

    return post
