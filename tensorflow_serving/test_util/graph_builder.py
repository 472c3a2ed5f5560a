"""Small graphs for tests, made without TensorFlow.

Example:
    graph = GraphBuilder()
    graph.placeholder("x", "int32", [None])
    graph.constant("two", np.array(2, np.int32))
    graph.node("y", "Mul", ["x", "two"], T="int32")
    with graph.open_session() as session:
        session.run("y:0", {"x:0": [1, 2]})
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c import session, wire_format
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    config_pb2,
    graph_pb2,
    tensor_pb2,
    tensor_shape_pb2,
    types_pb2,
)

_ENUM_NAMES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE"}


class GraphBuilder:
    """A GraphDef that grows node by node."""

    def __init__(self) -> None:
        """Starts with an empty one."""
        self.graph_def = graph_pb2.GraphDef()
        # Any number that TensorFlow 2 has had: it decides how a graph is read.
        self.graph_def.versions.producer = 175

    def node(
        self,
        name: str,
        op: str,
        inputs: Sequence[str] = (),
        **attributes: str | int | attr_value_pb2.AttrValue,
    ) -> None:
        """Adds an operation.

        Args:
          name: The name of the node.
          op: Its type.
          inputs: Names of nodes, or of their outputs ("x:1", "^x").
          **attributes: Names of data types, such as "float32"; numbers; or what
            GraphDef has.
        """
        node = self.graph_def.node.add(name=name, op=op, input=inputs)
        for key, value in attributes.items():
            if isinstance(value, str):
                node.attr[key].type = _type(value)
            elif isinstance(value, int):
                node.attr[key].i = value
            else:
                node.attr[key].CopyFrom(value)

    def placeholder(
        self, name: str, dtype: str, shape: Sequence[int | None] | None
    ) -> None:
        """Adds a tensor that is fed."""
        self.node(
            name,
            "Placeholder",
            dtype=dtype,
            shape=attr_value_pb2.AttrValue(shape=_shape(shape)),
        )

    def constant(self, name: str, value: npt.NDArray[Any]) -> None:
        """Adds a tensor with a value, of a type that numpy has, no texts."""
        tensor = tensor_pb2.TensorProto(
            dtype=_type(value.dtype.name),
            tensor_shape=_shape(value.shape),
            tensor_content=np.ascontiguousarray(value).tobytes(),
        )
        self.node(
            name,
            "Const",
            dtype=value.dtype.name,
            value=attr_value_pb2.AttrValue(tensor=tensor),
        )

    def open_session(
        self, config: config_pb2.ConfigProto | None = None
    ) -> session.Session:
        """Returns a session on the graph, which the caller closes."""
        return open_session(self.graph_def, config)


def open_session(
    graph_def: graph_pb2.GraphDef, config: config_pb2.ConfigProto | None = None
) -> session.Session:
    """Returns a session on a graph, which the caller closes."""
    graph = graph_lib.Graph()
    graph.import_graph_def(
        wire_format.Message.whole(graph_def.SerializeToString())
    )
    return session.Session(graph, config)


def _type(name: str) -> types_pb2.DataType.ValueType:
    return types_pb2.DataType.Value(_ENUM_NAMES.get(name, f"DT_{name.upper()}"))


def _shape(
    sizes: Sequence[int | None] | None,
) -> tensor_shape_pb2.TensorShapeProto:
    if sizes is None:
        return tensor_shape_pb2.TensorShapeProto(unknown_rank=True)
    return tensor_shape_pb2.TensorShapeProto(
        dim=[
            tensor_shape_pb2.TensorShapeProto.Dim(
                size=-1 if size is None else size
            )
            for size in sizes
        ]
    )
