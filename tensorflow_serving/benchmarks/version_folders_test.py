"""Tests for version_folders."""

import filecmp
import os

from absl.testing import absltest

from tensorflow_serving.benchmarks import version_folders

_FILES = {"a": b"0123456789", "b": b"x", "c": bytes(range(256))}


class VersionFoldersTest(absltest.TestCase):
    """What an operator does."""

    def setUp(self) -> None:
        """Makes a folder to copy."""
        super().setUp()
        self.folder = self.create_tempdir().full_path
        self.source = os.path.join(self.folder, "source")
        os.mkdir(self.source)
        for name, content in _FILES.items():
            with open(os.path.join(self.source, name), "wb") as file:
                file.write(content)

    def test_version_is_moved_into_place(self) -> None:
        """And can be removed."""
        version_folders.put(self.source, self.folder, 12)
        path = os.path.join(self.folder, "00000012")
        self.assertEqual(version_folders.path_of(self.folder, 12), path)
        self.assertCountEqual(os.listdir(path), _FILES)
        version_folders.remove(self.folder, 12)
        self.assertEqual(os.listdir(self.folder), [])

    def test_copy_is_whole_after_the_last_step(self) -> None:
        """And not one step before."""
        target = os.path.join(self.folder, "target")
        sizes = []
        for _ in version_folders.copy_in_steps(self.source, target, 20):
            sizes.append(
                sum(
                    os.path.getsize(os.path.join(target, name))
                    for name in (
                        os.listdir(target) if os.path.exists(target) else []
                    )
                )
            )
        self.assertEqual(len(sizes), 20)
        self.assertEqual(sizes[0], 0)
        self.assertLess(sizes[-1], sum(map(len, _FILES.values())))
        self.assertEqual(
            filecmp.cmpfiles(self.source, target, _FILES, shallow=False),
            (list(_FILES), [], []),
        )

    def test_files_are_copied_in_the_order_that_is_wanted(self) -> None:
        """One after the other."""
        target = os.path.join(self.folder, "target")
        seen = []
        for _ in version_folders.copy_in_steps(
            self.source, target, 3, order=["c", "a", "b"]
        ):
            seen.append(
                sorted(os.listdir(target)) if os.path.exists(target) else []
            )
        self.assertEqual(seen, [[], ["c"], ["a", "c"]])


if __name__ == "__main__":
    absltest.main()
