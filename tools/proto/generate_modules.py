"""Generates modules from TensorFlow's protos that do not import TensorFlow.

Usage: generate_modules.py DESCRIPTORS PACKAGE PLUGIN OUTPUT

DESCRIPTORS is what dump_descriptors.py wrote. For each proto in it that is
TensorFlow's, a module of PACKAGE and its .pyi file are written to the folder
OUTPUT. PLUGIN is the path of protoc-gen-mypy.

The files keep their names and their content in the pool of descriptors, so
that TensorFlow itself can be imported in the same process: protobuf sees that
both are the same, and both get the same classes.
"""

import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from google.protobuf import descriptor_pb2

from tools.proto import relocated_imports


def generate(descriptors: str, package: str, plugin: str, output: str) -> None:
    """Writes the modules; see the module docstring."""
    files = descriptor_pb2.FileDescriptorSet.FromString(
        pathlib.Path(descriptors).read_bytes()
    )
    protos = [
        file.name
        for file in files.file
        if not file.name.startswith("google/protobuf/")
    ]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                *(sys.executable, "-m", "grpc_tools.protoc"),
                f"--descriptor_set_in={descriptors}",
                f"--python_out={folder}",
                f"--plugin=protoc-gen-mypy={plugin}",
                f"--mypy_out=quiet:{folder}",
                *protos,
            ],
            check=True,
        )
        for proto in map(pathlib.PurePosixPath, protos):
            name = relocated_imports.module_name(str(proto.parent), proto.stem)
            made = pathlib.Path(folder, proto.parent, f"{proto.stem}_pb2")
            for suffix in (".py", ".pyi"):
                text = made.with_suffix(suffix).read_text("utf-8")
                pathlib.Path(output, f"{name}{suffix}").write_text(
                    relocated_imports.relocate(text, package), "utf-8"
                )


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    _, descriptors, package, plugin, output = argv
    generate(descriptors, package, plugin, output)


if __name__ == "__main__":
    main(sys.argv)
