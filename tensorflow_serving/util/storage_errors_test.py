"""Tests for storage_errors."""

import errno

from absl.testing import absltest

from tensorflow_serving.util import errors, storage_errors

_TEXT = r"^Files of a version must be readable; got .*smoke.*'/m/1/x'"


class StorageErrorsTest(absltest.TestCase):
    """A storage that smokes."""

    def test_error_says_what_the_system_says(self) -> None:
        """A client sees the reason and the file, and may try again."""
        error = storage_errors.unreadable(OSError(errno.EIO, "smoke", "/m/1/x"))
        self.assertRegex(str(error), f"{_TEXT}$")
        self.assertTrue(errors.is_transient(error))

    def test_block_names_the_version_as_well(self) -> None:
        """The stack of the first error is not kept."""
        with (
            self.assertRaisesRegex(
                errors.UnavailableError, f"{_TEXT}: /m/1$"
            ) as raised,
            storage_errors.converted("/m/1"),
        ):
            raise OSError(errno.EIO, "smoke", "/m/1/x")
        self.assertIsNone(raised.exception.__cause__)

    def test_other_errors_pass(self) -> None:
        """A bug is not blamed on the storage."""
        with self.assertRaises(KeyError), storage_errors.converted("/m/1"):
            raise KeyError


if __name__ == "__main__":
    absltest.main()
