"""Whether the folder of a version holds all that its format says must be there.

While a folder is copied in, file after file, it has the name of a version
already. These checks tell it from one that is whole, as far as names and a few
bytes of each file can tell; what they cannot see, the loader finds out.

The formats: session_bundle/README.md, and for SavedModels
https://www.tensorflow.org/guide/saved_model
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from google.protobuf import empty_pb2, unknown_fields
from google.protobuf import message as protobuf_message

from tensorflow_serving.sources.storage_path import version_folder
from tensorflow_serving.util import errors

# Takes the path of the folder of a version, and what is in it. Raises an
# UnavailableError that says what is missing.
VersionCheck = Callable[[str, version_folder.Contents], None]

# The last 8 bytes of every table of LevelDB, which is what TensorFlow's V1
# checkpoints and the indices of its V2 checkpoints are.
_TABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")

# Field numbers.
_META_GRAPH_DEF_GRAPH_DEF = 2
_META_GRAPH_DEF_SAVER_DEF = 3
_SAVED_MODEL_META_GRAPHS = 2
_SAVER_DEF_RESTORE_OP_NAME = 3

_RESTORE_OP_NAME_IN_TEXT = re.compile(rb'restore_op_name\s*:\s*"[^"]')


def any_content(path: str, contents: version_folder.Contents) -> None:
    """Wants one file at least; for formats of which nothing else is known."""
    if not contents:
        raise _incomplete("an empty folder", path)


def session_bundle(path: str, contents: version_folder.Contents) -> None:
    """Wants export.meta, whole, and the variables: V1 or V2, all shards.

    Assets are left to the loader: an export may have none. So is the content of
    the data files of V2, whose sizes are only in the index.
    """
    meta = os.path.join(path, "export.meta")
    if "export.meta" not in contents:
        raise _incomplete("no export.meta", path)
    with _open(meta) as file:
        fields = {field.field_number for field in _fields(file.read(), meta)}
    # Fields are written in the order of their numbers, and a file that ends
    # between two of them is a message as well.
    if not {_META_GRAPH_DEF_GRAPH_DEF, _META_GRAPH_DEF_SAVER_DEF} <= fields:
        raise _incomplete("a file without a graph or without a Saver", meta)
    if "export" in contents:
        _require_table(os.path.join(path, "export"))
    elif "export.index" in contents:
        _require_table(os.path.join(path, "export.index"))
        _shards(path, "export.data-", contents)
    else:
        for shard in _shards(path, "export-", contents):
            _require_table(shard)


def saved_model(path: str, contents: version_folder.Contents) -> None:
    """Wants saved_model.pb or .pbtxt, whole, and the variables if it has any.

    It has variables if one of its Savers has an op to restore them, or if one
    of their files is there. A SavedModel without a Saver, the one of a graph
    without variables, is whole without them.

    Left to the loader: assets, the content of data files, and whether a .pbtxt
    file is whole.
    """
    if "saved_model.pb" in contents:
        has_variables = _has_restore_op(os.path.join(path, "saved_model.pb"))
    elif "saved_model.pbtxt" in contents:
        has_variables = _has_restore_op_in_text(
            os.path.join(path, "saved_model.pbtxt")
        )
    else:
        raise _incomplete("no saved_model.pb", path)
    # An empty folder for them is there even if there are none.
    if has_variables or any(name.startswith("variables/") for name in contents):
        if "variables/variables.index" not in contents:
            raise _incomplete("no variables/variables.index", path)
        _require_table(os.path.join(path, "variables", "variables.index"))
        _shards(path, "variables/variables.data-", contents)


def tensorflow_model(path: str, contents: version_folder.Contents) -> None:
    """Wants what session_bundle() or saved_model() want.

    A folder that holds the main file of both must be whole as both.
    """
    is_bundle = "export.meta" in contents
    is_saved_model = bool({"saved_model.pb", "saved_model.pbtxt"} & {*contents})
    if not is_bundle and not is_saved_model:
        raise _incomplete("neither export.meta nor saved_model.pb", path)
    if is_bundle:
        session_bundle(path, contents)
    if is_saved_model:
        saved_model(path, contents)


def _incomplete(what: str, path: str) -> errors.UnavailableError:
    return errors.UnavailableError(
        f"version must be complete; got {what}: {path}"
    )


@contextlib.contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """Opens a file; what goes wrong while it is read is an UnavailableError."""
    try:
        with open(path, "rb") as file:
            yield file
    except OSError as error:
        raise errors.UnavailableError(
            f"files of a version must be readable; got {error}"
        ) from None


def _require_table(path: str) -> None:
    """Wants a table of LevelDB with its last bytes."""
    with _open(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_TABLE_MAGIC)))
        if file.read() != _TABLE_MAGIC:
            raise _incomplete(
                f"{size} bytes that do not end like a checkpoint", path
            )


def _shards(
    path: str, prefix: str, contents: version_folder.Contents
) -> list[str]:
    """Returns the paths <prefix>00000-of-0000n and so on; wants all of them."""
    pattern = re.compile(re.escape(prefix) + r"\d{5}-of-(\d{5})")
    counts = {
        int(match[1])
        for name in contents
        if (match := pattern.fullmatch(name)) is not None
    }
    if not counts:
        raise _incomplete(f"no {prefix}?????-of-?????", path)
    if len(counts) > 1:
        raise _incomplete(
            f"files {prefix}?????-of-n with n of {sorted(counts)}", path
        )
    (count,) = counts
    names = [f"{prefix}{shard:05d}-of-{count:05d}" for shard in range(count)]
    for name in names:
        if name not in contents:
            raise _incomplete(f"no {name}", path)
    return [os.path.join(path, *name.split("/")) for name in names]


def _has_restore_op(path: str) -> bool:
    """Whether a graph of a SavedModel has variables to restore."""
    with _open(path) as file:
        graphs = _submessages(file.read(), _SAVED_MODEL_META_GRAPHS, path)
    if not graphs:
        raise _incomplete("a SavedModel without a graph", path)
    return any(
        restore_op_name
        for graph in graphs
        for saver_def in _submessages(graph, _META_GRAPH_DEF_SAVER_DEF, path)
        for restore_op_name in _submessages(
            saver_def, _SAVER_DEF_RESTORE_OP_NAME, path
        )
    )


def _has_restore_op_in_text(path: str) -> bool:
    with _open(path) as file:
        return _RESTORE_OP_NAME_IN_TEXT.search(file.read()) is not None


def _submessages(data: bytes, number: int, path: str) -> list[bytes]:
    """Returns the fields of a message with a number, as bytes."""
    return [
        field.data
        for field in _fields(data, path)
        if field.field_number == number and isinstance(field.data, bytes)
    ]


def _fields(data: bytes, path: str) -> list[Any]:
    """Returns the fields of a message whose class needs TensorFlow.

    Raises:
      UnavailableError: The file is truncated, or is no message.
    """
    try:
        # Knows no field, and keeps them all.
        message = empty_pb2.Empty.FromString(data)
    except protobuf_message.DecodeError:
        raise _incomplete("a truncated or corrupt file", path) from None
    fields = unknown_fields.UnknownFieldSet(message)
    return [fields[index] for index in range(len(fields))]
