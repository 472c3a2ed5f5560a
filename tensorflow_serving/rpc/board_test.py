"""Tests for board."""

from absl.testing import absltest

from tensorflow_serving.rpc import board as board_lib
from tensorflow_serving.rpc import board_pb2


def _own(worker: int, key: str, value: bytes) -> board_pb2.BoardNote:
    return board_pb2.BoardNote(worker=worker, key=key, value=value)


def _common(key: str, value: bytes, revision: int) -> board_pb2.BoardNote:
    return board_pb2.BoardNote(key=key, value=value, revision=revision)


class BoardTest(absltest.TestCase):
    """The notes of workers."""

    def setUp(self) -> None:
        """Makes an empty board."""
        super().setUp()
        self.board = board_lib.Board()

    def test_own_notes_are_of_one_worker(self) -> None:
        """Another one has its own under the same key."""
        self.assertTrue(self.board.write(_own(0, "key", b"zero")))
        self.assertTrue(self.board.write(_own(1, "key", b"one")))
        self.assertEqual(self.board.note(0, "key"), b"zero")
        self.assertEqual(self.board.note(1, "key"), b"one")
        self.assertIsNone(self.board.note(2, "key"))

    def test_note_that_is_written_again_is_no_news(self) -> None:
        """Only another value changes the board."""
        self.assertTrue(self.board.write(_own(0, "key", b"a")))
        self.assertFalse(self.board.write(_own(0, "key", b"a")))
        self.assertTrue(self.board.write(_own(0, "key", b"b")))

    def test_of_two_common_notes_the_first_one_is_taken(self) -> None:
        """The second has the same revision, and changes nothing."""
        self.assertTrue(self.board.write(_common("key", b"a", 1)))
        self.assertFalse(self.board.write(_common("key", b"b", 1)))
        self.assertEqual(
            self.board.common("key"), board_lib.CommonNote(b"a", 1)
        )
        self.assertTrue(self.board.write(_common("key", b"b", 2)))

    def test_notes_end_with_their_worker(self) -> None:
        """Common notes and those of other workers stay."""
        self.board.write(_own(0, "key", b"zero"))
        self.board.write(_own(1, "key", b"one"))
        self.board.write(_common("key", b"all", 1))
        self.assertEqual(set(self.board.forget(0)), {"key"})
        self.assertIsNone(self.board.note(0, "key"))
        self.assertEqual(self.board.note(1, "key"), b"one")
        self.assertEqual(self.board.common("key").value, b"all")

    def test_copy_has_what_the_board_has(self) -> None:
        """Whoever comes late gets every note at once."""
        self.board.write(_own(1, "key", b"one"))
        self.board.write(_common("config", b"all", 1))
        copy = board_lib.Board()
        news = self.board.all_news(3)
        self.assertEqual(news.recipient, 3)
        self.assertEqual(set(copy.follow(news)), {"key", "config"})
        self.assertEqual(copy.note(1, "key"), b"one")
        self.assertEqual(copy.common("config").revision, 1)

    def test_copy_forgets_workers_that_have_ended(self) -> None:
        """The notes of the next process of that worker are new."""
        self.board.write(_own(1, "old", b"one"))
        news = board_pb2.BoardNews(
            ended_workers=[1], notes=[_own(1, "new", b"two")]
        )
        self.assertEqual(set(self.board.follow(news)), {"old", "new"})
        self.assertIsNone(self.board.note(1, "old"))
        self.assertEqual(self.board.note(1, "new"), b"two")


class OutboxTest(absltest.TestCase):
    """News that wait to be sent."""

    def test_only_the_last_value_of_a_note_is_sent(self) -> None:
        """A reader that is slow costs no memory."""
        outbox = board_lib.Outbox()
        self.assertFalse(outbox)
        for value in (b"a", b"b"):
            outbox.add(board_pb2.BoardNews(notes=[_own(0, "key", value)]))
        self.assertTrue(outbox)
        (note,) = outbox.take().notes
        self.assertEqual(note.value, b"b")
        self.assertFalse(outbox)

    def test_notes_of_a_worker_that_has_ended_are_not_sent(self) -> None:
        """Those that it writes after its restart are, and common ones."""
        outbox = board_lib.Outbox()
        outbox.add(
            board_pb2.BoardNews(
                notes=[_own(1, "old", b""), _common("all", b"", 1)]
            )
        )
        outbox.add(board_pb2.BoardNews(ended_workers=[1]))
        outbox.add(board_pb2.BoardNews(notes=[_own(1, "new", b"")]))
        news = outbox.take()
        self.assertEqual(list(news.ended_workers), [1])
        self.assertEqual([each.key for each in news.notes], ["all", "new"])


if __name__ == "__main__":
    absltest.main()
