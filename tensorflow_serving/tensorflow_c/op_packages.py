"""Finds the op libraries of installed packages, without importing them.

Example:
    for path in op_packages.library_paths("tensorflow_text"):
        op_libraries.load(path)
"""

import importlib.util
import mmap
import os
import pathlib
from collections.abc import Sequence
from typing import Final

from tensorflow_serving.util import errors

# The C++ classes by which a library registers operations and their kernels;
# other libraries of a package are for Python.
_MARKS: Final = (b"OpDefBuilder", b"KernelDefBuilder")


def library_paths(name_or_path: str) -> Sequence[str]:
    """Returns the paths of libraries that have operations.

    Args:
      name_or_path: The path of a library, or a package by the name by which it
        is imported or installed, such as tensorflow_text.

    Raises:
      NotFoundError: There is no such file or package, or the package has no
        operations. Permanent.
    """
    if os.sep in name_or_path or os.path.isfile(name_or_path):
        if not os.path.isfile(name_or_path):
            raise errors.NotFoundError(
                f"op library must be a file; got {name_or_path}"
            )
        return [os.path.abspath(name_or_path)]
    name = name_or_path.replace("-", "_")
    # The name of a module within a package would have the package imported.
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None:
        raise errors.NotFoundError(
            "op library must be a path or the name of an installed package, "
            f"such as tensorflow_text; got {name_or_path}"
        )
    paths = sorted(
        str(path)
        for folder in spec.submodule_search_locations or ()
        for path in pathlib.Path(folder).rglob("*.so")
        if _has_operations(path)
    )
    if not paths:
        raise errors.NotFoundError(
            f"package {name} must have a library that registers operations; "
            f"got none in {spec.origin}"
        )
    return paths


def _has_operations(path: pathlib.Path) -> bool:
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(mark) >= 0 for mark in _MARKS)
