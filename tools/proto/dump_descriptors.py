"""Writes protos that are only installed as Python modules to a descriptor set.

Usage: dump_descriptors.py OUTPUT PROTO...

OUTPUT becomes a serialized FileDescriptorSet, for protoc's --descriptor_set_in,
with each PROTO (tensorflow/core/protobuf/config.proto) and all that it imports.
"""

import importlib
import pathlib
import sys
from collections.abc import Sequence

from google.protobuf import descriptor_pb2, descriptor_pool


def file_descriptor_set(
    protos: Sequence[str],
) -> descriptor_pb2.FileDescriptorSet:
    """Returns the protos and their imports, each after what it imports.

    Args:
      protos: Paths of .proto files whose generated modules can be imported.

    Raises:
      ModuleNotFoundError: A proto has no generated module.
    """
    pool = descriptor_pool.Default()
    files = descriptor_pb2.FileDescriptorSet()
    added: set[str] = set()

    def add(path: str) -> None:
        if path in added:
            return
        added.add(path)
        descriptor = pool.FindFileByName(path)
        for dependency in descriptor.dependencies:
            add(dependency.name)
        descriptor.CopyToProto(files.file.add())

    for proto in protos:
        module = proto.removesuffix(".proto").replace("/", ".") + "_pb2"
        importlib.import_module(module)
        add(proto)
    return files


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    output, *protos = argv[1:]
    pathlib.Path(output).write_bytes(
        file_descriptor_set(protos).SerializeToString()
    )


if __name__ == "__main__":
    main(sys.argv)
