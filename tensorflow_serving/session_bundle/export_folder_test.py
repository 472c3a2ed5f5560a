"""Tests for export_folder; exporter_kill_test kills exporters for real."""

import errno
import os
import stat
from unittest import mock

from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import export_folder
from tensorflow_serving.util import errors


class _FolderTestCase(parameterized.TestCase):
    """A test with a folder for a model."""

    def setUp(self) -> None:
        """Makes the folder."""
        super().setUp()
        self.base = self.create_tempdir().full_path
        self.export_dir = os.path.join(self.base, "00000001")

    def publish(self, content: str = "new") -> None:
        """Publishes a version with one file."""
        with export_folder.publishing(self.export_dir) as folder:
            _write(os.path.join(folder, "file"), content)

    def leave(self, name: str, seconds_ago: float) -> str:
        """Makes an unfinished folder with a file; returns its name."""
        folder = os.path.join(self.base, name)
        os.makedirs(folder)
        _write(os.path.join(folder, "file"), "old")
        then = os.stat(folder).st_mtime - seconds_ago
        os.utime(os.path.join(folder, "file"), (then, then))
        os.utime(folder, (then, then))
        return name


def _write(path: str, content: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(content)


class PathTest(_FolderTestCase):
    """Where a version goes."""

    def test_address_of_a_storage_service_is_refused(self) -> None:
        """It is not taken for a folder called "gs:"."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "mounted.*got gs://bucket/models"
        ):
            export_folder.path_of("gs://bucket/models", 1)

    def test_path_that_is_not_utf_8_is_refused(self) -> None:
        """TensorFlow takes no other."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "UTF-8"):
            export_folder.path_of(os.fsdecode(b"/models/\xff"), 1)


class RequireWritableTest(_FolderTestCase):
    """Tests of the check of a folder before a training."""

    def test_folder_that_can_be_written_is_left_as_it_was(self) -> None:
        """Folders that do not exist yet are not made."""
        export_folder.require_writable(os.path.join(self.base, "a", "b"), 1)
        self.assertEqual(os.listdir(self.base), [])

    def test_existing_version_is_an_error(self) -> None:
        """An existing version is found before anything is tried."""
        os.mkdir(self.export_dir)
        with self.assertRaises(errors.AlreadyExistsError):
            export_folder.require_writable(self.base, 1)

    def test_file_and_folder_of_the_kernel_are_errors(self) -> None:
        """Permissions alone would not tell, for root."""
        path = self.create_tempfile().full_path
        for base in (path, os.path.join(path, "model"), "/proc"):
            with self.assertRaises(OSError):
                export_folder.require_writable(base, 1)


class PublishingTest(_FolderTestCase):
    """A version appears, or it does not."""

    def test_version_has_the_permissions_of_any_new_folder(self) -> None:
        """Servers often run as another user."""
        self.publish()
        expected = os.path.join(self.base, "expected")
        os.mkdir(expected)
        self.assertEqual(
            stat.S_IMODE(os.stat(self.export_dir).st_mode),
            stat.S_IMODE(os.stat(expected).st_mode),
        )

    def test_exception_leaves_nothing(self) -> None:
        """An exception leaves neither a version nor an unfinished folder."""
        with (
            self.assertRaises(ZeroDivisionError),
            export_folder.publishing(self.export_dir),
        ):
            raise ZeroDivisionError
        self.assertEqual(os.listdir(self.base), [])

    def test_first_of_two_that_write_one_version_has_it(self) -> None:
        """The other one gets an error, and its files are gone."""
        with (
            self.assertRaises(errors.AlreadyExistsError),
            export_folder.publishing(self.export_dir) as folder,
        ):
            _write(os.path.join(folder, "file"), "of the loser")
            self.publish("of the winner")
        self.assertEqual(os.listdir(self.base), ["00000001"])
        with open(
            os.path.join(self.export_dir, "file"), encoding="utf-8"
        ) as file:
            self.assertEqual(file.read(), "of the winner")

    @parameterized.parameters(errno.EEXIST, errno.ENOTEMPTY)
    def test_rename_that_meets_a_version_means_that_it_exists(
        self, number: int
    ) -> None:
        """File systems differ in the code of that error."""

        def lose(source: str, target: str) -> None:
            os.mkdir(target)
            raise OSError(number, os.strerror(number))

        with (
            mock.patch.object(os, "rename", lose),
            self.assertRaises(errors.AlreadyExistsError),
        ):
            self.publish()

    @parameterized.parameters(errno.EINVAL, errno.ENOTSUP)
    def test_file_system_that_does_not_sync_folders_is_fine(
        self, number: int
    ) -> None:
        """Files are synced all the same."""
        sync = os.fsync

        def refuse_folders(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(number, os.strerror(number))
            sync(descriptor)

        with mock.patch.object(os, "fsync", refuse_folders):
            self.publish()
        self.assertEqual(os.listdir(self.export_dir), ["file"])

    @parameterized.parameters(errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    def test_storage_without_room_is_a_sentence(self, number: int) -> None:
        """It says what to do; nothing is left."""
        with (
            self.assertRaisesRegex(
                errors.ResourceExhaustedError, "Free some space"
            ),
            export_folder.publishing(self.export_dir),
        ):
            raise OSError(number, os.strerror(number))
        self.assertEqual(os.listdir(self.base), [])

    def test_folders_of_killed_exporters_are_removed_when_old(self) -> None:
        """Younger ones may belong to an exporter that still writes."""
        old = export_folder.ABANDONED_SECONDS + 60.0
        self.leave("00000001.0123abcd-tmp", old)
        self.leave("00000007-tmp", old)
        stays = {
            self.leave("00000002.0123abcd-tmp", old - 3600.0),
            self.leave("notes-tmp", old),
            self.leave("00000009.old", old),
        }
        with self.assertLogs("absl", "INFO") as logs:
            self.publish()
        self.assertEqual(len(logs.output), 2)
        self.assertEqual(set(os.listdir(self.base)), stays | {"00000001"})

    def test_folder_with_a_file_that_grows_is_not_abandoned(self) -> None:
        """Its own time is that of the last new file in it."""
        name = self.leave("00000002-tmp", export_folder.ABANDONED_SECONDS * 2)
        _write(os.path.join(self.base, name, "file"), "more")
        then = os.stat(self.base).st_mtime - 2 * export_folder.ABANDONED_SECONDS
        os.utime(os.path.join(self.base, name), (then, then))
        self.publish()
        self.assertIn(name, os.listdir(self.base))


class DeleteTest(_FolderTestCase):
    """Old versions."""

    def test_version_that_cannot_be_deleted_is_logged(self) -> None:
        """The export beside it has succeeded."""
        self.publish()
        os.mkdir(os.path.join(self.base, "00000000"))
        denied = OSError(errno.EBUSY, "busy")
        with (
            mock.patch.object(os, "rename", side_effect=denied),
            self.assertLogs("absl", "WARNING") as logs,
        ):
            export_folder.delete_all_but(lambda paths: [], self.export_dir)
        self.assertRegex(logs.output[0], "00000000 stays.*busy")
        self.assertEqual(
            sorted(os.listdir(self.base)), ["00000000", "00000001"]
        )


if __name__ == "__main__":
    absltest.main()
