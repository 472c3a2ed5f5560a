"""Has generated modules import TensorFlow's protos from another package.

Usage: relocated_imports.py PACKAGE FILE...

protoc names the module of a proto after its path, tensorflow.core.protobuf
and so on, where only TensorFlow itself can be: an import would run all of it.
The modules that are made from the same protos in PACKAGE do without. FILE is
the output of protoc, .py or .pyi, and is changed in its place.
"""

import pathlib
import re
import sys
from collections.abc import Sequence

_FOREIGN = r"((?:tensorflow|xla)(?:\.\w+)*)"
_IMPORT_MODULE = re.compile(rf"^from {_FOREIGN} import (\w+)_pb2\b", re.M)
_IMPORT_NAMES = re.compile(rf"^from {_FOREIGN}\.(\w+)_pb2 import ", re.M)


def module_name(folder: str, stem: str) -> str:
    """Returns the name in the package of the module of a proto.

    Two protos of one name, in folders of TensorFlow and of its library TSL,
    are kept apart.

    Args:
      folder: The folder of the proto, "tensorflow/core/framework", or the
        package of its module.
      stem: The name of the proto without ".proto".
    """
    prefix = "tsl_" if re.match(r"xla\b", folder) else ""
    return f"{prefix}{stem}_pb2"


def relocate(text: str, package: str) -> str:
    """Returns the text of a module with its imports changed."""
    text = _IMPORT_MODULE.sub(
        lambda match: (
            f"from {package} import {module_name(match[1], match[2])}"
        ),
        text,
    )
    return _IMPORT_NAMES.sub(
        lambda match: (
            f"from {package}.{module_name(match[1], match[2])} import "
        ),
        text,
    )


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    _, package, *files = argv
    for file in map(pathlib.Path, files):
        file.write_text(relocate(file.read_text("utf-8"), package), "utf-8")


if __name__ == "__main__":
    main(sys.argv)
