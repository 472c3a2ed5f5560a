"""Tests for hashmap_source_adapter."""

import os

from absl.testing import absltest, parameterized

from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.servables.hashmap import hashmap_source_adapter
from tensorflow_serving.util import errors


class HashmapSourceAdapterTest(parameterized.TestCase):
    """Lookup tables as servables."""

    def _write(self, content: bytes, name: str = "table.csv") -> str:
        return self.create_tempfile(name, content, "wb").full_path

    def test_table_is_loaded_and_unloaded(self) -> None:
        """A table is loaded and unloaded, and needs no estimate."""
        path = self._write(b"a,apple\nb,banana\n")
        loader = hashmap_source_adapter.HashmapSourceAdapter().convert(path)
        self.assertEqual(
            loader.estimate_resources(), resource_tracker.ResourceAllocation(0)
        )
        loader.load()
        self.assertEqual(loader.servable(), {"a": "apple", "b": "banana"})
        loader.unload()

    def test_folder_of_a_version_holds_the_table(self) -> None:
        """The folder of a version holds the table as hashmap.csv."""
        folder = self.create_tempdir()
        folder.create_file("hashmap.csv", "a,apple")
        self.assertEqual(
            hashmap_source_adapter.load_hashmap(folder.full_path),
            {"a": "apple"},
        )

    @parameterized.named_parameters(
        ("empty", b"", {}),
        ("first_of_equal_keys", b"a,1\na,2\n", {"a": "1"}),
        ("quotes", b'"a,b","1\n2"\r\nc,\r\n', {"a,b": "1\n2", "c": ""}),
        ("utf_8", b"\xc3\xa4,1\n", {"\xe4": "1"}),
        ("byte_order_mark", b"\xef\xbb\xbfa,1\n", {"a": "1"}),
        ("long_value", b"a," + b"1" * 200_000, {"a": "1" * 200_000}),
    )
    def test_lines_become_entries(
        self, content: bytes, expected: dict[str, str]
    ) -> None:
        """Each line becomes an entry with a key and a value."""
        self.assertEqual(
            hashmap_source_adapter.load_hashmap(self._write(content)), expected
        )

    @parameterized.named_parameters(
        ("one_column", b"a,1\nb\n", "2 columns.* got 1: .*table.csv, line 2"),
        ("three_columns", b"a,1,2\n", "2 columns.* got 3: .*table.csv, line 1"),
        ("empty_line", b"a,1\n\nb,2\n", "2 columns.* got 0: .*, line 2"),
        ("open_quote", b'a,1\nb,"2\n', "CSV in UTF-8; got .*, after line 2"),
        ("latin_1", b"a,\xe4\n", "CSV in UTF-8; got .*table.csv, after line 0"),
    )
    def test_bad_line_is_named(self, content: bytes, text: str) -> None:
        """A bad line is INVALID_ARGUMENT with the file and the number."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            hashmap_source_adapter.load_hashmap(self._write(content))

    def test_missing_table_is_not_found(self) -> None:
        """A missing file, alone or in a folder, is NOT_FOUND."""
        folder = self.create_tempdir().full_path
        for path in (folder, os.path.join(folder, "none.csv")):
            with self.assertRaisesRegex(errors.NotFoundError, r"\.csv$"):
                hashmap_source_adapter.load_hashmap(path)

    def test_failing_storage_is_unavailable(self) -> None:
        """EIO may go away, so it is UNAVAILABLE."""
        folder = self.create_tempdir().full_path
        link = os.path.join(folder, "table.csv")
        os.symlink("/proc/self/mem", link)
        with self.assertRaises(errors.UnavailableError):
            hashmap_source_adapter.load_hashmap(link)


if __name__ == "__main__":
    absltest.main()
