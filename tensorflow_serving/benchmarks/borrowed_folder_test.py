"""Tests for borrowed_folder."""

import os

from absl.testing import absltest

from tensorflow_serving.benchmarks import borrowed_folder
from tensorflow_serving.util import errors


class BorrowedFolderTest(absltest.TestCase):
    """A folder for models."""

    def test_folder_is_left_empty(self) -> None:
        """If it was empty, and even if somebody is interrupted."""
        path = self.create_tempdir().full_path
        with (
            self.assertRaises(KeyboardInterrupt),
            borrowed_folder.BorrowedFolder(path) as base,
        ):
            folder = base.folder("x")
            self.assertEqual(folder, os.path.join(path, "x"))
            os.mkdir(os.path.join(folder, "y"))
            raise KeyboardInterrupt
        self.assertEqual(os.listdir(path), [])

    def test_new_folder_is_removed(self) -> None:
        """It was not there before."""
        path = os.path.join(self.create_tempdir().full_path, "a", "b")
        with borrowed_folder.BorrowedFolder(path):
            self.assertTrue(os.path.isdir(path))
        self.assertFalse(os.path.exists(path))

    def test_folder_with_content_is_refused(self) -> None:
        """And nothing in it is touched."""
        path = self.create_tempdir().full_path
        os.mkdir(os.path.join(path, "00000001"))
        with self.assertRaisesRegex(
            errors.FailedPreconditionError,
            f"MODEL_BASE must be an empty folder.*'00000001' in it: {path}",
        ):
            borrowed_folder.BorrowedFolder(path)
        self.assertEqual(os.listdir(path), ["00000001"])


if __name__ == "__main__":
    absltest.main()
