"""Tests for meta_graph_file."""

from absl.testing import absltest, parameterized

from tensorflow_serving.session_bundle import (
    collection,
    constants,
    meta_graph_file,
)
from tensorflow_serving.tensorflow_c import wire_format
from tensorflow_serving.tensorflow_c.protos import graph_pb2, meta_graph_pb2


def _meta_graph_def() -> meta_graph_pb2.MetaGraphDef:
    meta_graph_def = meta_graph_pb2.MetaGraphDef()
    meta_graph_def.meta_info_def.tags.append("serve")
    meta_graph_def.meta_info_def.stripped_op_list.op.add(name="NoOp")
    meta_graph_def.graph_def.node.add(name="x", op="NoOp")
    meta_graph_def.saver_def.restore_op_name = "restore"
    meta_graph_def.signature_def["predict"].method_name = "a" * 300
    meta_graph_def.collection_def["names"].node_list.value.append("x")
    meta_graph_def.asset_file_def.add(filename="words.txt")
    meta_graph_def.object_graph_def.nodes.add()
    return meta_graph_def


def _parse(data: bytes) -> meta_graph_file.MetaGraph:
    return meta_graph_file.MetaGraph.parse(wire_format.Message.whole(data))


class MetaGraphFileTest(parameterized.TestCase):
    """A serialized MetaGraphDef, taken apart."""

    def test_all_but_the_graph_is_kept(self) -> None:
        """Only parts for Python's loader are left out besides the graph."""
        meta_graph_def = _meta_graph_def()
        found = _parse(meta_graph_def.SerializeToString())
        self.assertEqual(
            bytes(found.graph.view()),
            meta_graph_def.graph_def.SerializeToString(),
        )
        meta_graph_def.ClearField("graph_def")
        meta_graph_def.ClearField("object_graph_def")
        meta_graph_def.meta_info_def.ClearField("stripped_op_list")
        self.assertEqual(found.meta_graph_def, meta_graph_def)
        self.assertEqual(found.serving_graphs, [])

    def test_serving_graphs_are_apart(self) -> None:
        """The collection has their types, and not their content."""
        meta_graph_def = _meta_graph_def()
        graphs = [graph_pb2.GraphDef(), graph_pb2.GraphDef()]
        for number, graph in enumerate(graphs):
            graph.node.add(name=f"y{number}", op="NoOp")
        values = meta_graph_def.collection_def[constants.GRAPH_KEY].any_list
        values.value.extend(map(collection.pack, graphs))
        found = _parse(meta_graph_def.SerializeToString())
        self.assertEqual(
            [bytes(graph.view()) for graph in found.serving_graphs],
            [graph.SerializeToString() for graph in graphs],
        )
        kept = found.meta_graph_def.collection_def[constants.GRAPH_KEY]
        self.assertEqual(
            [(each.type_url, each.value) for each in kept.any_list.value],
            [("type.googleapis.com/tensorflow.GraphDef", b"")] * 2,
        )

    def test_fields_that_come_twice_are_merged(self) -> None:
        """A message may be written in parts, one after the other."""
        first, second = _meta_graph_def(), meta_graph_pb2.MetaGraphDef()
        second.graph_def.node.add(name="y", op="NoOp")
        second.saver_def.filename_tensor_name = "file:0"
        found = _parse(first.SerializeToString() + second.SerializeToString())
        first.MergeFrom(second)
        self.assertEqual(
            graph_pb2.GraphDef.FromString(bytes(found.graph.view())),
            first.graph_def,
        )
        self.assertEqual(found.meta_graph_def.saver_def, first.saver_def)

    @parameterized.parameters(-1, -30)
    def test_part_of_a_file_is_malformed(self, end: int) -> None:
        """A file is malformed wherever it is cut off inside of a field."""
        data = _meta_graph_def().SerializeToString()
        with self.assertRaises(wire_format.MalformedError):
            _parse(data[:end])

    def test_content_that_is_not_a_message_is_malformed(self) -> None:
        """A field of the rest that cannot be parsed makes a file malformed."""
        with self.assertRaises(wire_format.MalformedError):
            _parse(b"\x0a\x02\x0a\x7f")


if __name__ == "__main__":
    absltest.main()
