"""Takes a serialized MetaGraphDef apart: its graph, and the rest.

The graph stays as it is, for TensorFlow to import. The rest is small, and
becomes a message.

Field numbers: tensorflow/core/protobuf/meta_graph.proto, google/protobuf/
any.proto.
"""

import dataclasses
from collections.abc import Sequence
from typing import Final

from google.protobuf import message

from tensorflow_serving.session_bundle import constants
from tensorflow_serving.tensorflow_c import wire_format
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2

_META_INFO_DEF: Final = 1
_GRAPH_DEF: Final = 2
_SAVER_DEF: Final = 3
_COLLECTION_DEF: Final = 4
_SIGNATURE_DEF: Final = 5
_ASSET_FILE_DEF: Final = 6
_ENTRY_KEY: Final = 1
_ENTRY_VALUE: Final = 2
_COLLECTION_DEF_ANY_LIST: Final = 5
_ANY_LIST_VALUE: Final = 1
_ANY_TYPE_URL: Final = 1
_ANY_VALUE: Final = 2

_KEPT: Final = {
    _META_INFO_DEF,
    _SAVER_DEF,
    _COLLECTION_DEF,
    _SIGNATURE_DEF,
    _ASSET_FILE_DEF,
}


@dataclasses.dataclass(frozen=True)
class MetaGraph:
    """A MetaGraphDef in parts."""

    # Without graph_def, without the objects that Python would load, and without
    # the definitions of operations. The values of the collection serving_graph
    # have their types only.
    meta_graph_def: meta_graph_pb2.MetaGraphDef
    # The bytes of graph_def.
    graph: wire_format.Message
    # The values of the collection serving_graph.
    serving_graphs: Sequence[wire_format.Message]

    @classmethod
    def parse(cls, whole: wire_format.Message) -> "MetaGraph":
        """Takes a MetaGraphDef apart.

        Raises:
          MalformedError: It is not one, or not all of one.
        """
        graphs = []
        kept = []
        serving_graphs: list[_Packed] = []
        for number, start, end in wire_format.fields(whole):
            part = whole.part(start, end)
            if number == _GRAPH_DEF:
                graphs.append(part)
            elif number == _COLLECTION_DEF and _is_serving_graph(part):
                serving_graphs += _packed_values(part)
            elif number in _KEPT:
                kept.append((number, part))
        meta_graph_def = meta_graph_pb2.MetaGraphDef()
        try:
            for number, part in kept:
                meta_graph_def.MergeFromString(_field(number, part))
        except message.DecodeError as error:
            raise wire_format.MalformedError(str(error)) from None
        meta_graph_def.meta_info_def.ClearField("stripped_op_list")
        if serving_graphs:
            collection = meta_graph_def.collection_def[constants.GRAPH_KEY]
            for packed in serving_graphs:
                collection.any_list.value.add(type_url=packed.type_url)
        return cls(
            meta_graph_def,
            _merged(graphs),
            [packed.value for packed in serving_graphs],
        )


@dataclasses.dataclass(frozen=True)
class _Packed:
    """A google.protobuf.Any."""

    type_url: str
    value: wire_format.Message


def _field(number: int, value: wire_format.Message) -> bytes:
    """Returns a message with one field."""
    size = value.end - value.start
    encoded = bytearray([number << 3 | 2])
    while size >= 0x80:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes(encoded) + value.view()


def _merged(parts: Sequence[wire_format.Message]) -> wire_format.Message:
    """Returns the message of a field that comes several times."""
    if len(parts) == 1:
        return parts[0]
    return wire_format.Message.whole(b"".join(part.view() for part in parts))


def _is_serving_graph(entry: wire_format.Message) -> bool:
    """Whether an entry of the collections is the collection of graphs."""
    return any(
        key.view() == constants.GRAPH_KEY.encode()
        for key in wire_format.parts(entry, _ENTRY_KEY)
    )


def _packed_values(entry: wire_format.Message) -> list[_Packed]:
    """Returns the values of an entry of the collections."""
    values = [entry]
    for wanted in (_ENTRY_VALUE, _COLLECTION_DEF_ANY_LIST, _ANY_LIST_VALUE):
        values = [
            part
            for value in values
            for part in wire_format.parts(value, wanted)
        ]
    return [_unpacked(value) for value in values]


def _unpacked(packed: wire_format.Message) -> _Packed:
    type_url = ""
    value = wire_format.Message.whole(b"")
    for number, start, end in wire_format.fields(packed):
        part = packed.part(start, end)
        if number == _ANY_TYPE_URL:
            type_url = bytes(part.view()).decode(errors="replace")
        elif number == _ANY_VALUE:
            value = part
    return _Packed(type_url, value)
