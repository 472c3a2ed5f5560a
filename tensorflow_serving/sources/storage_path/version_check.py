"""Whether the folder of a version holds all that its format says must be there.

While a folder is copied in, file after file, it has the name of a version
already. These checks tell it from one that is whole, as far as names and a few
bytes of each file can tell; what they cannot see, the loader finds out.

The formats: session_bundle/README.md, tflite_file, and for SavedModels
https://www.tensorflow.org/guide/saved_model
"""

import contextlib
import dataclasses
import os
import re
import stat
from collections.abc import Callable, Iterator
from typing import BinaryIO

from tensorflow_serving.sources.storage_path import (
    flatbuffer,
    message_walk,
    tflite_check,
    tflite_file,
    version_folder,
)
from tensorflow_serving.util import errors, file_kind, storage_errors

# Takes the path of the folder of a version, and what is in it. Raises an
# UnavailableError that says what is missing.
_Require = Callable[[str, version_folder.Contents], None]


@dataclasses.dataclass(frozen=True)
class VersionCheck:
    """A check of one format, and which files it is about.

    Files that do not take part may come and go, grow, or be unreadable.
    """

    require_whole: _Require
    # Matches relative paths; see version_folder.scan().
    parts: re.Pattern[str] = version_folder.ANY_FILE

    def __call__(self, path: str, contents: version_folder.Contents) -> None:
        """Checks a version.

        Raises:
          UnavailableError: It is not whole; the text says what is missing.
        """
        self.require_whole(path, contents)


# The last 8 bytes of every table of LevelDB, which is what TensorFlow's V1
# checkpoints and the indices of its V2 checkpoints are.
_TABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")

# Field numbers.
_META_GRAPH_DEF_GRAPH_DEF = 2
_META_GRAPH_DEF_SAVER_DEF = 3
_SAVED_MODEL_META_GRAPHS = 2
_SAVER_DEF_RESTORE_OP_NAME = 3

_RESTORE_OP_NAME_IN_TEXT = re.compile(rb'restore_op_name\s*:\s*"[^"]')
# More than such a field takes, so that none is missed between two blocks.
_OVERLAP_BYTES = 1 << 10
_BLOCK_BYTES = 1 << 20

_ASSETS = r"assets/.*"
_BUNDLE_PARTS = (
    r"checkpoint|export\.meta|export(\.index)?|export(-|\.data-)\d{5}-of-\d{5}"
)
_SAVED_MODEL_PARTS = (
    r"saved_model\.pb(txt)?"
    r"|variables/(variables\.(index|data-\d{5}-of-\d{5}))?"
)
_TFLITE_PARTS = re.escape(tflite_file.NAME)


def _require_any_content(path: str, contents: version_folder.Contents) -> None:
    if not contents:
        raise _incomplete("an empty folder", path)


def _require_session_bundle(
    path: str, contents: version_folder.Contents
) -> None:
    # Names come first: they cost nothing.
    if "export.meta" not in contents:
        if any(
            os.path.exists(os.path.join(path, f"saved_model.{ending}"))
            for ending in ("pb", "pbtxt")
        ):
            raise _incomplete(
                "a SavedModel where an export is served, no export.meta", path
            )
        raise _absent("export.meta", path)
    if "export" in contents:
        tables = [os.path.join(path, "export")]
    elif "export.index" in contents:
        _shards(path, "export.data-", contents)
        tables = [os.path.join(path, "export.index")]
    else:
        tables = _shards(path, "export-", contents)
    for table in tables:
        _require_table(table)
    _require_meta_graph(os.path.join(path, "export.meta"))


def _require_saved_model(path: str, contents: version_folder.Contents) -> None:
    has_variables = any(name.startswith("variables/") for name in contents)
    # Names come first: they cost nothing.
    if has_variables:
        _require_variables(path, contents)
    if "saved_model.pb" in contents:
        needs_variables = _has_restore_op(os.path.join(path, "saved_model.pb"))
    elif "saved_model.pbtxt" in contents:
        needs_variables = not has_variables and _has_restore_op_in_text(
            os.path.join(path, "saved_model.pbtxt")
        )
    else:
        raise _absent("saved_model.pb", path)
    if needs_variables and not has_variables:
        _require_variables(path, contents)


def _require_tflite_model(path: str, contents: version_folder.Contents) -> None:
    if tflite_file.NAME not in contents:
        raise _absent(tflite_file.NAME, path)
    with _open(os.path.join(path, tflite_file.NAME)) as file:
        tflite_check.require_sound(tflite_file.read(file))


def _require_tensorflow_model(
    path: str, contents: version_folder.Contents
) -> None:
    is_bundle = "export.meta" in contents
    is_saved_model = bool({"saved_model.pb", "saved_model.pbtxt"} & {*contents})
    is_tflite_model = tflite_file.NAME in contents
    if not (is_bundle or is_saved_model or is_tflite_model):
        raise _incomplete(
            f"neither export.meta nor saved_model.pb nor {tflite_file.NAME}",
            path,
        )
    if is_bundle:
        _require_session_bundle(path, contents)
    if is_saved_model:
        _require_saved_model(path, contents)
    if is_tflite_model:
        _require_tflite_model(path, contents)


# Wants one file at least; for formats of which nothing else is known. Hidden
# files do not count.
any_content = VersionCheck(_require_any_content)

# Wants export.meta, whole, and the variables: V1 or V2, all shards. Assets are
# left to the loader: an export may have none. So is the content of the data
# files of V2, whose sizes are only in the index.
session_bundle = VersionCheck(
    _require_session_bundle, re.compile(f"{_BUNDLE_PARTS}|{_ASSETS}")
)

# Wants saved_model.pb or .pbtxt, whole, and the variables if it has any. It has
# variables if one of its Savers has an op to restore them, or if one of their
# files is there. A SavedModel without a Saver, the one of a graph without
# variables, is whole without them. Left to the loader: assets, the content of
# data files, and whether a .pbtxt file is whole.
saved_model = VersionCheck(
    _require_saved_model, re.compile(f"{_SAVED_MODEL_PARTS}|{_ASSETS}")
)

# Wants what session_bundle or saved_model want, or model.tflite, whole, but for
# the values of weights. A folder that holds the main files of several must be
# whole as each of them.
tensorflow_model = VersionCheck(
    _require_tensorflow_model,
    re.compile(
        f"{_BUNDLE_PARTS}|{_SAVED_MODEL_PARTS}|{_TFLITE_PARTS}|{_ASSETS}"
    ),
)


def _incomplete(what: str, path: str) -> errors.UnavailableError:
    return errors.UnavailableError(
        f"version must be complete; got {what}: {path}"
    )


def _open_without_waiting(path: str, flags: int) -> int:
    """Opens a file; of a named pipe without a writer it has no end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _absent(name: str, path: str) -> errors.UnavailableError:
    """Returns the error for a file that is not there, or is no file."""
    try:
        mode = os.stat(os.path.join(path, name)).st_mode
    except OSError:
        if os.path.lexists(os.path.join(path, name)):
            return _incomplete(f"a link that leads nowhere for {name}", path)
        return _incomplete(f"no {name}", path)
    return _incomplete(f"{file_kind.describe(mode)} for {name}", path)


@contextlib.contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """Opens a file; what goes wrong while it is read is an UnavailableError."""
    try:
        with open(
            path, "rb", buffering=512, opener=_open_without_waiting
        ) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise _incomplete(
                    f"{file_kind.describe(mode)} for a file", path
                )
            yield file
    except (message_walk.TruncatedError, flatbuffer.TruncatedError):
        raise _incomplete("a truncated or corrupt file", path) from None
    except OSError as error:
        raise storage_errors.unreadable(error) from None


def _require_table(path: str) -> None:
    """Wants a table of LevelDB with its last bytes."""
    with _open(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_TABLE_MAGIC)))
        if file.read() != _TABLE_MAGIC:
            raise _incomplete(
                "a file that does not end like a checkpoint", path
            )


def _require_meta_graph(path: str) -> None:
    """Wants a graph and a Saver.

    Fields are written in the order of their numbers, and a file that ends
    between two of them is a message as well.
    """
    with _open(path) as file:
        numbers = {
            field.number
            for field in message_walk.fields(file, message_walk.whole(file))
        }
    if not {_META_GRAPH_DEF_GRAPH_DEF, _META_GRAPH_DEF_SAVER_DEF} <= numbers:
        raise _incomplete("a file without a graph or without a Saver", path)


def _require_variables(path: str, contents: version_folder.Contents) -> None:
    """Wants the variables of a SavedModel."""
    if "variables/variables.index" not in contents:
        raise _absent("variables/variables.index", path)
    _shards(path, "variables/variables.data-", contents)
    _require_table(os.path.join(path, "variables", "variables.index"))


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
        with contextlib.suppress(OSError):
            folder = os.path.dirname(prefix)
            for name in os.listdir(os.path.join(path, folder)):
                # No regular file, or it would be in the contents.
                if pattern.fullmatch(os.path.join(folder, name)):
                    raise _absent(os.path.join(folder, name), path)
        raise _incomplete(f"no {prefix}?????-of-?????", path)
    if len(counts) > 1:
        raise _incomplete(
            f"files {prefix}?????-of-n with n of {sorted(counts)}", path
        )
    (count,) = counts
    names = [f"{prefix}{shard:05d}-of-{count:05d}" for shard in range(count)]
    for name in names:
        if name not in contents:
            raise _absent(name, path)
    return [os.path.join(path, *name.split("/")) for name in names]


def _has_restore_op(path: str) -> bool:
    """Whether a graph of a SavedModel has variables to restore."""
    with _open(path) as file:
        graphs = list(
            message_walk.select(
                file, [message_walk.whole(file)], _SAVED_MODEL_META_GRAPHS
            )
        )
        if not graphs:
            raise _incomplete("a SavedModel without a graph", path)
        saver_defs = message_walk.select(
            file, graphs, _META_GRAPH_DEF_SAVER_DEF
        )
        return any(
            len(restore_op_name)
            for restore_op_name in message_walk.select(
                file, saver_defs, _SAVER_DEF_RESTORE_OP_NAME
            )
        )


def _has_restore_op_in_text(path: str) -> bool:
    with _open(path) as file:
        tail = b""
        while block := file.read(_BLOCK_BYTES):
            if _RESTORE_OP_NAME_IN_TEXT.search(tail + block) is not None:
                return True
            tail = block[-_OVERLAP_BYTES:]
    return False
