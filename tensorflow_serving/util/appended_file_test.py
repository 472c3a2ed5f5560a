"""Tests for appended_file."""

import multiprocessing
import os
import threading

from absl.testing import absltest, parameterized

from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import appended_file, errors

_NUM_BLOCKS = 200


def _append_blocks(path: str, letter: str) -> None:
    """Appends blocks of lines of one letter."""
    file = appended_file.AppendedFile(path)
    for _ in range(_NUM_BLOCKS):
        file.append(f"{letter * 79}\n".encode() * 40)
    file.close()


class AppendedFileTest(parameterized.TestCase):
    """A file in a folder of the test."""

    def setUp(self) -> None:
        """Makes the folder."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.path = os.path.join(self.create_tempdir().full_path, "log")

    def _file(self, path: str = "") -> appended_file.AppendedFile:
        file = appended_file.AppendedFile(path or self.path, self.clock)
        self.addCleanup(file.close)
        return file

    def _content(self, path: str = "") -> bytes:
        with open(path or self.path, "rb") as file:
            return file.read()

    def test_lines_are_appended(self) -> None:
        """The content that was there before stays."""
        self._file().append(b"one\n")
        self.assertEqual(self._file().append(b"two\nthree\n"), 2)
        self.assertEqual(self._content(), b"one\ntwo\nthree\n")

    def test_file_that_is_moved_is_made_anew(self) -> None:
        """Lines of the next second may still go to the old one."""
        file = self._file()
        file.append(b"one\n")
        os.rename(self.path, self.path + ".1")
        file.append(b"two\n")
        self.clock.advance_micros(1_000_000)
        file.append(b"three\n")
        self.assertEqual(self._content(self.path + ".1"), b"one\ntwo\n")
        self.assertEqual(self._content(), b"three\n")

    def test_file_that_is_cut_short_goes_on_at_its_beginning(self) -> None:
        """The way of logrotate's copytruncate leaves no hole."""
        file = self._file()
        file.append(b"one\n")
        os.truncate(self.path, 0)
        file.append(b"two\n")
        self.assertEqual(self._content(), b"two\n")

    def test_old_file_goes_on_if_there_can_be_no_new_one(self) -> None:
        """A folder that is gone costs no line, and is logged."""
        file = self._file()
        with open(self.path, "rb") as reader:
            os.remove(self.path)
            os.rmdir(os.path.dirname(self.path))
            self.clock.advance_micros(1_000_000)
            with self.assertLogs(level="WARNING"):
                self.assertEqual(file.append(b"one\n"), 1)
            self.assertEqual(reader.read(), b"one\n")

    def test_full_disk_costs_lines(self) -> None:
        """The reason is logged."""
        file = self._file("/dev/full")
        with self.assertLogs(level="WARNING") as logs:
            self.assertEqual(file.append(b"one\n"), 0)
        self.assertIn("No space left on device", logs.output[0])

    def test_full_pipe_costs_lines(self) -> None:
        """Nobody waits for its reader, and a block gets there as a whole."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        file = self._file()
        line = b"x" * (file.block_bytes - 1) + b"\n"
        num_lines = 0
        while file.append(line):
            num_lines += 1
        self.assertEqual(file.append(line), 0)
        self.assertEqual(os.read(reader, len(line)), line)
        self.assertEqual(file.append(line), 1)
        self.assertGreater(num_lines, 1)

    def test_pipe_without_a_reader_cannot_be_opened(self) -> None:
        """The constructor does not wait for one, and raises."""
        os.mkfifo(self.path)
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be a file that can be written"
        ):
            self._file()

    def test_reader_that_leaves_costs_lines(self) -> None:
        """The process goes on, and so does the next reader."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        file = self._file()
        os.close(reader)
        with self.assertLogs(level="WARNING"):
            self.assertEqual(file.append(b"one\n"), 0)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        self.assertEqual(file.append(b"two\n"), 1)
        self.assertEqual(os.read(reader, 100), b"two\n")

    def test_lines_of_processes_do_not_mix(self) -> None:
        """Each block is in the file as it was written."""
        spawn = multiprocessing.get_context("spawn")
        processes = [
            spawn.Process(target=_append_blocks, args=(self.path, letter))
            for letter in "abc"
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        lines = self._content().split(b"\n")
        self.assertEqual(len(lines), 3 * _NUM_BLOCKS * 40 + 1)
        self.assertLessEqual({len(set(line)) for line in lines[:-1]}, {1})

    def test_block_may_wait_for_a_reader(self) -> None:
        """It is appended once there is room in the pipe."""
        os.mkfifo(self.path)
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        file = self._file()
        line = b"x" * (file.block_bytes - 1) + b"\n"
        while file.append(line):
            pass
        thread = threading.Thread(target=os.read, args=(reader, len(line)))
        thread.start()
        self.assertEqual(file.append(line, wait_seconds=60), 1)
        thread.join()

    def test_path_is_checked_without_a_file(self) -> None:
        """A folder that is not there, or a folder in its place, is an error."""
        appended_file.require(self.path, "f")
        self.assertFalse(os.path.exists(self.path))
        for path in (os.path.join(self.path, "x"), os.path.dirname(self.path)):
            with self.assertRaisesRegex(
                errors.InvalidArgumentError, f"--f must be .*; got {path}"
            ):
                appended_file.require(path, "f")


if __name__ == "__main__":
    absltest.main()
