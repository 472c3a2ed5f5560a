"""Tests for access_log."""

import json
import os
import threading

from absl.testing import absltest

from tensorflow_serving.model_servers import access_log, access_log_lines

_JSON = access_log_lines.Format.JSON


def _calls(*numbers: int) -> access_log_lines.Calls:
    return access_log_lines.Calls(
        0.0, (("model", "m"),), ("rows",), [(number,) for number in numbers]
    )


class AccessLogTest(absltest.TestCase):
    """A log in a folder of the test."""

    def setUp(self) -> None:
        """Makes the folder."""
        super().setUp()
        self.path = os.path.join(self.create_tempdir().full_path, "log")

    def _numbers(self) -> list[int]:
        with open(self.path, encoding="ascii") as file:
            return [json.loads(line)["rows"] for line in file]

    def _log(
        self, path: str = "", max_waiting: int = 10
    ) -> access_log.AccessLog:
        return access_log.AccessLog(
            access_log.Options(
                _JSON, path or self.path, max_waiting=max_waiting
            )
        )

    def test_lines_are_there_after_the_end(self) -> None:
        """They are in the order in which they came."""
        with self._log() as log:
            log.add(_calls(1, 2))
            log.add(_calls(3))
        self.assertEqual(self._numbers(), [1, 2, 3])
        self.assertEqual(log.counts(), access_log.Counts(num_written=3))

    def test_lines_are_written_while_others_come(self) -> None:
        """Nobody has to close the log for them."""
        os.mkfifo(self.path)
        descriptor = os.open(self.path, os.O_RDWR)
        self.addCleanup(os.close, descriptor)
        with self._log() as log, open(self.path, encoding="ascii") as reader:
            for number in range(3):
                log.add(_calls(number))
                self.assertEqual(json.loads(reader.readline())["rows"], number)

    def test_many_lines_are_all_written(self) -> None:
        """Each of them is whole, however many blocks there are."""
        with self._log(max_waiting=100_000) as log:
            for start in range(0, 20_000, 100):
                log.add(_calls(*range(start, start + 100)))
        self.assertEqual(self._numbers(), [*range(20_000)])

    def test_what_cannot_be_written_is_counted(self) -> None:
        """A full disk costs lines, and nothing else."""
        with self._log("/dev/full") as log:
            log.add(_calls(1, 2, 3))
        self.assertEqual(log.counts(), access_log.Counts(num_dropped=3))

    def test_lines_for_which_there_is_no_room_are_counted(self) -> None:
        """A pipe that nobody reads holds nobody up, not even at the end."""
        os.mkfifo(self.path)
        descriptor = os.open(self.path, os.O_RDWR)
        self.addCleanup(os.close, descriptor)
        with self._log(max_waiting=1_000) as log:
            for number in range(100_000):
                log.add(_calls(number))
        counts = log.counts()
        self.assertGreater(counts.num_dropped, 90_000)
        self.assertEqual(counts.num_written + counts.num_dropped, 100_000)

    def test_closed_log_counts_what_comes_late(self) -> None:
        """Closing it twice is allowed."""
        with self._log() as log:
            log.close()
            log.add(_calls(1))
        self.assertEqual(log.counts(), access_log.Counts(num_dropped=1))

    def test_threads_may_add_at_the_same_time(self) -> None:
        """Each line is counted once."""
        with self._log(max_waiting=100_000) as log:

            def add_many() -> None:
                for _ in range(1_000):
                    log.add(_calls(1))

            threads = [threading.Thread(target=add_many) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(len(self._numbers()), 4_000)

    def test_sample_has_the_share_that_is_asked_for(self) -> None:
        """All, none, or about a quarter."""
        for rate, numbers in (
            (1.0, range(4_000, 4_001)),
            (0.0, range(1)),
            (0.25, range(800, 1_200)),
        ):
            options = access_log.Options(_JSON, self.path, rate)
            with access_log.AccessLog(options) as log:
                number = len(log.sample(range(4_000)))
            self.assertIn(number, numbers)


if __name__ == "__main__":
    absltest.main()
