"""Writes the digits of scikit-learn as the gzipped IDX files in this folder.

Usage: python make_digits.py     (needs scikit-learn, which nothing else here
does; the files are made once and kept in the repository)
"""

import gzip
import pathlib
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import datasets

_IMAGES_MAGIC = 2051
_LABELS_MAGIC = 2049


def _write(name: str, magic: int, values: npt.NDArray[Any]) -> None:
    header = struct.pack(f">{1 + values.ndim}I", magic, *values.shape)
    data = header + values.astype(np.uint8).tobytes()
    # Without a time, so that the same digits give the same file.
    path = pathlib.Path(__file__).parent / name
    path.write_bytes(gzip.compress(data, compresslevel=9, mtime=0))


def main() -> None:
    """Runs the program; see the module docstring."""
    digits = datasets.load_digits()
    _write("digits-images-idx3-ubyte.gz", _IMAGES_MAGIC, digits.images)
    _write("digits-labels-idx1-ubyte.gz", _LABELS_MAGIC, digits.target)


if __name__ == "__main__":
    main()
