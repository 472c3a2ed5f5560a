"""Sets variables from a checkpoint of objects, as TensorFlow 2 writes them.

Beside the values, by keys such as "layers/0/kernel/.ATTRIBUTES/VARIABLE_VALUE",
it holds the graph of the objects that they belong to, with the full name of
each variable: tensorflow/core/protobuf/trackable_object_graph.proto.
"""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from google.protobuf import message

from tensorflow_serving.tensorflow_c import data_type, session, wire_format
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c.protos import (
    config_pb2,
    graph_pb2,
    trackable_object_graph_pb2,
)
from tensorflow_serving.util import errors

_OBJECT_GRAPH_KEY: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
_VALUE: Final = "VARIABLE_VALUE"
_RESTORE: Final = "restore"
# Names of operations that are added to the graph of the variables.
_PREFIX: Final = "tensorflow_serving/set/"


def set_variables(
    opened: session.Session, names: Sequence[str], prefix: str
) -> None:
    """Sets variables of a graph from a checkpoint of objects.

    Args:
      opened: A session on the graph.
      names: The operations of the variables, which are resources.
      prefix: The path of the checkpoint without ".index".

    Raises:
      NotFoundError: The checkpoint has no objects, or not exactly one variable
        of a name. Permanent.
      DataLossError: It is broken, or has a value of another shape. Permanent.
      ServingError: What TensorFlow says of a checkpoint that it cannot read.
    """
    graph = opened.graph
    variables = [_Variable.of(graph, name) for name in names]
    keys = _keys(prefix)
    for variable in variables:
        found = keys.get(variable.full_name, [])
        if len(found) != 1:
            raise errors.NotFoundError(
                "the checkpoint must hold exactly one variable called "
                f"{variable.full_name}; got {len(found)}"
            )
    values = _restore(
        prefix,
        [keys[variable.full_name][0] for variable in variables],
        [variable.data_type for variable in variables],
    )
    feeds: dict[str, npt.NDArray[Any]] = {}
    for variable, value in zip(variables, values, strict=True):
        variable.require_shape(np.shape(value))
        placeholder = f"{_PREFIX}value/{len(feeds)}"
        graph.add_operation(
            "Placeholder", placeholder, types={"dtype": variable.data_type}
        )
        graph.add_operation(
            "AssignVariableOp",
            f"{_PREFIX}{len(feeds)}",
            [f"{variable.name}:0", f"{placeholder}:0"],
        )
        feeds[f"{placeholder}:0"] = value
    opened.run([f"{_PREFIX}{index}" for index in range(len(feeds))], feeds)


@dataclasses.dataclass(frozen=True)
class _Variable:
    """A variable of a graph."""

    # Names its operation.
    name: str
    # Names it among the objects.
    full_name: str
    data_type: int
    # None for any.
    shape: tuple[int, ...] | None

    @classmethod
    def of(cls, graph: graph_lib.Graph, name: str) -> "_Variable":
        if graph.op_type(name) != "VarHandleOp":
            raise errors.NotFoundError(f"{name} is not a variable of an object")
        shape = graph.attribute(name, "shape").shape
        sizes = tuple(dim.size for dim in shape.dim)
        return cls(
            name,
            graph.attribute(name, "shared_name").s.decode(),
            int(graph.attribute(name, "dtype").type),
            None if shape.unknown_rank or -1 in sizes else sizes,
        )

    def require_shape(self, shape: tuple[int, ...]) -> None:
        if self.shape is not None and shape != self.shape:
            raise errors.DataLossError(
                f"the value of {self.full_name} must have shape "
                f"{list(self.shape)}; got {list(shape)}"
            )


def _keys(prefix: str) -> dict[str, list[str]]:
    """Returns the keys of the values of variables, by full name."""
    (serialized,) = _restore(prefix, [_OBJECT_GRAPH_KEY], [data_type.STRING])
    objects = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        objects.ParseFromString(bytes(serialized))
    except message.DecodeError:
        raise errors.DataLossError(
            "checkpoint must hold a graph of objects; got a corrupt one"
        ) from None
    keys: dict[str, list[str]] = {}
    for node in objects.nodes:
        for attribute in node.attributes:
            if attribute.name == _VALUE:
                keys.setdefault(attribute.full_name, []).append(
                    attribute.checkpoint_key
                )
    return keys


def _restore(
    prefix: str, keys: Sequence[str], types: Sequence[int]
) -> list[npt.NDArray[Any]]:
    """Returns the values of keys, by an operation of TensorFlow."""
    graph_def = graph_pb2.GraphDef()
    inputs = ("prefix", "tensor_names", "shape_and_slices")
    for name in inputs:
        node = graph_def.node.add(name=name, op="Placeholder")
        node.attr["dtype"].type = data_type.STRING  # type: ignore[assignment]
    restore = graph_def.node.add(name=_RESTORE, op="RestoreV2", input=inputs)
    restore.attr["dtypes"].list.type.extend(types)  # type: ignore[arg-type]
    graph = graph_lib.Graph()
    try:
        graph.import_graph_def(
            wire_format.Message.whole(graph_def.SerializeToString())
        )
    except BaseException:
        graph.close()
        raise
    with session.Session(graph, config_pb2.ConfigProto()) as opened:
        values: list[npt.NDArray[Any]] = opened.run(
            [f"{_RESTORE}:{index}" for index in range(len(keys))],
            {
                "prefix:0": os.fsencode(prefix),
                "tensor_names:0": np.array(keys, object),
                "shape_and_slices:0": np.full(len(keys), "", object),
            },
        )
    return values
