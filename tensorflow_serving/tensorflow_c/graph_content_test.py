"""Tests for graph_content."""

from absl.testing import absltest

from tensorflow_serving.tensorflow_c import graph_content, wire_format
from tensorflow_serving.tensorflow_c.protos import graph_pb2


def _graph_def() -> graph_pb2.GraphDef:
    """Returns a graph with y = f(x); f calls g, and h is not called."""
    graph_def = graph_pb2.GraphDef()
    graph_def.node.add(name="x", op="Placeholder")
    call = graph_def.node.add(name="y", op="PartitionedCall", input=["x"])
    call.attr["f"].func.name = "f"
    for name, op in (("f", "Case"), ("g", "AssignVariableOp"), ("h", "PyFunc")):
        function = graph_def.library.function.add()
        function.signature.name = name
        node = function.node_def.add(name="inner", op=op)
        if name == "f":
            node.attr["branches"].list.func.add(name="g")
            node.attr["big"].tensor.tensor_content = b"\x52" * 1000
    return graph_def


def _content(data: bytes) -> graph_content.GraphContent:
    return graph_content.GraphContent.of(wire_format.Message.whole(data))


class GraphContentTest(absltest.TestCase):
    """Which operations a serialized graph holds."""

    def test_operations_of_functions_are_found(self) -> None:
        """The graph itself does not count them as its own."""
        content = _content(_graph_def().SerializeToString())
        self.assertEqual(content.num_nodes, 2)
        self.assertEqual(content.graph.ops, {"Placeholder", "PartitionedCall"})
        self.assertEqual(content.graph.functions, {"f"})
        self.assertEqual(content.functions["f"].functions, {"g"})
        self.assertEqual(
            content.ops - content.graph.ops,
            {"Case", "AssignVariableOp", "PyFunc"},
        )

    def test_closure_follows_calls(self) -> None:
        """Functions that nobody calls are not part of it."""
        content = _content(_graph_def().SerializeToString())
        self.assertEqual(content.closure(["f"]), {"Case", "AssignVariableOp"})

    def test_function_may_be_the_type_of_an_operation(self) -> None:
        """Functions may be types of operations, and may call in cycles."""
        graph_def = _graph_def()
        graph_def.library.function[1].node_def.add(name="again", op="f")
        content = _content(graph_def.SerializeToString())
        self.assertEqual(content.closure(["g"]), {"Case", "AssignVariableOp"})

    def test_odd_numbers_are_found(self) -> None:
        """Large and negative numbers are found in graphs and in functions."""
        graph_def = _graph_def()
        for node, value in (
            (graph_def.node[0], (1 << 21) - 1),
            (graph_def.node[1], 1 << 21),
            (graph_def.library.function[1].node_def[0], (1 << 63) - 1),
            (graph_def.library.function[2].node_def[0], -2),
        ):
            node.attr["n"].i = value
        content = _content(graph_def.SerializeToString())
        self.assertEqual(
            content.odd_numbers,
            {
                graph_content.OddNumber("PartitionedCall", "n", 1 << 21),
                graph_content.OddNumber("AssignVariableOp", "n", (1 << 63) - 1),
                graph_content.OddNumber("PyFunc", "n", -2),
            },
        )

    def test_loop_with_too_many_inputs_is_found(self) -> None:
        """A choice may have any number, and a loop has two."""
        graph_def = graph_pb2.GraphDef()
        graph_def.node.add(name="next", op="NextIteration")
        for name, inputs in (
            ("loop", ["enter", "next", "^other"]),
            ("choice", ["a", "b", "c"]),
            ("broken", ["enter", "next:0", "another"]),
        ):
            graph_def.node.add(name=name, op="Merge", input=inputs)
        content = _content(graph_def.SerializeToString())
        self.assertEqual(content.broken_loops, {"broken"})

    def test_part_of_a_graph_is_malformed(self) -> None:
        """A graph is malformed wherever it is cut off inside of a field."""
        data = _graph_def().SerializeToString()
        with self.assertRaises(wire_format.MalformedError):
            _content(data[:-1])

    def test_empty_graph_has_nothing(self) -> None:
        """It is a message like any other."""
        self.assertEqual(_content(b""), graph_content.EMPTY)


if __name__ == "__main__":
    absltest.main()
