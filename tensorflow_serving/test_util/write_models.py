"""Writes the models of written_models; run by the build.

Usage: write_models FOLDER
"""

import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Sequence

from tensorflow_serving.session_bundle.example import export_half_plus_two
from tensorflow_serving.test_util import (
    saved_models,
    zoo_exports,
    zoo_saved_models,
    zoo_tflite_models,
)


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    with tempfile.TemporaryDirectory() as folder:
        export_half_plus_two.export(os.path.join(folder, "half_plus_two"))
        saved_models.write_tf1(os.path.join(folder, "saved_model_tf1"))
        saved_models.write_tf2(os.path.join(folder, "saved_model_tf2"))
        os.remove(os.path.join(folder, "lines.txt"))
        shutil.copytree(folder, argv[1], dirs_exist_ok=True)
    _write_zoo(os.path.join(argv[1], "zoo.tar"))


def _write_zoo(path: str) -> None:
    """Writes one file: a build must know the names of those that it makes."""
    with tempfile.TemporaryDirectory() as folder:
        zoo_exports.write(folder)
        zoo_saved_models.write(folder)
        zoo_tflite_models.write(folder)
        with tarfile.open(path, "w") as archive:
            archive.add(folder, "")


if __name__ == "__main__":
    main(sys.argv)
