"""Notes with which the workers of a server know of each other.

Each worker writes notes of its own, which end with it, and all of them write
common notes, which stay. The supervisor has the board; see board_hub.py. Each
worker has a copy that follows it; see worker_board.py. Private notes are on no
other board: they go between the supervisor and one worker.
"""

import dataclasses
from collections.abc import Set
from typing import Final

from tensorflow_serving.rpc import board_pb2

# How the keys of private notes begin.
PRIVATE: Final = "private/"


@dataclasses.dataclass(frozen=True)
class CommonNote:
    """A note that all workers have agreed on."""

    value: bytes = b""
    # How often it was written; 0: never.
    revision: int = 0


class Board:
    """The notes, by worker and key.

    Not thread-safe. Nothing blocks.
    """

    def __init__(self) -> None:
        """Makes a board without notes."""
        self._common: dict[str, CommonNote] = {}
        self._by_worker: dict[int, dict[str, bytes]] = {}

    def note(self, worker: int, key: str) -> bytes | None:
        """Returns a note of a worker; None if it did not write it."""
        return self._by_worker.get(worker, {}).get(key)

    def common(self, key: str) -> CommonNote:
        """Returns a common note."""
        return self._common.get(key, CommonNote())

    def write(self, note: board_pb2.BoardNote) -> bool:
        """Takes a note; returns whether it changes the board.

        A common note is taken only if its revision is the next one: of two
        workers that write at the same time, one has to look at what the other
        one wrote first.
        """
        if note.revision:
            if note.revision != self.common(note.key).revision + 1:
                return False
            self._common[note.key] = CommonNote(note.value, note.revision)
            return True
        notes = self._by_worker.setdefault(note.worker, {})
        if notes.get(note.key) == note.value:
            return False
        notes[note.key] = note.value
        return True

    def forget(self, worker: int) -> Set[str]:
        """Removes the notes of a worker; returns their keys."""
        return self._by_worker.pop(worker, {}).keys()

    def follow(self, news: board_pb2.BoardNews) -> Set[str]:
        """Takes what has changed on another board; returns the keys."""
        keys: set[str] = set()
        for worker in news.ended_workers:
            keys |= self.forget(worker)
        for note in news.notes:
            keys.add(note.key)
            if note.revision:
                self._common[note.key] = CommonNote(note.value, note.revision)
            else:
                self._by_worker.setdefault(note.worker, {})[note.key] = (
                    note.value
                )
        return keys

    def all_news(self, recipient: int) -> board_pb2.BoardNews:
        """Returns what a worker has to be sent first."""
        news = board_pb2.BoardNews(recipient=recipient)
        for key, note in self._common.items():
            news.notes.add(key=key, value=note.value, revision=note.revision)
        for worker, notes in self._by_worker.items():
            for key, value in notes.items():
                news.notes.add(key=key, value=value, worker=worker)
        return news


class Outbox:
    """News that were not sent yet: of each note only the last one.

    So it does not grow if the other side does not read. Not thread-safe.
    """

    def __init__(self) -> None:
        """Makes an empty outbox."""
        self._recipient: int | None = None
        self._ended: dict[int, None] = {}
        # By worker and key; a common note has no worker. In the order in which
        # they were first written.
        self._notes: dict[tuple[int | None, str], board_pb2.BoardNote] = {}

    def __bool__(self) -> bool:
        """Returns whether there is something to send."""
        return bool(self._ended or self._notes or self._recipient is not None)

    def add(self, news: board_pb2.BoardNews) -> None:
        """Takes news, which replace older ones."""
        if news.HasField("recipient"):
            self._recipient = news.recipient
        for worker in news.ended_workers:
            for key in [each for each in self._notes if each[0] == worker]:
                del self._notes[key]
            self._ended[worker] = None
        for note in news.notes:
            owner = None if note.revision else note.worker
            self._notes[owner, note.key] = note

    def take(self) -> board_pb2.BoardNews:
        """Returns the news, and forgets them."""
        news = board_pb2.BoardNews(
            ended_workers=self._ended,
            notes=self._notes.values(),
            recipient=self._recipient,
        )
        self._recipient, self._ended, self._notes = None, {}, {}
        return news
