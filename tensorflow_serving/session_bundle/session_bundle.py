"""Loads an export: a session with its variables, and what the export says.

Example:
    with load_session_bundle_from_path("/models/mnist/00000001") as bundle:
        bundle.session.run(["y:0"], {"x:0": [[1.0]]})
"""

import dataclasses
import glob
import os
import re
from typing import Generic, TypeVar

import tensorflow as tf
from absl import logging
from google.protobuf import message

from tensorflow_serving.session_bundle import (
    collection,
    constants,
    manifest_pb2,
    session_errors,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.util import errors

SessionT = TypeVar("SessionT", bound=session_lib.Session)

# What TensorFlow says of checkpoints that are truncated, corrupt, of another
# model, or of other shapes.
_CODES_OF_BROKEN_VARIABLES = {
    errors.StatusCode.DATA_LOSS,
    errors.StatusCode.INTERNAL,
    errors.StatusCode.INVALID_ARGUMENT,
    errors.StatusCode.NOT_FOUND,
    errors.StatusCode.OUT_OF_RANGE,
}


@dataclasses.dataclass(frozen=True)
class SessionBundle(Generic[SessionT]):
    """A loaded export; a context manager that closes itself."""

    # Its graph is its own; variables and tables are initialised. From the
    # loader a tf.compat.v1.Session, from a factory one that wraps it.
    session: SessionT
    # As exported, with the graph that is served as graph_def.
    meta_graph_def: tf.compat.v1.MetaGraphDef

    def close(self) -> None:
        """Frees the session. Idempotent."""
        self.session.close()

    def __enter__(self) -> "SessionBundle[SessionT]":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the bundle."""
        self.close()


def load_session_bundle_from_path(
    export_dir: str | os.PathLike[str],
    target: str = "",
    config: tf.compat.v1.ConfigProto | None = None,
) -> SessionBundle[tf.compat.v1.Session]:
    """Loads the export in a folder.

    The graph is imported and the restore op that the exporter's Saver left in
    it is run, which works for exports of any age; then the init op, if there is
    one, with each asset tensor fed with the path of its file.

    Args:
      export_dir: The folder of a version.
      target: The TensorFlow runtime to connect to; empty for this process.
      config: Options of the session.

    Raises:
      NotFoundError: A file is missing. Permanent.
      DataLossError: A file is corrupt, truncated, or of another export.
        Permanent.
      FailedPreconditionError: The export is unfinished, or its content does not
        fit together. Permanent.
    """
    export_dir = os.path.abspath(export_dir)
    if export_dir.endswith(constants.UNFINISHED_SUFFIX):
        raise errors.FailedPreconditionError(
            "Export must be finished, with a name without "
            f'"{constants.UNFINISHED_SUFFIX}"; got {export_dir}'
        )
    meta_graph_def = _read_meta_graph_def(export_dir)
    variables = _find_variables(export_dir)
    assets = _find_assets(export_dir, meta_graph_def)
    graph = _import_graph(export_dir, meta_graph_def, list(assets))
    session = _open_session(target, graph, config)
    try:
        _place(session, export_dir, meta_graph_def.saver_def)
        _restore(session, meta_graph_def.saver_def, variables, assets)
        _run_init_op(session, export_dir, meta_graph_def, assets)
    except BaseException:
        session.close()
        raise
    return SessionBundle(session, meta_graph_def)


@dataclasses.dataclass(frozen=True)
class _Variables:
    """The checkpoint of an export."""

    # What the restore op takes: a file, a pattern, or a prefix.
    filename: str
    files: list[str]


def _meta_path(export_dir: str) -> str:
    return os.path.join(export_dir, constants.META_GRAPH_DEF_FILENAME)


def _read_meta_graph_def(export_dir: str) -> tf.compat.v1.MetaGraphDef:
    """Returns export.meta, with the graph to serve as graph_def."""
    path = _meta_path(export_dir)
    meta_graph_def = tf.compat.v1.MetaGraphDef()
    try:
        with open(path, "rb") as file:
            meta_graph_def.ParseFromString(file.read())
    except (FileNotFoundError, NotADirectoryError):
        raise errors.NotFoundError(
            f"Expected meta graph file missing: Not found: {path}"
        ) from None
    except OSError as error:
        raise errors.FailedPreconditionError(
            f"Meta graph file must be readable; got {error}"
        ) from None
    except message.DecodeError:
        raise errors.DataLossError(
            "Meta graph file must hold a MetaGraphDef; got a corrupt or "
            f"truncated file: {path}"
        ) from None
    graphs = _unpack_all(
        path, meta_graph_def, constants.GRAPH_KEY, tf.compat.v1.GraphDef
    )
    if len(graphs) > 1:
        raise errors.FailedPreconditionError(
            "Expected exactly one serving GraphDef: the collection "
            f"{constants.GRAPH_KEY} must hold one; got {len(graphs)}: {path}"
        )
    if graphs:
        meta_graph_def.graph_def.CopyFrom(graphs[0])
    if not meta_graph_def.graph_def.node:
        raise errors.DataLossError(
            f"Meta graph file must hold a graph; got one without nodes: {path}"
        )
    return meta_graph_def


def _unpack_all(
    path: str,
    meta_graph_def: tf.compat.v1.MetaGraphDef,
    key: str,
    message_class: type[collection.MessageT],
) -> list[collection.MessageT]:
    """Returns the messages of a collection; an error names the file."""
    try:
        return collection.unpack_all(meta_graph_def, key, message_class)
    except errors.FailedPreconditionError as error:
        raise errors.FailedPreconditionError(f"{error}: {path}") from None


def _find_variables(export_dir: str) -> _Variables:
    """Returns the checkpoint: V1 unsharded, V2, or V1 sharded."""
    prefix = os.path.join(export_dir, constants.VARIABLES_FILENAME)
    if os.path.isfile(prefix):
        return _Variables(prefix, [prefix])
    index = os.path.join(export_dir, constants.VARIABLES_INDEX_FILENAME)
    if os.path.isfile(index):
        return _Variables(prefix, [index, *_shards(export_dir, "export.data-")])
    # A folder may have a name that reads as a pattern.
    pattern = os.path.join(
        glob.escape(export_dir), constants.VARIABLES_FILENAME_PATTERN
    )
    return _Variables(pattern, _shards(export_dir, "export-"))


def _shards(export_dir: str, prefix: str) -> list[str]:
    """Returns the paths <prefix>00000-of-0000n and so on; all must exist."""
    found = {
        name: int(match[1])
        for name in sorted(os.listdir(export_dir))
        if (match := re.fullmatch(prefix + r"\d{5}-of-(\d{5})", name))
    }
    path = os.path.join(export_dir, prefix)
    if not found:
        raise errors.NotFoundError(
            f"Expected variables file missing: Not found: {path}?????-of-?????"
        )
    if len(counts := set(found.values())) > 1:
        raise errors.DataLossError(
            "Variables files must be of one export; got numbers of files "
            f"{sorted(counts)}: {path}?????-of-?????"
        )
    (count,) = counts
    paths = [f"{path}{shard:05d}-of-{count:05d}" for shard in range(count)]
    for shard_path in paths:
        if os.path.basename(shard_path) not in found:
            raise errors.NotFoundError(
                f"Expected variables file missing: Not found: {shard_path}"
            )
    return paths


def _find_assets(
    export_dir: str, meta_graph_def: tf.compat.v1.MetaGraphDef
) -> dict[str, str]:
    """Returns the path of each asset, by the name of its tensor.

    Without an assets folder the files are expected elsewhere: the exporter had
    no callback that copies them. A folder without one of its files is an
    export that was copied in part.
    """
    asset_files = _unpack_all(
        _meta_path(export_dir),
        meta_graph_def,
        constants.ASSETS_KEY,
        manifest_pb2.AssetFile,
    )
    folder = os.path.join(export_dir, constants.ASSETS_DIRECTORY)
    assets = {
        asset.tensor_binding.tensor_name: os.path.join(folder, asset.filename)
        for asset in asset_files
    }
    if assets and not os.path.isdir(folder):
        logging.warning(
            "Assets should be in the export; got no folder %s for %s",
            folder,
            ", ".join(asset.filename for asset in asset_files),
        )
        return assets
    for path in assets.values():
        if not os.path.isfile(path):
            raise errors.NotFoundError(
                f"Expected asset file missing: Not found: {path}"
            )
    return assets


def _import_graph(
    export_dir: str,
    meta_graph_def: tf.compat.v1.MetaGraphDef,
    asset_tensor_names: list[str],
) -> tf.Graph:
    path = _meta_path(export_dir)
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(meta_graph_def.graph_def, name="")
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).partition("\n")[0]
        raise errors.FailedPreconditionError(
            "Graph must be one that TensorFlow "
            f"{tf.__version__} can import; got {reason}: {path}"
        ) from None
    saver_def = meta_graph_def.saver_def
    try:
        graph.get_operation_by_name(saver_def.restore_op_name)
        for name in (saver_def.filename_tensor_name, *asset_tensor_names):
            graph.get_tensor_by_name(name)
    except (KeyError, ValueError) as error:
        raise errors.FailedPreconditionError(
            "Graph must hold the restore op of its Saver, the filename tensor "
            f"of that op, and each asset tensor; got {error}: {path}"
        ) from None
    return graph


def _open_session(
    target: str, graph: tf.Graph, config: tf.compat.v1.ConfigProto | None
) -> tf.compat.v1.Session:
    try:
        return tf.compat.v1.Session(target, graph, config)
    except tf.errors.OpError as error:
        raise errors.from_code(
            error.error_code,
            f"session target {target!r} and configuration must be usable; got "
            f"{session_errors.cause(error)}",
        ) from None


def _place(
    session: tf.compat.v1.Session,
    export_dir: str,
    saver_def: tf.compat.v1.train.SaverDef,
) -> None:
    """Runs next to nothing, which puts each operation on a device."""
    try:
        session.run(saver_def.filename_tensor_name)
    except tf.errors.OpError as error:
        path = _meta_path(export_dir)
        raise errors.FailedPreconditionError(
            "Graph must fit the devices of this machine; got "
            f"{session_errors.cause(error)}: {path}"
        ) from None


def _restore(
    session: tf.compat.v1.Session,
    saver_def: tf.compat.v1.train.SaverDef,
    variables: _Variables,
    assets: dict[str, str],
) -> None:
    files = ", ".join(variables.files)
    try:
        session.run(
            saver_def.restore_op_name,
            {saver_def.filename_tensor_name: variables.filename, **assets},
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise errors.FailedPreconditionError(
            f"Restore op must take paths of files; got {reason}: {files}"
        ) from None
    except tf.errors.OpError as error:
        # The reader guesses at another format, which is not the point.
        cause = session_errors.cause(error).partition(": perhaps your file")[0]
        if error.error_code not in _CODES_OF_BROKEN_VARIABLES:
            raise errors.from_code(
                error.error_code,
                f"Variables must be restored; got {cause}: {files}",
            ) from None
        raise errors.DataLossError(
            "Variables files must be whole and of this export; got "
            f"{cause}: {files}"
        ) from None


def _run_init_op(
    session: tf.compat.v1.Session,
    export_dir: str,
    meta_graph_def: tf.compat.v1.MetaGraphDef,
    assets: dict[str, str],
) -> None:
    if constants.INIT_OP_KEY not in meta_graph_def.collection_def:
        return
    path = _meta_path(export_dir)
    init_ops = meta_graph_def.collection_def[constants.INIT_OP_KEY]
    names = init_ops.node_list.value
    if len(names) != 1:
        raise errors.FailedPreconditionError(
            "Expected exactly one serving init op: the collection "
            f"{constants.INIT_OP_KEY} must hold one; got {len(names)}: {path}"
        )
    try:
        session.run(names[0], assets)
    except (tf.errors.OpError, KeyError, ValueError) as error:
        reason = (
            session_errors.cause(error)
            if isinstance(error, tf.errors.OpError)
            else str(error).partition("\n")[0]
        )
        raise errors.FailedPreconditionError(
            f"Init op {names[0]} must run; got {reason}: {path}"
        ) from None
