"""Models that are there already: they are written when a test is built.

So the test does not wait for an import of TensorFlow. They are half plus two,
as export_half_plus_two and saved_models write it, and those of model_zoo.
"""

import os
import shutil
import tarfile
from typing import Final

# The folder of a version: an export.
HALF_PLUS_TWO: Final = "half_plus_two/00000123"
# SavedModels, of TensorFlow 1 and 2.
SAVED_MODEL_TF1: Final = "saved_model_tf1"
SAVED_MODEL_TF2: Final = "saved_model_tf2"

_FOLDER: Final = os.path.join(os.path.dirname(__file__), "models")


def copy(model: str, path: str) -> str:
    """Copies a model to a folder, which must not exist; returns its path.

    Args:
      model: One of the constants above.
      path: The folder that is made, with its parents.
    """
    shutil.copytree(os.path.join(_FOLDER, model), path)
    for folder, _, names in os.walk(path):
        for name in ("", *names):
            # Outputs of the build may not be written to.
            os.chmod(os.path.join(folder, name), 0o755)
    return path


def copy_broken(path: str) -> str:
    """Writes a SavedModel that cannot be loaded to a folder; returns its path.

    Its variables are in no format that TensorFlow knows.
    """
    copy(SAVED_MODEL_TF2, path)
    index = os.path.join(path, "variables", "variables.index")
    with open(index, "r+b") as file:
        file.write(b"garbage")
    return path


def unpack_zoo(path: str) -> None:
    """Writes the models of model_zoo to a folder, each below its name."""
    with tarfile.open(os.path.join(_FOLDER, "zoo.tar")) as archive:
        archive.extractall(path)
