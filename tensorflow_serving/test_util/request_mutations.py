"""Breaks requests, for tests of servers.

Some differ from a whole request in some bytes; others are messages as they
should be, with values, shapes and sizes that no client means; and some use what
the format of protobuf allows and clients never write.

The format: https://protobuf.dev/programming-guides/encoding/
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

from google.protobuf import descriptor, message

from tensorflow_serving.apis import varints
from tensorflow_serving.servables.tensorflow import model_mutations
from tensorflow_serving.tensorflow_c.protos import tensor_pb2

_Field = descriptor.FieldDescriptor

_NUMBERS: Final = (
    *(-(1 << 63), -(1 << 31), -2, -1, 0, 1, 2, 3, 5, 7, 16, 100, 1000),
    *((1 << 22) - 1, (1 << 31) - 1, 1 << 31, 1 << 40, 1 << 62, (1 << 63) - 1),
)
_LIMITS: Final = {
    _Field.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    _Field.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    _Field.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    _Field.CPPTYPE_UINT64: (0, (1 << 64) - 1),
    # Unknown numbers included.
    _Field.CPPTYPE_ENUM: (-1, 200),
}
_FLOATS: Final = (0.0, -0.0, 1.5, -1e38, 1e-45, float("inf"), float("nan"))
_TEXTS: Final = (
    *("", "\0", "x", "y", "small", "smal", "serving_default", "classify"),
    *("inputs", "inputs/", "signature_def", "tensorflow", "../..", "%s{}"),
    *("tensorflow/serving/regress", "\u00e9\U0001f600", "long" * 500),
)
_BYTES: Final = (b"", b"\0", b"\xff\xfe", b"abcd", bytes(4096))
# Larger messages are not copied: requests would have hundreds of megabytes.
_MAX_COPIED_BYTES: Final = 10_000
_COUNTS: Final = (1, 1, 2, 3, 300)
_RANKS: Final = (0, 1, 1, 2, 3, 64, 65, 255, 300)
_SIZES: Final = (-2, -1, 0, 1, 1, 2, 3, 4, 1000, 1 << 31, 1 << 62, -(1 << 63))
_VALUES_OF_TENSORS: Final = tuple(
    field
    for field in tensor_pb2.TensorProto.DESCRIPTOR.fields
    if field.name.endswith(("_val", "_content"))
)
# Above the limit of protobuf, which is 100.
_DEPTHS: Final = (10, 90, 110, 1000)
_EXTREME_VARINTS: Final = (
    *(b"\x80\x00", b"\xff" * 9 + b"\x01", b"\xff" * 10, b"\x80" * 11 + b"\x01"),
    b"\xff\xff\xff\xff\x07",
)


def mutate(request: message.Message, seed: int) -> bytes:
    """Returns a broken request; the same one for the same seed.

    Args:
      request: A whole one, which is changed.
      seed: At least 0.
    """
    chance = random.Random(seed)
    kind = seed % 4
    if kind == 0:
        content = request.SerializePartialToString()
        return model_mutations.mutate_bytes(content, chance)
    if kind == 1:
        return _mutate_wire(request.SerializePartialToString(), chance)
    if kind == 2:
        tensors = [
            each
            for each in _messages(request)
            if isinstance(each, tensor_pb2.TensorProto)
        ]
        if tensors:
            _mutate_tensor(chance.choice(tensors), chance)
            return request.SerializePartialToString()
    for _ in range(chance.choice((1, 1, 2, 4))):
        owner: Any = chance.choice(
            [each for each in _messages(request) if each.DESCRIPTOR.fields]
        )
        _mutate_field(owner, chance.choice(owner.DESCRIPTOR.fields), chance)
    return request.SerializePartialToString()


def keeps_fields(seed: int) -> bool:
    """Returns whether no value gets into another field, such as a name."""
    return seed % 4 > 1


def _messages(owner: message.Message) -> Iterator[message.Message]:
    """Yields a message and all messages in it."""
    yield owner
    for field, value in owner.ListFields():
        if field.message_type is None:
            continue
        if _is_map(field):
            if field.message_type.fields_by_name["value"].message_type is None:
                continue
            values: Sequence[message.Message] = [
                value[key] for key in sorted(value)
            ]
        else:
            values = value if field.is_repeated else [value]
        for each in values:
            yield from _messages(each)


def _is_map(field: descriptor.FieldDescriptor) -> bool:
    return (
        field.message_type is not None
        and field.message_type.GetOptions().map_entry
    )


def _mutate_field(
    owner: message.Message,
    field: descriptor.FieldDescriptor,
    chance: random.Random,
) -> None:
    if chance.random() < 0.2:
        owner.ClearField(field.name)
    elif _is_map(field):
        _mutate_map(getattr(owner, field.name), field, chance)
    elif field.is_repeated:
        values = getattr(owner, field.name)
        for _ in range(chance.choice(_COUNTS)):
            if field.message_type is None:
                values.append(_value(field, chance))
            elif values and values[0].ByteSize() < _MAX_COPIED_BYTES:
                values.add().CopyFrom(values[0])
            else:
                values.add()
    elif field.message_type is not None:
        getattr(owner, field.name).SetInParent()
    else:
        setattr(owner, field.name, _value(field, chance))


def _mutate_map(
    entries: Any, field: descriptor.FieldDescriptor, chance: random.Random
) -> None:
    assert field.message_type is not None
    key_field, value_field = field.message_type.fields
    key = _value(key_field, chance)
    if value_field.message_type is None:
        entries[key] = _value(value_field, chance)
        return
    if entries and chance.random() < 0.5:
        entries[key].CopyFrom(entries[chance.choice(sorted(entries))])
    else:
        entries[key].SetInParent()
    if chance.random() < 0.2:
        del entries[chance.choice(sorted(entries))]


def _value(field: descriptor.FieldDescriptor, chance: random.Random) -> Any:
    """Returns a value for a field that is no message."""
    if field.cpp_type == _Field.CPPTYPE_STRING:
        is_text = field.type == _Field.TYPE_STRING
        return chance.choice(_TEXTS if is_text else _BYTES)
    if field.cpp_type in (_Field.CPPTYPE_DOUBLE, _Field.CPPTYPE_FLOAT):
        return chance.choice(_FLOATS)
    if field.cpp_type == _Field.CPPTYPE_BOOL:
        return chance.random() < 0.5
    least, most = _LIMITS[field.cpp_type]
    if field.cpp_type == _Field.CPPTYPE_ENUM:
        return chance.randrange(least, most)
    return min(max(chance.choice(_NUMBERS), least), most)


def _mutate_tensor(
    tensor: tensor_pb2.TensorProto, chance: random.Random
) -> None:
    """Changes what must fit together: type, shape, field, number of values."""
    if chance.random() < 0.5:
        # All types, those of references, and some that there are not.
        tensor.dtype = chance.choice((*range(34), 101, 107, -1, 1000))
    if chance.random() < 0.7:
        tensor.tensor_shape.Clear()
        tensor.tensor_shape.unknown_rank = chance.random() < 0.1
        for _ in range(chance.choice(_RANKS)):
            tensor.tensor_shape.dim.add(size=chance.choice(_SIZES))
    for _ in range(chance.choice((0, 1, 1, 2))):
        field = chance.choice(_VALUES_OF_TENSORS)
        if chance.random() < 0.5:
            tensor.ClearField("float_val")
        if field.is_repeated:
            _mutate_field(tensor, field, chance)
        else:
            size = chance.choice((0, 1, 3, 4, 8, 12, 4000))
            tensor.tensor_content = chance.randbytes(size)


def _mutate_wire(content: bytes, chance: random.Random) -> bytes:
    """Adds what clients do not write, or takes a part away."""
    at = chance.randrange(len(content) + 1)
    other = chance.randrange(len(content) + 1)
    field = chance.randrange(1, 20) << 3
    match chance.randrange(8):
        case 0:  # every field twice: maps have a key twice, messages merge
            return content + content
        case 1:
            return content[:at]
        case 2:  # parts that overlap, or leave something out
            return content[:at] + content[other:]
        case 3:
            return content[:at] + chance.choice(_EXTREME_VARINTS) + content[at:]
        case 4:
            return content + bytes([field]) + chance.choice(_EXTREME_VARINTS)
        case 5:  # unknown fields of all kinds, groups among them
            number = chance.choice((1000, 536_870_911))
            return content + _unknown(number, chance.randrange(8))
        case 6:
            return content + _nested(field | 2, chance.choice(_DEPTHS))
        case _:  # no UTF-8
            return content.replace(b"small", b"sm\xff\xfel")


def _unknown(number: int, wire_type: int) -> bytes:
    """Returns a field that nobody knows, of a kind that may not exist."""
    return varints.encode_one(number << 3 | wire_type) + bytes(8)


def _nested(tag: int, depth: int) -> bytes:
    """Returns messages in messages, as deep as that."""
    nested = b""
    for _ in range(depth):
        nested = (
            varints.encode_one(tag) + varints.encode_one(len(nested)) + nested
        )
    return nested
