"""Tests for graph."""

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import data_type, wire_format
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    function_pb2,
    graph_pb2,
    tensor_shape_pb2,
    types_pb2,
)
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors


def _import(graph_def: graph_pb2.GraphDef) -> graph_lib.Graph:
    graph = graph_lib.Graph()
    graph.import_graph_def(
        wire_format.Message.whole(graph_def.SerializeToString())
    )
    return graph


def _add_count_up(functions: function_pb2.FunctionDefLibrary) -> None:
    """Adds a function that adds one to a variable."""
    function = functions.function.add()
    function.signature.name = "count_up"
    function.signature.input_arg.add(
        name="variable", type=types_pb2.DT_RESOURCE
    )
    function.signature.is_stateful = True
    delta = function.node_def.add(name="delta", op="Const")
    delta.attr["dtype"].type = types_pb2.DT_FLOAT
    delta.attr["value"].tensor.dtype = types_pb2.DT_FLOAT
    delta.attr["value"].tensor.tensor_shape.SetInParent()
    delta.attr["value"].tensor.float_val.append(1)
    add = function.node_def.add(
        name="add",
        op="AssignAddVariableOp",
        input=["variable", "delta:output:0"],
    )
    add.attr["dtype"].type = types_pb2.DT_FLOAT
    function.control_ret["add"] = "add"
    function.signature.control_output.append("add")


def _counter() -> graph_builder.GraphBuilder:
    """Returns a graph that reads a variable, counts it up, and calls count().

    y adds x to the variable, count adds one to it, call calls a function that
    does the same, and z waits for count.
    """
    builder = graph_builder.GraphBuilder()
    builder.placeholder("x", "float32", [])
    builder.node(
        "v",
        "VarHandleOp",
        dtype="float32",
        shape=attr_value_pb2.AttrValue(
            shape=tensor_shape_pb2.TensorShapeProto()
        ),
    )
    builder.node("value", "ReadVariableOp", ["v"], dtype="float32")
    builder.node("y", "AddV2", ["x", "value"], T="float32")
    builder.constant("one", np.array(1, np.float32))
    builder.node("count", "AssignAddVariableOp", ["v", "one"], dtype="float32")
    builder.node("z", "Identity", ["y", "^count"], T="float32")
    _add_count_up(builder.graph_def.library)
    resources = attr_value_pb2.AttrValue.ListValue(type=[types_pb2.DT_RESOURCE])
    builder.node(
        "call",
        "StatefulPartitionedCall",
        ["v"],
        Tin=attr_value_pb2.AttrValue(list=resources),
        Tout=attr_value_pb2.AttrValue(
            list=attr_value_pb2.AttrValue.ListValue()
        ),
        f=attr_value_pb2.AttrValue(
            func=attr_value_pb2.NameAttrList(name="count_up")
        ),
    )
    return builder


class GraphTest(parameterized.TestCase):
    """A graph, and questions about it."""

    def _graph(self) -> graph_lib.Graph:
        graph = _import(_counter().graph_def)
        self.addCleanup(graph.close)
        return graph

    @parameterized.parameters(
        (None, None), ([], ()), ([None, 3], (None, 3)), ([0], (0,))
    )
    def test_shape_of_a_tensor_is_known(
        self,
        shape: list[int | None] | None,
        expected: tuple[int | None, ...] | None,
    ) -> None:
        """None stands for what the graph leaves open."""
        builder = graph_builder.GraphBuilder()
        builder.placeholder("x", "string", shape)
        with _import(builder.graph_def) as graph:
            self.assertEqual(
                graph.tensor_info("x:0"),
                graph_lib.TensorInfo("x:0", data_type.STRING, expected),
            )

    @parameterized.parameters(
        ((None, 3), (5, 3), True),
        ((None, 3), (5, 4), False),
        ((None, 3), (3,), False),
        (None, (1, 2, 3), True),
        ((), (), True),
    )
    def test_shape_of_an_array_fits_or_not(
        self,
        known: tuple[int | None, ...] | None,
        shape: tuple[int, ...],
        expected: bool,
    ) -> None:
        """Dimensions that the graph leaves open fit any size."""
        info = graph_lib.TensorInfo("x:0", 1, known)
        self.assertEqual(info.fits(shape), expected)

    @parameterized.parameters("a:0", "x:1", "x", "x:-1", "x:", ":0", "")
    def test_unknown_tensor_is_invalid(self, name: str) -> None:
        """An operation is not a tensor, and an index may be too high."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, f"must fit the graph; got '{name}'"
        ):
            self._graph().tensor_info(name)

    def test_operation_has_a_type_and_a_device(self) -> None:
        """The device is empty if the graph does not ask for one."""
        builder = _counter()
        builder.graph_def.node[0].device = "/device:CPU:0"
        with _import(builder.graph_def) as graph:
            self.assertEqual(graph.op_type("y"), "AddV2")
            self.assertEqual(graph.device("x"), "/device:CPU:0")
            self.assertEqual(graph.device("y"), "")
            self.assertTrue(graph.has_operation("y"))
            self.assertFalse(graph.has_operation("w"))

    def test_operation_that_does_nothing_is_known(self) -> None:
        """One does that waits for others, or has another type."""
        builder = _counter()
        builder.node("nothing", "NoOp")
        builder.node("group", "NoOp", ["^count"])
        with _import(builder.graph_def) as graph:
            self.assertTrue(graph.does_nothing("nothing"))
            for name in ("group", "count", "v", "absent", "nothing:0"):
                self.assertFalse(graph.does_nothing(name), name)

    def test_operation_can_be_added(self) -> None:
        """Its name must be new."""
        graph = self._graph()
        graph.add_operation("NoOp", "nothing")
        self.assertEqual(graph.op_type("nothing"), "NoOp")
        with self.assertRaises(errors.InvalidArgumentError):
            graph.add_operation("NoOp", "x")

    def test_operation_can_be_added_after_others(self) -> None:
        """They are then part of its run."""
        graph = self._graph()
        graph.add_operation("NoOp", "after", after=["count"])
        self.assertEqual(
            graph.reached(["after"], [], {"AssignAddVariableOp"}), ["count"]
        )
        with self.assertRaises(errors.InvalidArgumentError):
            graph.add_operation("NoOp", "lost", after=["absent"])

    @parameterized.parameters(
        (["y:0"], [], {"VarHandleOp", "ReadVariableOp"}),
        (["y:0"], ["value:0"], set()),
        (["y:0"], ["y:0"], set()),
        (
            ["z:0"],
            [],
            {"VarHandleOp", "ReadVariableOp", "AssignAddVariableOp"},
        ),
        (
            ["call"],
            [],
            {"VarHandleOp", "StatefulPartitionedCall", "AssignAddVariableOp"},
        ),
    )
    def test_stateful_operations_of_a_run_are_known(
        self, fetches: list[str], feeds: list[str], expected: set[str]
    ) -> None:
        """Control edges and functions lead to some; feeds hide others."""
        self.assertEqual(self._graph().stateful_ops(fetches, feeds), expected)

    def test_graph_that_is_cut_off_is_data_loss(self) -> None:
        """The files of the version are at fault."""
        data = _counter().graph_def.SerializeToString()
        with (
            graph_lib.Graph() as graph,
            self.assertRaisesRegex(errors.DataLossError, "be a GraphDef"),
        ):
            graph.import_graph_def(wire_format.Message.whole(data[:-1]))

    def test_unknown_operation_is_an_error(self) -> None:
        """The error names its type."""
        builder = graph_builder.GraphBuilder()
        builder.node("x", "NoSuchOperation")
        with self.assertRaisesRegex(errors.ServingError, "NoSuchOperation"):
            _import(builder.graph_def)

    @parameterized.parameters(
        ("Pack", "N", 1 << 21),
        ("Merge", "N", (1 << 31) - 1),
        ("StringJoin", "N", -1),
        ("InitializeTableFromTextFileV2", "value_index", 1 << 31),
        ("InitializeTableFromTextFile", "vocab_size", 1 << 31),
    )
    def test_number_that_would_crash_is_refused(
        self, op: str, attribute: str, value: int
    ) -> None:
        """TensorFlow would allocate that many inputs, or columns."""
        builder = graph_builder.GraphBuilder()
        builder.graph_def.node.add(name="x", op=op).attr[attribute].i = value
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            f"{attribute} of {op} must be at .* at most .*; got {value}",
        ):
            _import(builder.graph_def)

    def test_loop_that_would_crash_is_refused(self) -> None:
        """TensorFlow counts on two inputs."""
        builder = graph_builder.GraphBuilder()
        builder.node("loop", "Merge", ["a", "b", "next"])
        builder.node("next", "NextIteration", ["loop"])
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "loop of a loop must have two inputs"
        ):
            _import(builder.graph_def)

    def test_large_number_may_be_a_seed(self) -> None:
        """Only what TensorFlow allocates or indexes is checked."""
        builder = graph_builder.GraphBuilder()
        builder.constant("shape", np.array([2], np.int32))
        builder.node(
            "x",
            "RandomUniform",
            ["shape"],
            T="int32",
            dtype="float32",
            seed=(1 << 62) + 1,
        )
        with _import(builder.graph_def) as graph:
            self.assertTrue(graph.has_operation("x"))

    def test_unknown_attribute_is_ignored(self) -> None:
        """A newer TensorFlow may have set it."""
        builder = _counter()
        builder.graph_def.node[0].attr["new_in_3_0"].b = True
        with _import(builder.graph_def) as graph:
            self.assertTrue(graph.has_operation("x"))

    def test_graph_is_a_part_of_a_larger_message(self) -> None:
        """The bytes around it do not matter."""
        data = _counter().graph_def.SerializeToString()
        message = wire_format.Message(
            b"before" + data + b"after", len(b"before"), len(data) + 6
        )
        with graph_lib.Graph() as graph:
            graph.import_graph_def(message)
            self.assertTrue(graph.has_operation("y"))

    def test_repr_has_the_state(self) -> None:
        """A debugger shows if a graph is open."""
        graph = self._graph()
        self.assertEqual(repr(graph), "<Graph open>")
        graph.close()
        self.assertEqual(repr(graph), "<Graph closed>")

    def test_closed_graph_has_no_operations(self) -> None:
        """A closed graph is a FAILED_PRECONDITION; a second close is fine."""
        graph = self._graph()
        graph.close()
        graph.close()
        with self.assertRaises(errors.FailedPreconditionError):
            graph.has_operation("x")


if __name__ == "__main__":
    absltest.main()
