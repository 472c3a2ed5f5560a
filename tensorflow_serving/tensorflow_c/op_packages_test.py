"""Tests for op_packages, with packages whose libraries are no libraries."""

import os
import sys

from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import op_packages
from tensorflow_serving.util import errors


class OpPackagesTest(parameterized.TestCase):
    """Tests with a folder of packages that Python can import."""

    def setUp(self) -> None:
        """Makes a package that must not be imported."""
        super().setUp()
        self.folder = self.create_tempdir().full_path
        sys.path.insert(0, self.folder)
        self.addCleanup(sys.path.remove, self.folder)
        self._write("made_up_ops/__init__.py", b"1 / 0")

    def _write(self, name: str, content: bytes) -> str:
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        return path

    @parameterized.parameters("made_up_ops", "made-up-ops")
    def test_package_is_searched_for_operations(self, name: str) -> None:
        """Libraries for Python are left out, and so are empty files."""
        kernels = self._write("made_up_ops/b.so", b"...KernelDefBuilder...")
        ops = self._write("made_up_ops/a/b.so", b"...OpDefBuilder...")
        self._write("made_up_ops/a/module.so", b"...PyInit_module...")
        self._write("made_up_ops/empty.so", b"")
        self.assertEqual(op_packages.library_paths(name), [ops, kernels])

    def test_path_is_taken_as_it_is(self) -> None:
        """Nobody looks into the file before it is loaded."""
        path = self._write("any/file", b"")
        self.assertEqual(op_packages.library_paths(path), [path])

    @parameterized.named_parameters(
        ("path", "/no/such/ops.so", "must be a file; got /no/such/ops.so"),
        ("package", "no_such_ops", "such as tensorflow_text; got no_such_ops"),
        ("module", "made_up_ops.a", "such as tensorflow_text; got made_up"),
        ("no_ops", "made_up_ops", "package made_up_ops must have a library"),
    )
    def test_missing_operations_are_not_found(
        self, name: str, expected: str
    ) -> None:
        """The error says what was looked for."""
        with self.assertRaisesRegex(errors.NotFoundError, expected):
            op_packages.library_paths(name)


if __name__ == "__main__":
    absltest.main()
