"""Tests for tracked_version."""

from absl.testing import absltest

from tensorflow_serving.sources.storage_path import (
    tracked_version,
    version_folder,
)


def _contents(size: int, inode: int = 0) -> version_folder.Contents:
    return {"file": version_folder.FileState(size, 0, inode)}


class TrackedVersionTest(absltest.TestCase):
    """Tests of the conclusions from looks at the files of a version."""

    def test_first_look_is_a_change(self) -> None:
        """The first look at a version is a change; an equal one is not."""
        version = tracked_version.TrackedVersion("/1")
        self.assertTrue(version.see("/1", _contents(1)))
        version.since = 0
        self.assertFalse(version.see("/1", _contents(1)))
        self.assertTrue(version.see("/01", _contents(1)))
        self.assertTrue(version.see("/01", _contents(2)))

    def test_content_stays_while_files_cannot_be_read(self) -> None:
        """Files that come back as they were need no other load."""
        version = tracked_version.TrackedVersion("/1")
        version.see("/1", _contents(1))
        content = version.content
        version.see("/1", None)
        version.see("/1", _contents(1))
        self.assertEqual(version.content, content)

    def test_changes_of_inodes_alone_are_counted(self) -> None:
        """Only changes of nothing but inodes are counted."""
        version = tracked_version.TrackedVersion("/1")
        version.see("/1", _contents(1, inode=1))
        version.see("/1", _contents(1, inode=2))
        version.see("/1", _contents(2, inode=3))
        self.assertEqual(version.num_inode_changes, 1)

    def test_failure_while_it_was_lost_is_forgotten(self) -> None:
        """The files count as others, once."""
        version = tracked_version.TrackedVersion("/1", since=0)
        version.see("/1", _contents(1))
        version.was_lost = True
        self.assertFalse(version.see("/1", _contents(1)))
        version.failed_contents = version.contents
        self.assertTrue(version.see("/1", _contents(1)))
        self.assertIsNone(version.failed_contents)
        self.assertFalse(version.see("/1", _contents(1)))


if __name__ == "__main__":
    absltest.main()
