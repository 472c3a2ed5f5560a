"""Opens a session on its own graph, with variables and tables filled.

What the loaders of all formats have in common: they read files, and this runs
what the files hold.
"""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from absl import logging

from tensorflow_serving.session_bundle import (
    graph_check,
    model_folder,
    signature_runs,
    variable_check,
)
from tensorflow_serving.tensorflow_c import (
    buffer,
    library,
    session,
    wire_format,
)
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c.protos import (
    config_pb2,
    meta_graph_pb2,
    saver_pb2,
)
from tensorflow_serving.util import errors

# The operation that does nothing.
_NOTHING = "tensorflow_serving/nothing"

# The codes of TensorFlow for checkpoints that are truncated, corrupt, of
# another model, or of other shapes.
_CODES_OF_BROKEN_VARIABLES = {
    errors.StatusCode.DATA_LOSS,
    errors.StatusCode.INTERNAL,
    errors.StatusCode.INVALID_ARGUMENT,
    errors.StatusCode.NOT_FOUND,
    errors.StatusCode.OUT_OF_RANGE,
}

# These are faults of a model, where a caller would take them for its own.
_CODES_OF_BROKEN_INIT_OPS = {
    errors.StatusCode.INVALID_ARGUMENT,
    errors.StatusCode.NOT_FOUND,
    errors.StatusCode.OUT_OF_RANGE,
}


@dataclasses.dataclass(frozen=True)
class Variables:
    """A checkpoint."""

    # Stays open until the variables are restored.
    folder: model_folder.ModelFolder
    # The argument of the restore op: a file, a pattern, or a prefix.
    filename: str
    # The names of its files.
    files: Sequence[str]

    @property
    def path(self) -> str:
        """The argument of the restore op, as a path."""
        return self.folder.plain_path(self.filename)


@dataclasses.dataclass(frozen=True)
class Graph:
    """A graph and its files, as a loader found them."""

    # The file that holds it, for errors.
    path: str
    # A GraphDef. Its bytes are given back once it is imported, also those
    # around it.
    graph_def: wire_format.Message
    # Names the operation and the tensor that restore variables, and the
    # signatures that are served.
    meta_graph_def: meta_graph_pb2.MetaGraphDef
    # None if there is no file of variables, of which this is the path.
    variables: Variables | None
    variables_path: str
    # The path of each asset, by the name of its tensor.
    assets: Mapping[str, str]
    # Run after restoring; None for none.
    init_op: str | None

    @property
    def saver_def(self) -> saver_pb2.SaverDef:
        """Names the operation and the tensor that restore variables."""
        return self.meta_graph_def.saver_def


def open_session(
    loaded: Graph, target: str, config: config_pb2.ConfigProto | None
) -> session.Session:
    """Returns a session that is ready to run.

    The graph is imported and its restore op is run, which works for graphs of
    any age; then the init op. Asset tensors are fed with the paths of files.

    Args:
      loaded: What to run.
      target: The TensorFlow runtime to connect to; empty for this process.
      config: Options of the session. An executor that does not fit the graph
        is replaced.

    Raises:
      DataLossError: The graph or its variables are corrupt, truncated, or of
        something else. Permanent.
      FailedPreconditionError: The content does not fit together, or not this
        machine. Permanent.
      UnavailableError: The storage failed. Transient.
    """
    graph = _import_graph(loaded)
    try:
        graph_check.require_no_python(graph)
        opened = _new_session(
            target,
            graph,
            graph_check.fitting_config(
                graph, config or config_pb2.ConfigProto()
            ),
        )
    except errors.FailedPreconditionError as error:
        graph.close()
        raise type(error)(f"{error}: {loaded.path}") from None
    except BaseException:
        graph.close()
        raise
    try:
        check = variable_check.VariableCheck(
            graph,
            signature_runs.signature_runs(
                loaded.meta_graph_def, loaded.path, graph
            ),
            _last_op(loaded, graph),
        )
        _log_devices(opened)
        if loaded.variables is None:
            _place(opened, loaded)
        else:
            _restore(opened, loaded, loaded.variables, check)
        _run_init_op(opened, loaded, check)
        _require_set(opened, loaded, check)
    except BaseException:
        opened.close()
        raise
    return opened


def _import_graph(loaded: Graph) -> graph_lib.Graph:
    graph = graph_lib.Graph()
    try:
        try:
            graph.import_graph_def(loaded.graph_def)
            buffer.give_back(loaded.graph_def.data)
            graph.add_operation("NoOp", _NOTHING)
        except errors.DataLossError as error:
            raise errors.DataLossError(f"{error}: {loaded.path}") from None
        except errors.ServingError as error:
            raise errors.FailedPreconditionError(
                f"Graph must be one that TensorFlow {library.load().version} "
                f"can import; got {error}: {loaded.path}"
            ) from None
        if not graph.content.num_nodes:
            raise errors.DataLossError(
                f"file must hold a graph; got one without nodes: {loaded.path}"
            )
        _require_names(graph, loaded)
    except BaseException:
        graph.close()
        raise
    return graph


def _require_names(graph: graph_lib.Graph, loaded: Graph) -> None:
    """Checks that what a load runs and feeds is in the graph."""
    try:
        if loaded.variables is not None:
            graph.operation(loaded.saver_def.restore_op_name)
            graph.output(loaded.saver_def.filename_tensor_name)
        for name in loaded.assets:
            graph.output(name)
    except errors.InvalidArgumentError as error:
        raise errors.FailedPreconditionError(
            "Graph must hold the restore op of its Saver, the filename tensor "
            f"of that op, and each asset tensor; got {error}: {loaded.path}"
        ) from None


def _new_session(
    target: str, graph: graph_lib.Graph, config: config_pb2.ConfigProto
) -> session.Session:
    try:
        return session.Session(graph, config, target)
    except errors.ServingError as error:
        raise type(error)(
            f"session target {target!r} and configuration must be usable; got "
            f"{error}"
        ) from None


def _log_devices(opened: session.Session) -> None:
    """Says once in a process what models run on."""
    logging.log_first_n(
        logging.INFO,
        "TensorFlow %s runs models on %s",
        1,
        library.load().version,
        ", ".join(device.name for device in opened.devices()),
    )


def _place(opened: session.Session, loaded: Graph) -> None:
    """Runs nothing, which puts each operation on a device."""
    try:
        opened.run([_NOTHING])
    except errors.ServingError as error:
        raise errors.FailedPreconditionError(
            f"Graph must fit the devices of this machine; got {error} (A graph "
            "that was bound to other devices can be exported anew with "
            "clear_devices=True, or loaded with allow_soft_placement in the "
            f"session_config.): {loaded.path}"
        ) from None


def _last_op(loaded: Graph, graph: graph_lib.Graph) -> str | None:
    """Returns the last operation of a load that may set variables."""
    init_op = _init_op(loaded, graph)
    if init_op is not None:
        # Else it is the name of a tensor, or of nothing.
        return init_op if graph.has_operation(init_op) else None
    return loaded.saver_def.restore_op_name if loaded.variables else None


def _init_op(loaded: Graph, graph: graph_lib.Graph) -> str | None:
    """Returns the init op if there is one that does something."""
    name = loaded.init_op
    return None if name is None or graph.does_nothing(name) else name


def _restore(
    opened: session.Session,
    loaded: Graph,
    variables: Variables,
    check: variable_check.VariableCheck,
) -> None:
    saver_def = loaded.saver_def
    files = ", ".join(
        os.path.join(variables.folder.path, name) for name in variables.files
    )
    try:
        check.run(
            opened,
            saver_def.restore_op_name,
            {
                saver_def.filename_tensor_name: os.fsencode(variables.path),
                **_encoded(loaded.assets),
            },
        )
    except errors.ServingError as error:
        # A run takes long to begin, so there is none before, only afterwards.
        _place(opened, loaded)
        # The reader guesses at another format, which is not the point.
        cause, _, _ = variables.folder.readable(str(error)).partition(
            ": perhaps your file"
        )
        if error.code in _CODES_OF_BROKEN_VARIABLES:
            raise errors.DataLossError(
                "Variables files must be whole and of this export; got "
                f"{cause}: {files}"
            ) from None
        raise errors.from_code(
            _code(error), f"Variables must be restored; got {cause}: {files}"
        ) from None


def _require_set(
    opened: session.Session,
    loaded: Graph,
    check: variable_check.VariableCheck,
) -> None:
    variables = loaded.variables
    try:
        check.require_set(opened, variables.path if variables else None)
    except errors.FailedPreconditionError as error:
        if variables is None:
            raise errors.NotFoundError(
                "Expected variables file missing: Not found: "
                f"{loaded.variables_path} ({error})"
            ) from None
        raise errors.FailedPreconditionError(
            f"{variables.folder.readable(str(error))}: {loaded.path}"
        ) from None


def _run_init_op(
    opened: session.Session,
    loaded: Graph,
    check: variable_check.VariableCheck,
) -> None:
    init_op = _init_op(loaded, opened.graph)
    if init_op is None:
        return
    try:
        check.run(opened, init_op, _encoded(loaded.assets))
    except errors.ServingError as error:
        code = _code(error)
        if code in _CODES_OF_BROKEN_INIT_OPS:
            code = errors.StatusCode.FAILED_PRECONDITION
        raise errors.from_code(
            code,
            f"Init op {init_op} must run; got {error}: {loaded.path}",
        ) from None


def _code(error: errors.ServingError) -> errors.StatusCode:
    """Returns the code of an error of a run that reads files."""
    if error.code == errors.StatusCode.UNKNOWN:
        # TensorFlow turns EIO and the like into this code.
        return errors.StatusCode.UNAVAILABLE
    return error.code


def _encoded(paths: Mapping[str, str]) -> dict[str, bytes]:
    """Returns paths as tensors of strings hold them."""
    return {name: os.fsencode(path) for name, path in paths.items()}
