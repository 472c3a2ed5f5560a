"""Loads an export: a session with its variables, and what the export says.

Example:
    with load_session_bundle_from_path("/models/mnist/00000001") as bundle:
        bundle.session.run(["y:0"], {"x:0": [[1.0]]})
"""

import dataclasses
import os
from typing import Generic, TypeVar

from absl import logging

from tensorflow_serving.session_bundle import (
    collection,
    constants,
    graph_session,
    manifest_pb2,
    meta_graph_file,
    model_folder,
)
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c import session as c_session
from tensorflow_serving.tensorflow_c import wire_format
from tensorflow_serving.tensorflow_c.protos import (
    config_pb2,
    graph_pb2,
    meta_graph_pb2,
)
from tensorflow_serving.util import errors, storage_errors

SessionT_co = TypeVar("SessionT_co", bound=session_lib.Session, covariant=True)

_META_GRAPH = model_folder.MainFile(
    "meta graph", constants.META_GRAPH_DEF_FILENAME
)


@dataclasses.dataclass(frozen=True)
class SessionBundle(Generic[SessionT_co]):
    """A loaded model; a context manager that closes itself."""

    # Its graph is its own; variables and tables are initialised.
    session: SessionT_co
    # Signatures, collections, assets and meta_info_def as exported; without the
    # graph, of which the session has the only copy.
    meta_graph_def: meta_graph_pb2.MetaGraphDef
    # The folder that it was loaded from; empty if there is none.
    path: str = ""
    # The graph that the session runs, for questions about it; None if it is not
    # known.
    graph: graph_lib.Graph | None = None

    def close(self) -> None:
        """Frees the session. Idempotent."""
        self.session.close()

    def __enter__(self) -> "SessionBundle[SessionT_co]":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the bundle."""
        self.close()


def load_session_bundle_from_path(
    export_dir: str | os.PathLike[str],
    target: str = "",
    config: config_pb2.ConfigProto | None = None,
) -> SessionBundle[c_session.Session]:
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
      UnavailableError: The storage failed. Transient.
    """
    path = os.path.abspath(export_dir)
    if path.endswith(constants.UNFINISHED_SUFFIX):
        raise errors.FailedPreconditionError(
            "Export must be finished, with a name without "
            f'"{constants.UNFINISHED_SUFFIX}"; got {path}'
        )
    with (
        storage_errors.converted(path),
        _META_GRAPH.open_folder(export_dir) as folder,
    ):
        meta_graph = _read(folder)
        meta_graph_def = meta_graph.meta_graph_def
        loaded = graph_session.Graph(
            _meta_path(path),
            _served_graph(_meta_path(path), meta_graph),
            meta_graph_def,
            _find_variables(folder),
            os.path.join(path, constants.VARIABLES_FILENAME),
            _find_assets(folder, meta_graph_def),
            _init_op(path, meta_graph_def),
        )
        _require_restore_op(meta_graph_def, _meta_path(path))
        session = graph_session.open_session(loaded, target, config)
    return SessionBundle(session, meta_graph_def, path, session.graph)


def _meta_path(export_dir: str) -> str:
    return os.path.join(export_dir, constants.META_GRAPH_DEF_FILENAME)


def _read(folder: model_folder.ModelFolder) -> meta_graph_file.MetaGraph:
    """Returns export.meta."""
    try:
        return meta_graph_file.MetaGraph.parse(
            wire_format.Message.whole(_META_GRAPH.read(folder))
        )
    except wire_format.MalformedError:
        raise errors.DataLossError(
            "Meta graph file must hold a MetaGraphDef; got a corrupt or "
            f"truncated file: {_meta_path(folder.path)}"
        ) from None


def _served_graph(
    path: str, meta_graph: meta_graph_file.MetaGraph
) -> wire_format.Message:
    """Returns the graph to serve."""
    graphs = _unpack_all(
        path,
        meta_graph.meta_graph_def,
        constants.GRAPH_KEY,
        graph_pb2.GraphDef,
    )
    if len(graphs) > 1:
        raise errors.FailedPreconditionError(
            "Expected exactly one serving GraphDef: the collection "
            f"{constants.GRAPH_KEY} must hold one; got {len(graphs)}: {path}"
        )
    graph = meta_graph.serving_graphs[0] if graphs else meta_graph.graph
    if graph.start == graph.end:
        raise errors.DataLossError(
            f"Meta graph file must hold a graph; got one without nodes: {path}"
        )
    return graph


def _unpack_all(
    path: str,
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
    key: str,
    message_class: type[collection.MessageT],
) -> list[collection.MessageT]:
    """Returns the messages of a collection; an error names the file."""
    try:
        return collection.unpack_all(meta_graph_def, key, message_class)
    except errors.FailedPreconditionError as error:
        raise errors.FailedPreconditionError(f"{error}: {path}") from None


def _find_variables(
    folder: model_folder.ModelFolder,
) -> graph_session.Variables:
    """Returns the checkpoint: V1 unsharded, V2, or V1 sharded."""
    name = constants.VARIABLES_FILENAME
    if folder.has(name):
        files = [name]
        folder.require_regular(name)
    elif folder.has(constants.VARIABLES_INDEX_FILENAME):
        files = [
            constants.VARIABLES_INDEX_FILENAME,
            *folder.shards(f"{name}.data-"),
        ]
        folder.require_regular(constants.VARIABLES_INDEX_FILENAME)
    else:
        files = folder.shards(f"{name}-")
        name = constants.VARIABLES_FILENAME_PATTERN
    return graph_session.Variables(folder, name, files)


def _find_assets(
    folder: model_folder.ModelFolder,
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
) -> dict[str, str]:
    """Returns the path of each asset, by the name of its tensor.

    Without an assets folder the model may do without them, as one of the
    original exporter does whose assets were never published. A folder without
    one of its files is an export that was copied in part.
    """
    meta_path = _meta_path(folder.path)
    asset_files = _unpack_all(
        meta_path,
        meta_graph_def,
        constants.ASSETS_KEY,
        manifest_pb2.AssetFile,
    )
    has_folder = folder.has(constants.ASSETS_DIRECTORY)
    if asset_files and not has_folder:
        logging.warning(
            "Assets should be in the export; got no folder %s for %s",
            os.path.join(folder.path, constants.ASSETS_DIRECTORY),
            ", ".join(asset.filename for asset in asset_files),
        )
    assets = {}
    for asset in asset_files:
        name = model_folder.asset_name(
            constants.ASSETS_DIRECTORY, asset.filename, meta_path
        )
        path = os.path.join(folder.path, name)
        if has_folder and not folder.has_regular(name):
            raise errors.NotFoundError(
                f"Expected asset file missing: Not found: {path}"
            )
        name = graph_lib.tensor_name(asset.tensor_binding.tensor_name)
        assets[name] = path
    return assets


def _require_restore_op(
    meta_graph_def: meta_graph_pb2.MetaGraphDef, path: str
) -> None:
    if not meta_graph_def.saver_def.restore_op_name:
        raise errors.FailedPreconditionError(
            "Meta graph file must name the restore op of a Saver; got none: "
            f"{path}"
        )


def _init_op(
    export_dir: str, meta_graph_def: meta_graph_pb2.MetaGraphDef
) -> str | None:
    if constants.INIT_OP_KEY not in meta_graph_def.collection_def:
        return None
    init_ops = meta_graph_def.collection_def[constants.INIT_OP_KEY]
    names = init_ops.node_list.value
    if len(names) != 1:
        raise errors.FailedPreconditionError(
            "Expected exactly one serving init op: the collection "
            f"{constants.INIT_OP_KEY} must hold one; got {len(names)}: "
            f"{_meta_path(export_dir)}"
        )
    return str(names[0])
