"""Tests for log_files."""

import collections
import contextlib
import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Iterator

import tensorflow as tf
from absl.testing import absltest

from tensorflow_serving.model_servers import log_files
from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import errors, tf_record

_OK = errors.StatusCode.OK
_LOST = errors.StatusCode.UNAVAILABLE
# The size of the record in a file.
_RECORD = b"r" * 84
_FRAMED = 100


class LogFilesTest(absltest.TestCase):
    """Tests in a folder of their own."""

    def setUp(self) -> None:
        """Makes a folder."""
        super().setUp()
        self.folder = pathlib.Path(self.create_tempdir().full_path)
        self.clock = fake_clock.FakeClock()
        self.counts = collections.Counter[errors.StatusCode]()
        self.wall_time = 0.0

    def _files(
        self,
        prefix: str = "m",
        *,
        max_file_bytes: int = 3 * _FRAMED,
        max_total_bytes: int = 1 << 20,
    ) -> log_files.LogFiles:
        files = log_files.LogFiles(
            str(self.folder / prefix),
            log_files.Options(
                max_file_bytes=max_file_bytes,
                max_file_seconds=10,
                max_total_bytes=max_total_bytes,
            ),
            self._count,
            self.clock,
            lambda: self.wall_time,
        )
        self.addCleanup(files.close)
        return files

    def _count(self, code: errors.StatusCode, number: int) -> None:
        self.counts[code] += number

    def _names(self, pattern: str = "*") -> list[str]:
        return sorted(path.name for path in self.folder.glob(pattern))

    def _records(self) -> list[int]:
        """Returns how many records each complete file has, oldest first."""
        return [
            sum(1 for _ in tf.data.TFRecordDataset(str(self.folder / name)))
            for name in self._names("*.tfrecord")
        ]

    def test_tensorflow_reads_files(self) -> None:
        """Records come back in order, from a file that was closed."""
        files = self._files()
        for record in (b"one", b"", b"three"):
            files.write(record)
        files.close()
        (name,) = self._names()
        self.assertRegex(
            name, rf"^m-19700101T000000Z-.+-{os.getpid()}-\d{{6,}}\.tfrecord$"
        )
        dataset = tf.data.TFRecordDataset(str(self.folder / name))
        self.assertEqual(
            [*dataset.as_numpy_iterator()], [b"one", b"", b"three"]
        )
        self.assertEqual(self.counts, {_OK: 3})

    def test_file_ends_before_it_is_too_large(self) -> None:
        """The record that does not fit is the first of the next file."""
        files = self._files()
        for _ in range(7):
            files.write(_RECORD)
        files.close()
        self.assertEqual(self._records(), [3, 3, 1])
        self.assertEqual(self._names("*.open"), [])

    def test_record_that_is_too_large_has_a_file_of_its_own(self) -> None:
        """It is written all the same."""
        files = self._files()
        for record in (_RECORD, bytes(1000), _RECORD):
            files.write(record)
        files.close()
        self.assertEqual(self._records(), [1, 1, 1])

    def test_file_ends_at_its_time(self) -> None:
        """The time begins with the first record."""
        files = self._files()
        self.clock.advance_micros(50_000_000)
        files.write(_RECORD)
        self.assertEqual(files.end_time, 60)
        files.settle()
        self.assertEqual(self._records(), [])
        self.clock.advance_micros(10_000_000)
        files.settle()
        self.assertEqual(self._records(), [1])
        self.assertEqual(files.end_time, float("inf"))

    def test_settled_records_can_be_read_from_an_open_file(self) -> None:
        """Its name says that there may be more."""
        files = self._files()
        files.write(_RECORD)
        files.settle()
        (name,) = self._names("*.tfrecord.open")
        with open(self.folder / name, "rb") as file:
            self.assertEqual([*tf_record.read(file)], [_RECORD])

    def test_oldest_files_make_room(self) -> None:
        """With the largest file that may come, there are never too many."""
        files = self._files(max_total_bytes=9 * _FRAMED)
        for _ in range(30):
            self.wall_time += 1
            files.write(_RECORD)
            files.settle()
            size = sum(path.stat().st_size for path in self.folder.iterdir())
            self.assertLessEqual(size, 9 * _FRAMED)
        files.close()
        self.assertEqual(self._records(), [3, 3, 3])
        self.assertIn("T000022Z", self._names()[0])

    def test_files_of_others_stay(self) -> None:
        """Only names that this module gives, for this prefix, are deleted."""
        other = self._files("m-n")
        other.write(_RECORD)
        other.close()
        (self.folder / "m-notes.tfrecord").write_bytes(bytes(10_000))
        names = self._names()
        files = self._files(max_total_bytes=6 * _FRAMED)
        for _ in range(30):
            files.write(_RECORD)
        self.assertLessEqual({*names}, {*self._names()})

    def test_file_that_is_being_written_stays(self) -> None:
        """It counts as if it were as large as it may become."""
        other = self._files()
        other.write(_RECORD)
        other.settle()
        (name,) = self._names()
        files = self._files(max_total_bytes=9 * _FRAMED)
        for _ in range(10):
            self.wall_time += 1
            files.write(_RECORD)
        self.assertIn(name, self._names())
        self.assertEqual(len(self._names("*.tfrecord")), 1)

    def test_file_of_a_killed_process_is_deleted_as_others_are(self) -> None:
        """Nobody writes it any longer; half a record is no trouble."""
        script = (
            "import os, sys\n"
            "from tensorflow_serving.model_servers import log_files\n"
            "files = log_files.LogFiles(sys.argv[1], log_files.Options(),"
            " print, wall_time=lambda: 0)\n"
            "files.write(b'r' * 84); files.close()\n"
            "files.write(b'r' * 84); files.settle()\n"
            "os.kill(os.getpid(), 9)\n"
        )
        subprocess.run(
            [sys.executable, "-c", script, self.folder / "m"], check=False
        )
        (name,) = self._names("*.open")
        with open(self.folder / name, "ab") as file:
            file.write(b"half")
        self.assertEqual(self._records(), [1])
        files = self._files(max_total_bytes=6 * _FRAMED)
        self.wall_time = 1
        for _ in range(7):
            files.write(_RECORD)
        self.assertNotIn(name, self._names())

    def test_full_disk_loses_records_and_leaves_whole_files(self) -> None:
        """A file has none of the records that did not fit."""
        files = self._files(max_file_bytes=10_000)
        files.write(_RECORD)
        files.settle()
        files.write(_RECORD)
        files.write(_RECORD)
        with _limited_file_sizes(_FRAMED + 50):
            files.settle()
        self.assertEqual(self.counts, {_OK: 1, _LOST: 2})
        self.assertEqual(self._records(), [1])

    def test_lost_records_are_counted_until_the_next_try(self) -> None:
        """At the next try, a new file takes them."""
        files = self._files()
        with _limited_file_sizes(50):
            files.write(_RECORD)
            files.settle()
        self.assertEqual(self._names(), [])
        files.write(_RECORD)
        self.assertEqual(self.counts, {_LOST: 2})
        self.clock.advance_micros(5_000_000)
        files.write(_RECORD)
        files.close()
        self.assertEqual(self.counts, {_LOST: 2, _OK: 1})
        self.assertEqual(self._records(), [1])

    def test_folder_may_be_missing_for_a_while(self) -> None:
        """Records are lost as long as there is none."""
        files = self._files("later/m")
        files.write(_RECORD)
        self.assertEqual(self.counts, {_LOST: 1})
        (self.folder / "later").mkdir()
        self.clock.advance_micros(5_000_000)
        files.write(_RECORD)
        files.close()
        self.assertEqual(self.counts, {_LOST: 1, _OK: 1})
        self.assertEqual(len(self._names("later/*.tfrecord")), 1)

    def test_file_that_somebody_took_away_does_no_harm(self) -> None:
        """The next records have another one."""
        files = self._files()
        files.write(_RECORD)
        files.settle()
        for path in self.folder.iterdir():
            path.unlink()
        files.close()
        files.write(_RECORD)
        files.close()
        self.assertEqual(self._records(), [1])

    def test_records_do_not_follow_a_file_that_was_taken_away(self) -> None:
        """Nobody could read them, and still they would count as logged."""
        for take_away in (os.unlink, lambda path: os.rename(path, f"{path}.1")):
            files = self._files()
            files.write(_RECORD)
            files.settle()
            (name,) = self._names("*.open")
            take_away(self.folder / name)
            files.write(_RECORD)
            files.write(_RECORD)
            files.close()
        self.assertEqual(self._records(), [2, 2])
        self.assertEqual(self.counts, {_OK: 6})

    def test_records_after_their_folder_is_gone_are_lost(self) -> None:
        """They are counted so, from the first one on."""
        folder = self.folder / "old"
        folder.mkdir()
        files = self._files("old/m")
        files.write(_RECORD)
        files.settle()
        folder.rename(self.folder / "new")
        files.write(_RECORD)
        files.settle()
        self.assertEqual(self.counts, {_OK: 1, _LOST: 1})
        folder.mkdir()
        self.clock.advance_micros(5_000_000)
        files.write(_RECORD)
        files.close()
        self.assertEqual(self.counts, {_OK: 2, _LOST: 1})
        self.assertEqual(len(self._names("old/*.tfrecord")), 1)

    def test_options_are_checked(self) -> None:
        """There must be room for the next file beside one that is complete."""
        for options in (
            {"max_file_bytes": 0},
            {"max_file_seconds": 0.0},
            {"max_file_bytes": 100, "max_total_bytes": 199},
        ):
            with self.assertRaises(errors.InvalidArgumentError):
                log_files.Options(**options)


@contextlib.contextmanager
def _limited_file_sizes(num_bytes: int) -> Iterator[None]:
    """Has writes beyond a size fail, as those to a full disk do."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


if __name__ == "__main__":
    absltest.main()
