"""Opens a session on a graph of its own, with variables and tables filled.

What the loaders of all formats have in common: they read files, and this runs
what the files hold.
"""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from tensorflow_serving.session_bundle import session_errors
from tensorflow_serving.util import errors

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
class Variables:
    """A checkpoint."""

    # What the restore op takes: a file, a pattern, or a prefix.
    filename: str
    files: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Graph:
    """What a loader found."""

    # The file that holds it, for errors.
    path: str
    # Of it: graph_def, saver_def and meta_info_def.stripped_op_list.
    meta_graph_def: tf.compat.v1.MetaGraphDef
    # None if there is nothing to restore.
    variables: Variables | None
    # The path of each asset, by the name of its tensor.
    assets: Mapping[str, str]
    # Run after restoring; None for none.
    init_op: str | None


def open_session(
    loaded: Graph, target: str, config: tf.compat.v1.ConfigProto | None
) -> tf.compat.v1.Session:
    """Returns a session that is ready to run.

    The graph is imported and its restore op is run, which works for graphs of
    any age; then the init op. Asset tensors are fed with the paths of files.

    Args:
      loaded: What to run.
      target: The TensorFlow runtime to connect to; empty for this process.
      config: Options of the session.

    Raises:
      DataLossError: Variables are corrupt, truncated, or of another graph.
        Permanent.
      FailedPreconditionError: The content does not fit together, or not this
        machine. Permanent.
      UnavailableError: The storage failed. Transient.
    """
    graph = _import_graph(loaded)
    session = _new_session(target, graph, config)
    try:
        _place(session, loaded)
        if loaded.variables is not None:
            _restore(session, loaded, loaded.variables)
        _run_init_op(session, loaded)
    except BaseException:
        session.close()
        raise
    return session


@contextlib.contextmanager
def storage_errors_converted(path: str) -> Iterator[None]:
    """Turns an OSError of whoever reads files of a folder into UNAVAILABLE.

    Only what is known to be missing is not worth another try.
    """
    try:
        yield
    except OSError as error:
        raise errors.UnavailableError(
            f"Files of a version must be readable; got {error}: {path}"
        ) from None


def find_shards(folder: str, prefix: str) -> list[str]:
    """Returns the paths <prefix>00000-of-0000n and so on; all must exist.

    Raises:
      NotFoundError: One is missing. Permanent.
      DataLossError: They are of several checkpoints. Permanent.
    """
    found = {
        name: int(match[1])
        for name in sorted(os.listdir(folder))
        if (
            match := re.fullmatch(re.escape(prefix) + r"\d{5}-of-(\d{5})", name)
        )
    }
    path = os.path.join(folder, prefix)
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


def _import_graph(loaded: Graph) -> tf.Graph:
    meta_graph_def = loaded.meta_graph_def
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.import_graph_def(
                meta_graph_def.graph_def,
                name="",
                # A newer TensorFlow may have set attributes that this one does
                # not know, to what does no harm.
                producer_op_list=meta_graph_def.meta_info_def.stripped_op_list,
            )
    except (TypeError, ValueError, tf.errors.OpError) as error:
        reason = str(error).partition("\n")[0]
        raise errors.FailedPreconditionError(
            "Graph must be one that TensorFlow "
            f"{tf.__version__} can import; got {reason}: {loaded.path}"
        ) from None
    saver_def = meta_graph_def.saver_def
    try:
        if loaded.variables is not None:
            graph.get_operation_by_name(saver_def.restore_op_name)
            graph.get_tensor_by_name(saver_def.filename_tensor_name)
        for name in loaded.assets:
            graph.get_tensor_by_name(name)
    except (KeyError, ValueError) as error:
        raise errors.FailedPreconditionError(
            "Graph must hold the restore op of its Saver, the filename tensor "
            f"of that op, and each asset tensor; got {error}: {loaded.path}"
        ) from None
    return graph


def _new_session(
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


def _place(session: tf.compat.v1.Session, loaded: Graph) -> None:
    """Runs nothing, which puts each operation on a device."""
    with session.graph.as_default():
        nothing = tf.no_op("nothing")
    try:
        session.run(nothing)
    except tf.errors.OpError as error:
        raise errors.FailedPreconditionError(
            "Graph must fit the devices of this machine; got "
            f"{session_errors.cause(error)}: {loaded.path}"
        ) from None


def _restore(
    session: tf.compat.v1.Session, loaded: Graph, variables: Variables
) -> None:
    saver_def = loaded.meta_graph_def.saver_def
    files = ", ".join(variables.files)
    try:
        session.run(
            saver_def.restore_op_name,
            {
                saver_def.filename_tensor_name: variables.filename,
                **loaded.assets,
            },
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise errors.FailedPreconditionError(
            f"Restore op must take paths of files; got {reason}: {files}"
        ) from None
    except tf.errors.OpError as error:
        # The reader guesses at another format, which is not the point.
        cause = session_errors.cause(error).partition(": perhaps your file")[0]
        if error.error_code in _CODES_OF_BROKEN_VARIABLES:
            raise errors.DataLossError(
                "Variables files must be whole and of this export; got "
                f"{cause}: {files}"
            ) from None
        code = error.error_code
        if code == errors.StatusCode.UNKNOWN:
            # What TensorFlow makes of EIO and the like.
            code = errors.StatusCode.UNAVAILABLE
        raise errors.from_code(
            code, f"Variables must be restored; got {cause}: {files}"
        ) from None


def _run_init_op(session: tf.compat.v1.Session, loaded: Graph) -> None:
    if loaded.init_op is None:
        return
    try:
        session.run(loaded.init_op, dict(loaded.assets))
    except (tf.errors.OpError, KeyError, TypeError, ValueError) as error:
        reason = (
            session_errors.cause(error)
            if isinstance(error, tf.errors.OpError)
            else str(error).partition("\n")[0]
        )
        raise errors.FailedPreconditionError(
            f"Init op {loaded.init_op} must run; got {reason}: {loaded.path}"
        ) from None
