"""Loads a SavedModel, of TensorFlow 1 or 2: a session with its variables.

Example:
    with load_saved_model_from_path("/models/half_plus_two/123") as bundle:
        signature = bundle.meta_graph_def.signature_def["serving_default"]
        bundle.session.run([signature.outputs["y"].name], ...)
"""

import contextlib
import os
from collections.abc import Sequence

from google.protobuf import text_format

from tensorflow_serving.session_bundle import (
    collection,
    constants,
    graph_session,
    meta_graph_file,
    model_folder,
    session_bundle,
)
from tensorflow_serving.tensorflow_c import graph, session, wire_format
from tensorflow_serving.tensorflow_c.protos import (
    config_pb2,
    meta_graph_pb2,
    saved_model_pb2,
)
from tensorflow_serving.util import errors, storage_errors

# https://www.tensorflow.org/guide/saved_model
_SAVED_MODEL_FILENAME = "saved_model.pb"
_TEXT_FILENAME = "saved_model.pbtxt"
# The files that may hold the graphs; the first that is there does.
GRAPH_FILENAMES = (_SAVED_MODEL_FILENAME, _TEXT_FILENAME)
_MAIN_FILE = model_folder.MainFile("SavedModel", _SAVED_MODEL_FILENAME)
_VARIABLES_DIRECTORY = "variables"
_VARIABLES_FILENAME = "variables"
_VARIABLES_INDEX = "variables.index"
_ASSETS_DIRECTORY = "assets"
_ASSETS_KEY = "saved_model_assets"
# TensorFlow 2 has a signature for the init op, TensorFlow 1 a collection.
INIT_OP_SIGNATURE_KEY = "__saved_model_init_op"
_INIT_OP_KEYS = ("saved_model_main_op", "legacy_init_op")

# A field of SavedModel.
_META_GRAPHS = 2


def load_saved_model_from_path(
    path: str | os.PathLike[str],
    tags: Sequence[str] = ("serve",),
    target: str = "",
    config: config_pb2.ConfigProto | None = None,
) -> session_bundle.SessionBundle[session.Session]:
    """Loads one of the graphs of a SavedModel.

    It is loaded as TensorFlow's servers do: the restore op that the saver left
    in the graph is run, then the init op, with each asset tensor fed with the
    path of its file. tf.compat.v1.saved_model.load() would refuse models whose
    tensorflow_version is not that of a release, such as "1.4.0-custom".

    Thread-safe; the default graph is not touched.

    Args:
      path: The folder of a version.
      tags: All tags of the graph to load.
      target: The TensorFlow runtime to connect to; empty for this process.
      config: Options of the session.

    Returns:
      A bundle whose meta_graph_def has a signature_def.

    Raises:
      NotFoundError: A file is missing, or no graph has these tags. Permanent.
      DataLossError: A file is corrupt, truncated, or of another model.
        Permanent.
      FailedPreconditionError: It is an export of a session bundle, or the
        content does not fit together. Permanent.
      UnavailableError: The storage failed. Transient.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(storage_errors.converted(os.path.abspath(path)))
        folder = stack.enter_context(_MAIN_FILE.open_folder(path))
        name = _find_file(folder)
        file = os.path.join(folder.path, name)
        meta_graph = _choose(file, _read(folder, name), tags)
        meta_graph_def = meta_graph.meta_graph_def
        loaded = graph_session.Graph(
            file,
            meta_graph.graph,
            meta_graph_def,
            _find_variables(folder, meta_graph_def, stack),
            os.path.join(folder.path, _VARIABLES_DIRECTORY, _VARIABLES_INDEX),
            _find_assets(folder, meta_graph_def, file),
            _init_op(file, meta_graph_def),
        )
        opened = graph_session.open_session(loaded, target, config)
    return session_bundle.SessionBundle(
        opened, meta_graph_def, folder.path, opened.graph
    )


def _find_file(folder: model_folder.ModelFolder) -> str:
    """Returns the name of the file with the graphs."""
    for name in GRAPH_FILENAMES:
        if folder.has(name):
            return name
    if folder.has(constants.META_GRAPH_DEF_FILENAME):
        raise errors.FailedPreconditionError(
            f"SavedModel must have a {_SAVED_MODEL_FILENAME}; got a session "
            f"bundle, which is for the SessionBundleFactory: {folder.path}"
        )
    raise _MAIN_FILE.missing(folder.path)


def _read(
    folder: model_folder.ModelFolder, name: str
) -> list[meta_graph_file.MetaGraph]:
    """Returns the graphs of a SavedModel."""
    file = os.path.join(folder.path, name)
    try:
        content = folder.read(name)
        if name == _TEXT_FILENAME:
            saved_model = saved_model_pb2.SavedModel()
            text_format.Parse(content.decode(), saved_model)
            content = saved_model.SerializeToString()
        whole = wire_format.Message.whole(content)
        meta_graphs = [
            meta_graph_file.MetaGraph.parse(part)
            for part in wire_format.parts(whole, _META_GRAPHS)
        ]
    except (
        wire_format.MalformedError,
        text_format.ParseError,
        UnicodeDecodeError,
    ):
        raise errors.DataLossError(
            "SavedModel file must hold a SavedModel; got a corrupt or "
            f"truncated file: {file}"
        ) from None
    if not meta_graphs:
        raise errors.DataLossError(
            f"SavedModel file must hold a graph; got none: {file}"
        )
    return meta_graphs


def _choose(
    file: str,
    meta_graphs: Sequence[meta_graph_file.MetaGraph],
    tags: Sequence[str],
) -> meta_graph_file.MetaGraph:
    """Returns the graph with exactly these tags."""
    found = []
    for meta_graph in meta_graphs:
        there = sorted(meta_graph.meta_graph_def.meta_info_def.tags)
        if there == sorted(set(tags)):
            break
        found.append(there)
    else:
        raise errors.NotFoundError(
            f"tags must be one of {found}, those of the graphs of the "
            f"SavedModel; got {sorted(set(tags))}: {file}"
        )
    if meta_graph.graph.start == meta_graph.graph.end:
        raise errors.DataLossError(
            f"SavedModel file must hold a graph; got one without nodes: {file}"
        )
    return meta_graph


def _find_variables(
    folder: model_folder.ModelFolder,
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
    stack: contextlib.ExitStack,
) -> graph_session.Variables | None:
    """Returns the checkpoint; None if there is none, or nothing to restore.

    A graph without variables may have a restore op all the same, and no
    checkpoint. If it has variables, they are found to be unset.

    Args:
      folder: The folder of the SavedModel.
      meta_graph_def: Names the restore op.
      stack: Closes the folder of the checkpoint.
    """
    if not meta_graph_def.saver_def.restore_op_name:
        return None
    if not folder.has(_VARIABLES_DIRECTORY):
        return None
    variables = stack.enter_context(
        model_folder.ModelFolder(_VARIABLES_DIRECTORY, parent=folder)
    )
    if not variables.has_any(f"{_VARIABLES_FILENAME}."):
        return None
    if not variables.has_regular(_VARIABLES_INDEX):
        raise errors.NotFoundError(
            "Expected variables file missing: Not found: "
            f"{os.path.join(variables.path, _VARIABLES_INDEX)}"
        )
    shards = variables.shards(f"{_VARIABLES_FILENAME}.data-")
    return graph_session.Variables(
        variables, _VARIABLES_FILENAME, [_VARIABLES_INDEX, *shards]
    )


def _find_assets(
    folder: model_folder.ModelFolder,
    meta_graph_def: meta_graph_pb2.MetaGraphDef,
    file: str,
) -> dict[str, str]:
    """Returns the path of each asset, by the name of its tensor."""
    asset_files = list(meta_graph_def.asset_file_def) or collection.unpack_all(
        meta_graph_def, _ASSETS_KEY, meta_graph_pb2.AssetFileDef
    )
    assets = {}
    for asset in asset_files:
        name = model_folder.asset_name(_ASSETS_DIRECTORY, asset.filename, file)
        path = os.path.join(folder.path, name)
        if not folder.has_regular(name):
            raise errors.NotFoundError(
                f"Expected asset file missing: Not found: {path}"
            )
        assets[graph.tensor_name(asset.tensor_info.name)] = path
    return assets


def _init_op(
    file: str, meta_graph_def: meta_graph_pb2.MetaGraphDef
) -> str | None:
    signature = meta_graph_def.signature_def.get(INIT_OP_SIGNATURE_KEY)
    if signature is not None and INIT_OP_SIGNATURE_KEY in signature.outputs:
        return str(signature.outputs[INIT_OP_SIGNATURE_KEY].name)
    for key in _INIT_OP_KEYS:
        if key not in meta_graph_def.collection_def:
            continue
        names = meta_graph_def.collection_def[key].node_list.value
        if len(names) != 1:
            raise errors.FailedPreconditionError(
                "Expected exactly one init op: the collection "
                f"{key} must hold one; got {len(names)}: {file}"
            )
        return str(names[0])
    return None
