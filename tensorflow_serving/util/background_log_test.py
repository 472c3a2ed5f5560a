"""Tests for background_log."""

import logging
import threading
import time

from absl.testing import absltest

from tensorflow_serving.util import background_log


class _Target(logging.Handler):
    """Keeps texts; writes nothing while it is held."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.is_writing = threading.Event()
        self.go_on = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the text, when it is let go."""
        self.is_writing.set()
        self.go_on.wait()
        self.texts.append(record.getMessage())


class BackgroundLogTest(absltest.TestCase):
    """A logger whose lines are written by a thread of their own."""

    def setUp(self) -> None:
        """Makes a logger with a handler of three lines at most."""
        super().setUp()
        self.target = _Target()
        self.addCleanup(self.target.go_on.set)
        self.handler = background_log.BackgroundHandler(self.target, 3)
        self.logger = logging.Logger("test")
        self.logger.addHandler(self.handler)

    def test_lines_are_written_in_order(self) -> None:
        """After flush(), all lines are there, with the values of then."""
        self.target.go_on.set()
        values = [1]
        self.logger.warning("first %s", values)
        values.append(2)
        self.logger.warning("second")
        self.handler.flush()
        self.assertEqual(self.target.texts, ["first [1]", "second"])

    def test_logger_does_not_wait_for_a_target_that_takes_nothing(self) -> None:
        """Lines beyond the limit are dropped, and their number is written."""
        self.logger.warning("held")
        self.target.is_writing.wait()
        for number in range(10):
            self.logger.warning("line %d", number)
        self.target.go_on.set()
        self.handler.flush()
        self.assertEqual(
            self.target.texts[:4], ["held", "line 0", "line 1", "line 2"]
        )
        self.assertRegex(self.target.texts[4], "^7 lines were dropped")

    def test_warnings_that_repeat_are_left_out(self) -> None:
        """Warnings that repeat are left out, and information is not."""
        self.target.go_on.set()
        for number in range(20):
            self.logger.warning("Batch %d failed", number)
            self.logger.info("Batch %d ran", number)
            self.handler.flush()
        texts = " ".join(self.target.texts)
        self.assertEqual(texts.count("failed"), 10)
        self.assertEqual(texts.count("ran"), 20)

    def test_number_of_those_left_out_is_written(self) -> None:
        """It is there although no line of the kind comes again."""
        self.target.go_on.set()
        now = [time.time()]
        handler = background_log.BackgroundHandler(
            self.target, clock=lambda: now[0]
        )
        logger = logging.Logger("test")
        logger.addHandler(handler)
        for _ in range(1_000):
            logger.error("Failed")
        handler.flush()
        now[0] += 11
        logger.info("Something else")
        handler.flush()
        self.assertEqual(
            self.target.texts,
            [
                "Failed",
                "Something else",
                "Failed (left out since: 999 of this kind)",
            ],
        )

    def test_number_is_written_though_nothing_is_logged_any_more(self) -> None:
        """Nothing needs to be logged for it, not even another kind of line."""
        self.target.go_on.set()
        # A tenth of a second before the end of the ten.
        now = [time.time() + 9.9]
        handler = background_log.BackgroundHandler(
            self.target, clock=lambda: now[0]
        )
        logger = logging.Logger("test")
        logger.addHandler(handler)
        logger.error("Failed")
        handler.flush()
        self.target.is_writing.clear()
        logger.error("Failed")
        now[0] += 2
        self.target.is_writing.wait()
        handler.flush()
        self.assertEqual(
            self.target.texts,
            ["Failed", "Failed (left out since: 1 of this kind)"],
        )

    def test_root_logger_is_taken_over_once(self) -> None:
        """Each handler of the root logger is wrapped, and only once."""
        root = logging.getLogger()
        before = list(root.handlers)
        self.addCleanup(lambda: setattr(root, "handlers", before))
        root.handlers = [self.target]
        background_log.take_over()
        (first,) = root.handlers
        background_log.take_over()
        self.assertEqual(root.handlers, [first])
        self.assertIsInstance(first, background_log.BackgroundHandler)


if __name__ == "__main__":
    absltest.main()
