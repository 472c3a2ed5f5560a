"""Tests for worker_board and board_hub, each at an end of real sockets."""

import contextlib
import functools
import os
import socket
import threading
import unittest.mock
from collections.abc import Callable, Set

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc import board as board_lib
from tensorflow_serving.rpc import board_hub, board_line, worker_board
from tensorflow_serving.util import errors

# Longer than anything that a test waits for.
_TIMEOUT_SECONDS = 30


class _Watch:
    """Waits for changes of a board."""

    def __init__(self, board: worker_board.WorkerBoard) -> None:
        self._changed = threading.Condition()
        self.keys: set[str] = set()
        board.subscribe(self._record)

    def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Waits until something holds."""
        with self._changed:
            assert self._changed.wait_for(predicate, _TIMEOUT_SECONDS)

    def _record(self, keys: Set[str]) -> None:
        with self._changed:
            self.keys |= keys
            self._changed.notify_all()


class _Notes:
    """Collects private notes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._notes: list[tuple[int, str, bytes]] = []
        self.posts: dict[int, Callable[[str, bytes], None]] = {}

    def begin(self, worker: int, post: Callable[[str, bytes], None]) -> None:
        """See board_hub.PrivateNotes."""
        self.posts[worker] = post

    def take(self, worker: int, key: str, value: bytes) -> None:
        """See board_hub.PrivateNotes."""
        with self._changed:
            self._notes.append((worker, key, value))
            self._changed.notify_all()

    def end(self, worker: int) -> None:
        """See board_hub.PrivateNotes."""
        del self.posts[worker]

    def wait_for(self, *notes: tuple[int, str, bytes]) -> None:
        """Waits until these notes, and no others, have come."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: self._notes == [*notes], _TIMEOUT_SECONDS
            )


def _has_note(
    board: worker_board.WorkerBoard, worker: int, value: bytes
) -> bool:
    return board.note(worker, "key") == value


def _has_revision(board: worker_board.WorkerBoard, revision: int) -> bool:
    return board.common("config").revision == revision


def _fail(keys: Set[str]) -> None:
    raise ZeroDivisionError


class WorkerBoardTest(parameterized.TestCase):
    """A hub and workers, in one process."""

    def setUp(self) -> None:
        """Makes a hub, and lets a test change the environment."""
        super().setUp()
        self.enter_context(unittest.mock.patch.dict(os.environ))
        self.hub = board_hub.BoardHub({"config": b"first"})

    def _connect(
        self, number: int
    ) -> tuple[worker_board.WorkerBoard, contextlib.ExitStack]:
        """Returns the board of a worker, and what ends the worker."""
        stack = self.enter_context(contextlib.ExitStack())
        for name, fd in stack.enter_context(self.hub.connected(number)).items():
            # As a process of its own has it.
            os.environ[name] = str(os.dup(fd))
        return stack.enter_context(
            worker_board.WorkerBoard.from_environment()
        ), stack

    def test_worker_knows_its_number_and_what_is_common(self) -> None:
        """It has both as soon as it has a board."""
        board, _ = self._connect(3)
        self.assertEqual(board.number, 3)
        self.assertEqual(board.common("config").value, b"first")
        self.assertNotIn(board_line.SOCKET_VARIABLE, os.environ)

    def test_note_of_a_worker_comes_to_all(self) -> None:
        """Also to itself, and to one that starts later."""
        boards = [self._connect(number)[0] for number in range(2)]
        watches = [_Watch(board) for board in boards]
        boards[0].write("key", b"value")
        boards.append(self._connect(2)[0])
        watches.append(_Watch(boards[2]))
        for board, watch in zip(boards, watches, strict=True):
            watch.wait_for(functools.partial(_has_note, board, 0, b"value"))

    def test_notes_end_with_the_worker(self) -> None:
        """The others are called back with their keys."""
        board, _ = self._connect(0)
        ending, end = self._connect(1)
        watch = _Watch(board)
        ending.write("key", b"value")
        watch.wait_for(lambda: board.note(1, "key") is not None)
        watch.keys.clear()
        end.close()
        watch.wait_for(lambda: board.note(1, "key") is None)
        self.assertEqual(watch.keys, {"key"})

    def test_private_notes_are_not_for_others(self) -> None:
        """The answer to one is on the board of its worker alone."""
        notes = _Notes()
        self.hub = board_hub.BoardHub({}, notes)
        boards, ends = zip(*map(self._connect, range(2)), strict=True)
        watches = [_Watch(board) for board in boards]
        boards[1].write(f"{board_lib.PRIVATE}key", b"question")
        notes.wait_for((1, f"{board_lib.PRIVATE}key", b"question"))
        notes.posts[1]("answer", b"yes")
        watches[1].wait_for(lambda: boards[1].note(1, "answer") == b"yes")
        # Later than all that is on the way to the other worker.
        boards[0].write("key", b"value")
        watches[0].wait_for(
            functools.partial(_has_note, boards[0], 0, b"value")
        )
        self.assertEqual(watches[0].keys, {"key"})
        ends[1].close()
        self.assertEqual([*notes.posts], [0])

    def test_one_of_two_common_notes_is_taken(self) -> None:
        """Both workers see the same one, and can write the next revision."""
        boards = [self._connect(number)[0] for number in range(2)]
        watches = [_Watch(board) for board in boards]
        for number, board in enumerate(boards):
            board.write_common("config", b"%d" % number, 2)
        for board, watch in zip(boards, watches, strict=True):
            watch.wait_for(functools.partial(_has_revision, board, 2))
        first, second = (each.common("config").value for each in boards)
        self.assertEqual(first, second)

    def test_worker_that_does_not_read_holds_up_nobody(self) -> None:
        """Neither the others nor the end of its own process."""
        stack = self.enter_context(contextlib.ExitStack())
        stack.enter_context(self.hub.connected(1))
        board, _ = self._connect(0)
        watch = _Watch(board)
        for number in range(100):
            board.write("key", b"%d" % number + bytes(100_000))
        last = b"99" + bytes(100_000)
        watch.wait_for(lambda: board.note(0, "key") == last)
        stack.close()

    def test_callback_that_fails_ends_nothing(self) -> None:
        """The error is logged, and later news are taken."""
        board, _ = self._connect(0)
        watch = _Watch(board)
        board.subscribe(_fail)
        with self.assertLogs(level="ERROR"):
            for value in (b"first", b"second"):
                board.write("key", value)
                watch.wait_for(functools.partial(_has_note, board, 0, value))

    def test_end_of_the_supervisor_ends_a_start(self) -> None:
        """A worker that waits for its number does not do so forever."""
        ours, theirs = socket.socketpair()
        ours.close()
        with self.assertRaises(errors.UnavailableError):
            worker_board.WorkerBoard(theirs)

    def test_writing_without_a_supervisor_is_no_error(self) -> None:
        """The worker is about to end anyway."""
        board, end = self._connect(0)
        end.close()
        board.write("key", b"value")

    @parameterized.parameters("none", "1000000")
    def test_process_without_a_supervisor_has_no_board(self, fd: str) -> None:
        """The error names the variable."""
        os.environ[board_line.SOCKET_VARIABLE] = fd
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, board_line.SOCKET_VARIABLE
        ):
            worker_board.WorkerBoard.from_environment()


if __name__ == "__main__":
    absltest.main()
