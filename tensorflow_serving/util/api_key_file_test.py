"""Tests for api_key_file."""

import os

from absl.testing import absltest, parameterized

from tensorflow_serving.util import api_key_file, errors


class ApiKeyFileTest(parameterized.TestCase):
    """Tests with files of all kinds."""

    def setUp(self) -> None:
        """Makes a folder."""
        super().setUp()
        self.folder = self.create_tempdir().full_path

    def _write(self, data: bytes) -> str:
        path = os.path.join(self.folder, "keys")
        with open(path, "wb") as file:
            file.write(data)
        return path

    @parameterized.parameters(
        (b"abc", ["abc"]),
        (b"abc\n", ["abc"]),
        (b"abc\r\ndef\r\n", ["abc", "def"]),
        (b"\xef\xbb\xbfabc\n", ["abc"]),
        (b"# one\n\n  abc  \n#def\n-._~+/Z9==\n", ["abc", "-._~+/Z9=="]),
    )
    def test_each_line_is_a_key(self, data: bytes, keys: list[str]) -> None:
        """Ends of lines may be those of any system, or be missing."""
        self.assertEqual(api_key_file.read(self._write(data), "keys"), keys)

    @parameterized.parameters(
        (b"", "must hold at least one key, on a line of its own; got none"),
        (b"\n# abc\n", "must hold at least one key"),
        (b"abc\nde f\n", "key in line 2 of .* must be letters, digits and any"),
        (b"abc # a comment\n", "key in line 1 of"),
        (b"=abc", "key in line 1 of"),
        ("schlüssel".encode(), "key in line 1 of"),
        (b"\xff\xfe\x00\x01", "key in line 1 of"),
        (b"a" * 1_048_577, "must have at most 1048576 bytes; got more"),
    )
    def test_other_content_is_an_error(self, data: bytes, text: str) -> None:
        """The text names flag and file, and quotes nothing."""
        path = self._write(data)
        with self.assertRaisesRegex(errors.InvalidArgumentError, text) as found:
            api_key_file.read(path, "keys")
        self.assertStartsWith(str(found.exception), "--keys")  # type: ignore[no-untyped-call]
        self.assertIn(path, str(found.exception))
        self.assertNotIn("abc", str(found.exception))

    def test_what_is_no_file_is_an_error(self) -> None:
        """A pipe could be read only once, and would block without a writer."""
        pipe = os.path.join(self.folder, "pipe")
        os.mkfifo(pipe)
        for path, text in (
            (pipe, "must be a file; got a named pipe"),
            (self.folder, "must be a file that can be read; got .*Is a dir"),
            (f"{self.folder}/none", "got .*/none .No such file or directory"),
            ("a\0b", "must be a file that can be read"),
        ):
            with self.assertRaisesRegex(errors.InvalidArgumentError, text):
                api_key_file.read(path, "keys")

    def test_file_may_be_one_that_others_can_read(self) -> None:
        """A file that is not there cannot be read by anybody."""
        path = self._write(b"abc")
        for mode, expected in ((0o600, False), (0o640, False), (0o644, True)):
            os.chmod(path, mode)
            self.assertEqual(api_key_file.is_readable_by_others(path), expected)
        self.assertFalse(api_key_file.is_readable_by_others("/no/such/file"))


if __name__ == "__main__":
    absltest.main()
