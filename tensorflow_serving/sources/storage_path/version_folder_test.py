"""Tests for version_folder."""

import os
import re
from collections.abc import Callable

from absl.testing import absltest, parameterized

from tensorflow_serving.sources.storage_path import version_folder
from tensorflow_serving.test_util import tiny_versions
from tensorflow_serving.util import errors


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


class FindVersionsTest(parameterized.TestCase):
    """The folders with a number for a name."""

    def setUp(self) -> None:
        """Makes an empty base path."""
        super().setUp()
        self._base = self.create_tempdir().full_path

    def _make(self, *names: str) -> None:
        for name in names:
            os.mkdir(os.path.join(self._base, name))

    @parameterized.parameters(
        ("0", 0),
        ("1", 1),
        ("00000123", 123),
        ("20161231235959", 20161231235959),
        ("9223372036854775807", 2**63 - 1),
    )
    def test_whole_number_is_a_version(self, name: str, version: int) -> None:
        """The path keeps leading zeros."""
        self._make(name)
        versions = version_folder.find_versions(self._base)
        self.assertEqual(
            dict(versions.paths), {version: os.path.join(self._base, name)}
        )

    @parameterized.parameters(
        "-1", "+1", "1.0", "1-tmp", "one", " 1", "1_0", "٣", "²",
        "9223372036854775808", "9" * 250,
    )  # fmt: skip
    def test_other_name_is_ignored(self, name: str) -> None:
        """Neither signs nor other digits nor what is beyond int64 count."""
        self._make(name)
        self.assertEqual(len(version_folder.find_versions(self._base).paths), 0)

    def test_file_is_ignored(self) -> None:
        """A version is a folder, or a link to one."""
        tiny_versions.write(self._base, {"1": b""})
        self._make("2")
        os.symlink("2", os.path.join(self._base, "3"))
        os.symlink("nowhere", os.path.join(self._base, "4"))
        versions = version_folder.find_versions(self._base)
        self.assertEqual(versions.paths.keys(), {2, 3})

    def test_same_number_twice_is_told(self) -> None:
        """The name with more zeros wins, whatever the order on disk."""
        self._make("1", "0001", "01", "2")
        versions = version_folder.find_versions(self._base)
        self.assertEqual(
            dict(versions.paths),
            {
                1: os.path.join(self._base, "0001"),
                2: os.path.join(self._base, "2"),
            },
        )
        self.assertEqual(
            dict(versions.duplicates),
            {1: [os.path.join(self._base, name) for name in ("01", "1")]},
        )

    def test_missing_base_path_is_an_error(self) -> None:
        """A file in the place of the base path is an error as well."""
        tiny_versions.write(self._base, {"file": b""})
        for name in ("nowhere", "file"):
            with self.assertRaisesRegex(
                errors.InvalidArgumentError, f"must be a folder.*{name}"
            ):
                version_folder.find_versions(os.path.join(self._base, name))

    def test_unreadable_base_path_is_transient(self) -> None:
        """It is no empty folder."""
        path = os.path.join(self._base, "loop")
        os.symlink("loop", path)
        with self.assertRaisesRegex(errors.UnavailableError, "loop"):
            version_folder.find_versions(path)

    def test_version_that_cannot_be_looked_at_is_one_with_an_error(
        self,
    ) -> None:
        """The other versions are found all the same."""
        self._make("1")
        loop = os.path.join(self._base, "2")
        os.symlink("2", loop)
        versions = version_folder.find_versions(self._base)
        self.assertEqual(versions.paths.keys(), {1, 2})
        with self.assertRaisesRegex(errors.UnavailableError, "symbolic links"):
            version_folder.scan(loop)

    @parameterized.parameters(
        ((), ""),
        ((".hidden",), ""),
        (("v1", "latest", "1.0"), "It holds '1.0', 'latest', 'v1', but"),
        (("a", "b", "c", "d"), "It holds 'a', 'b', 'c' and more, but"),
        (("a", "saved_model.pb"), "so it is a version; give the folder"),
        (("1", "export.meta"), ""),
    )
    def test_hint_says_what_is_there_in_place_of_versions(
        self, names: tuple[str, ...], hint: str
    ) -> None:
        """A base path with versions needs no hint."""
        self._make(*names)
        found = version_folder.find_versions(self._base).hint
        self.assertIn(hint, found)
        self.assertEqual(bool(found), bool(hint))


class ScanTest(parameterized.TestCase):
    """The files of a version."""

    def setUp(self) -> None:
        """Makes a version with two files."""
        super().setUp()
        self._path = self.create_tempdir().full_path
        tiny_versions.write(self._path, {"a": b"123", "b/c/d": b"12"})

    def test_files_have_relative_paths_and_sizes(self) -> None:
        """Files of all subfolders have paths; folders are not among them."""
        os.mkdir(os.path.join(self._path, "empty"))
        contents = version_folder.scan(self._path)
        self.assertEqual(
            {name: state.size_bytes for name, state in contents.items()},
            {"a": 3, "b/c/d": 2},
        )

    def test_untouched_files_are_equal(self) -> None:
        """Untouched files are equal, however often they are looked at."""
        self.assertEqual(
            version_folder.scan(self._path), version_folder.scan(self._path)
        )

    @parameterized.named_parameters(
        ("growth", lambda path: _write(f"{path}/a", b"1234")),
        ("new_time", lambda path: os.utime(f"{path}/a", (1, 1))),
        ("new_file", lambda path: _write(f"{path}/b/e", b"")),
        ("deletion", lambda path: os.remove(f"{path}/b/c/d")),
        ("rename", lambda path: os.rename(f"{path}/a", f"{path}/e")),
    )
    def test_change_is_seen(self, change: Callable[[str], None]) -> None:
        """Any change of a file is seen."""
        before = version_folder.scan(self._path)
        change(self._path)
        self.assertNotEqual(version_folder.scan(self._path), before)

    def test_replacement_is_seen(self) -> None:
        """A file of the same size is another one if its time differs."""
        before = version_folder.scan(self._path)
        old, new = f"{self._path}/a", f"{self._path}/new"
        _write(new, b"321")
        status = os.stat(old)
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        os.rename(new, old)
        self.assertNotEqual(version_folder.scan(self._path), before)

    def test_links_are_followed(self) -> None:
        """Links are followed, except to nothing or back to where they are."""
        elsewhere = self.create_tempdir().full_path
        tiny_versions.write(elsewhere, {"x": b"1234"})
        for name, target in {
            "folder": elsewhere,
            "file": os.path.join(elsewhere, "x"),
            "nothing": "nowhere",
            "b/up": "..",
        }.items():
            os.symlink(target, os.path.join(self._path, name))
        self.assertEqual(
            version_folder.scan(self._path).keys(),
            {"a", "b/c/d", "folder/x", "file"},
        )

    def test_missing_folder_is_not_found(self) -> None:
        """It may have been there a moment ago."""
        with self.assertRaises(errors.NotFoundError):
            version_folder.scan(os.path.join(self._path, "nowhere"))

    def test_link_to_itself_is_no_file(self) -> None:
        """Nor is a named pipe, and neither hides the other files."""
        os.symlink("loop", os.path.join(self._path, "b", "loop"))
        os.mkfifo(os.path.join(self._path, "pipe"))
        self.assertEqual(version_folder.scan(self._path).keys(), {"a", "b/c/d"})

    def test_only_parts_are_looked_at(self) -> None:
        """A folder is entered if its path with a "/" is a part."""
        tiny_versions.write(self._path, {"b/x": b"", "other/y": b""})
        self.assertEqual(
            version_folder.scan(
                self._path, re.compile("b/|b/x|a|other")
            ).keys(),
            {"a", "b/x"},
        )

    def test_hidden_files_are_no_parts_of_an_unknown_format(self) -> None:
        """File systems leave them there, and lost+found."""
        tiny_versions.write(
            self._path, {".nfs0001": b"", ".git/x": b"", "lost+found/x": b""}
        )
        self.assertEqual(version_folder.scan(self._path).keys(), {"a", "b/c/d"})

    def test_replacement_by_a_file_that_looks_the_same_is_seen(self) -> None:
        """Its size and its time may be the same; it is another file."""
        before = version_folder.scan(self._path)
        old, new = f"{self._path}/a", f"{self._path}/new"
        _write(new, b"321")
        status = os.stat(old)
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.rename(new, old)
        self.assertNotEqual(version_folder.scan(self._path), before)

    def test_chmod_and_hard_links_are_no_change(self) -> None:
        """Backups make hard links and change modes, which is no change."""
        before = version_folder.scan(self._path)
        os.chmod(f"{self._path}/a", 0o600)
        os.link(f"{self._path}/a", f"{self._path}/.backup")
        self.assertEqual(version_folder.scan(self._path), before)


if __name__ == "__main__":
    absltest.main()
