"""Tests for wire_format, with messages of protobuf."""

from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import wire_format
from tensorflow_serving.tensorflow_c.protos import (
    attr_value_pb2,
    graph_pb2,
)


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    message = wire_format.Message.whole(data)
    return [
        (number, bytes(message.part(start, end).view()))
        for number, start, end in wire_format.fields(message)
    ]


class WireFormatTest(parameterized.TestCase):
    """Fields of serialized messages."""

    def test_fields_are_found_in_their_order(self) -> None:
        """Texts, bytes and messages are given; long ones too."""
        node = graph_pb2.GraphDef().node.add(name="a" * 300, op="b")
        node.input.extend(["c", "d"])
        self.assertEqual(
            _parts(node.SerializeToString()),
            [(1, b"a" * 300), (2, b"b"), (3, b"c"), (3, b"d")],
        )

    def test_values_of_one_field_are_found_in_their_order(self) -> None:
        """Values of other fields are passed over."""
        node = graph_pb2.GraphDef().node.add(name="a", op="b", device="e")
        node.input.extend(["c", "d"])
        message = wire_format.Message.whole(node.SerializeToString())
        self.assertEqual(
            [bytes(each.view()) for each in wire_format.parts(message, 3)],
            [b"c", b"d"],
        )

    def test_numbers_are_skipped(self) -> None:
        """Every wire type may come before and after what is given."""
        data = b"".join(
            value.SerializeToString()
            for value in (
                attr_value_pb2.AttrValue(i=-1),
                attr_value_pb2.AttrValue(f=2.0),
                attr_value_pb2.AttrValue(s=b"x"),
            )
        )
        fixed64 = b"\x09" + bytes(8)
        self.assertEqual(_parts(data + fixed64), [(2, b"x")])

    @parameterized.named_parameters(
        ("length", b"\x0a\x05abc"),
        ("no_length", b"\x0a"),
        ("half_a_length", b"\x0a\x80"),
        ("number", b"\x08\xff"),
        ("fixed32", b"\x0d\0\0"),
        ("fixed64", b"\x09\0\0"),
        ("long_number", b"\x08" + b"\xff" * 11),
        ("group", b"\x0b"),
        ("negative_length", b"\x0a" + b"\xff" * 9 + b"\x01"),
    )
    def test_what_is_not_whole_is_malformed(self, data: bytes) -> None:
        """A file that is cut off, or not a message, is malformed."""
        with self.assertRaises(wire_format.MalformedError):
            _parts(data)


if __name__ == "__main__":
    absltest.main()
