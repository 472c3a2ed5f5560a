"""The files of versions that look whole, for tests without TensorFlow.

No loader takes them.
"""

import os
from collections.abc import Mapping

_FOOTER = bytes(40) + (0xDB4775248B80FB57).to_bytes(8, "little")


def field(number: int, content: bytes) -> bytes:
    """Returns a field of a protocol buffer with a string or a message."""
    length, varint = len(content), b""
    while length > 0x7F:
        varint += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + varint + bytes([length]) + content


def meta_graph_def(restore_op_name: str = "save/restore_all") -> bytes:
    """Returns a MetaGraphDef; one without a Saver if there is no such name."""
    graph = field(1, b"meta info") + field(2, b"a graph of some nodes" * 20)
    if not restore_op_name:
        return graph
    return graph + field(3, field(3, restore_op_name.encode()))


def table() -> bytes:
    """Returns what ends like a table of LevelDB."""
    return b"keys and values" * 5 + _FOOTER


def export(num_shards: int = 1, *, is_v2: bool = False) -> dict[str, bytes]:
    """Returns the files of an export with a sharded checkpoint."""
    files = {"checkpoint": b"text", "assets/words.txt": b"to be or not to be"}
    for shard in range(num_shards):
        name = f"{shard:05d}-of-{num_shards:05d}"
        if is_v2:
            files[f"export.data-{name}"] = b"\1\2\3\4"
        else:
            files[f"export-{name}"] = table()
    if is_v2:
        files["export.index"] = table()
    return {**files, "export.meta": meta_graph_def()}


def saved_model(
    restore_op_name: str = "save/restore_all", num_shards: int = 1
) -> dict[str, bytes]:
    """Returns the files of a SavedModel; without a name, with no variables."""
    files = {
        "saved_model.pb": bytes([1 << 3, 1])
        + field(2, meta_graph_def(restore_op_name))
    }
    if restore_op_name:
        for shard in range(num_shards):
            name = f"variables.data-{shard:05d}-of-{num_shards:05d}"
            files[f"variables/{name}"] = b"\1\2\3\4"
        files["variables/variables.index"] = table()
    return files


def write(path: str, files: Mapping[str, bytes]) -> None:
    """Writes files into the folder of a version."""
    for name, content in files.items():
        file_path = os.path.join(path, *name.split("/"))
        os.makedirs(os.path.dirname(file_path), exist_ok=True)
        with open(file_path, "wb") as file:
            file.write(content)
