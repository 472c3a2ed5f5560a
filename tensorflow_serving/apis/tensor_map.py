"""Predict's messages as arrays by name, without a Python object of a number.

A PredictRequest and a PredictResponse are a map of tensors and a rest. Nearly
all of a message is the numbers of its tensors, and what stands around them is
the same in message after message of a client: tags, sizes, names, types, shapes
and the rest. So it is a template with holes:

1. A message is looked up by its size. If every byte between the holes is that
   of a template, then so are the sizes of its fields, hence where the holes are
   and what they mean. The arrays are views of the holes.
2. Any other message is parsed by the generated class, which accepts all that
   protobuf allows: other orders, fields in pieces, unknown fields, repeated
   names.
3. If all tensors of such a message have as many numbers of a fixed width as
   their shape says, each in one piece, a template of it is kept.

The alternative, to scan each message field by field, costs as much for a small
tensor as the generated class.
"""

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

import numpy.typing as npt
from google.protobuf import message

from tensorflow_serving.apis import tensor_codec, varints
from tensorflow_serving.tensorflow_c import data_type, wire_format
from tensorflow_serving.util import errors

# How many sizes of messages have templates, how many templates each of them
# has, and how much may stand around the holes: 4 MiB in the worst case.
_MAX_SIZES: Final = 256
_MAX_TEMPLATES_OF_SIZE: Final = 4
_MAX_TEMPLATE_BYTES: Final = 1 << 12

# The fields of an entry of a map.
_NAME: Final = 1
_VALUE: Final = 2
# A field of a tensor, which may be there in pieces.
_SHAPE: Final = 2
_NAME_TAG: Final = b"\x0a"

_Message = TypeVar("_Message", bound=message.Message)


@dataclasses.dataclass(frozen=True, slots=True)
class Decoded(Generic[_Message]):
    """A message in two parts."""

    # All but the tensors. Messages may share it: it must not be changed.
    rest: _Message
    # Perhaps read-only, and perhaps views of the serialized message.
    tensors: dict[str, npt.NDArray[Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class _Hole:
    """The numbers of a tensor in a message, data[start:end]."""

    start: int
    end: int
    name: str
    form: tensor_codec.Encoding
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Template(Generic[_Message]):
    """The bytes that all messages of a kind share."""

    # All before the first hole; what stands between and after, by its start.
    head: bytes
    others: tuple[tuple[int, bytes], ...]
    holes: tuple[_Hole, ...]
    rest: _Message

    def fits(self, data: bytes) -> bool:
        """Returns whether a message of the same size has the same meaning."""
        if not data.startswith(self.head):
            return False
        return all(data.startswith(part, at) for at, part in self.others)

    def read(self, data: bytes) -> Decoded[_Message]:
        """Returns the parts of a message that fits."""
        return Decoded(
            self.rest,
            {
                hole.name: hole.form.view(data, hole.shape, hole.start)
                for hole in self.holes
            },
        )


class TensorMap(Generic[_Message]):
    """Reads and writes messages of one class. Thread-safe.

    requests = tensor_map.TensorMap(predict_pb2.PredictRequest, "inputs")
    decoded = requests.decode(data)
    """

    def __init__(self, message_class: type[_Message], field: str) -> None:
        """Takes the class, and the name of its map of tensors."""
        self._class: type[_Message] = message_class
        self._field = field
        self._number = message_class.DESCRIPTOR.fields_by_name[field].number
        self._lock = threading.Lock()
        # By the size of messages, the last one first. Changed under _lock, read
        # without it: each change is one operation.
        self._templates: dict[int, tuple[_Template[_Message], ...]] = {}

    def decode(self, data: bytes) -> Decoded[_Message]:
        """Returns the parts of a serialized message.

        Raises:
          InvalidArgumentError: The bytes are not such a message, or hold a
            tensor that is not one; see tensor_codec.to_array(). Permanent.
        """
        for template in self._templates.get(len(data), ()):
            if template.fits(data):
                return template.read(data)
        decoded = self._parse(data)
        self._keep_template(data, decoded)
        return decoded

    def encode(
        self,
        rest: bytes,
        tensors: Mapping[str, npt.ArrayLike],
        *,
        as_content: bool = False,
    ) -> bytes:
        """Returns a serialized message.

        Args:
          rest: All but the tensors, serialized.
          tensors: By name.
          as_content: See tensor_codec.encode().

        Raises:
          InvalidArgumentError: See tensor_codec.encode(). Permanent.
        """
        parts: list[bytes | memoryview] = []
        for name, array in tensors.items():
            value = tensor_codec.encode(array, as_content=as_content)
            name_bytes = name.encode()
            size = sum(map(len, value))
            head = (
                _NAME_TAG
                + varints.encode_one(len(name_bytes))
                + name_bytes
                + tensor_codec.tag(_VALUE)
                + varints.encode_one(size)
            )
            parts += (
                tensor_codec.tag(self._number),
                varints.encode_one(len(head) + size),
                head,
                *value,
            )
        return b"".join([*parts, rest])

    def _parse(self, data: bytes) -> Decoded[_Message]:
        try:
            parsed = self._class.FromString(data)
        except message.DecodeError:
            raise errors.InvalidArgumentError(
                f"message must be a {self._class.DESCRIPTOR.name}; got other "
                "bytes"
            ) from None
        tensors = {}
        for name, tensor in getattr(parsed, self._field).items():
            try:
                tensors[name] = tensor_codec.to_array(tensor)
            except errors.InvalidArgumentError as error:
                raise errors.InvalidArgumentError(
                    f'{self._field} "{name}": {error}'
                ) from None
        parsed.ClearField(self._field)
        return Decoded(parsed, tensors)

    def _keep_template(self, data: bytes, decoded: Decoded[_Message]) -> None:
        """Keeps the template of a message that has been parsed, if any."""
        num_bytes = sum(array.nbytes for array in decoded.tensors.values())
        if not num_bytes or len(data) - num_bytes > _MAX_TEMPLATE_BYTES:
            return
        holes = _holes(data, self._number, decoded.tensors)
        if not holes:
            return
        ends = [hole.end for hole in holes]
        starts = [*(hole.start for hole in holes[1:]), len(data)]
        template = _Template(
            head=data[: holes[0].start],
            others=tuple(
                (end, data[end:start])
                for end, start in zip(ends, starts, strict=True)
                if end < start
            ),
            holes=tuple(holes),
            # A copy, as the parsed one keeps the memory of the whole message.
            rest=self._class.FromString(decoded.rest.SerializeToString()),
        )
        with self._lock:
            kept = self._templates.get(len(data), ())
            if not kept and len(self._templates) >= _MAX_SIZES:
                self._templates = {}
            self._templates[len(data)] = (
                template,
                *kept[: _MAX_TEMPLATES_OF_SIZE - 1],
            )


def _holes(
    data: bytes, number: int, tensors: Mapping[str, npt.NDArray[Any]]
) -> list[_Hole] | None:
    """Returns where the numbers of all tensors are; None if not in holes."""
    holes: list[_Hole] = []
    try:
        for field, start, end in wire_format.spans(data, 0, len(data)):
            if field == number:
                hole = _hole(data, start, end, tensors)
                if hole is None:
                    return None
                holes.append(hole)
    except wire_format.MalformedError:  # a group, which is an unknown field
        return None
    # A name that is there twice has two holes, and one tensor.
    return holes if len(holes) == len(tensors) else None


def _hole(
    data: bytes, start: int, end: int, tensors: Mapping[str, npt.NDArray[Any]]
) -> _Hole | None:
    """Returns the hole in the entry of a map; None if it has not just one."""
    entry = [*wire_format.spans(data, start, end)]
    if [field for field, _, _ in entry] != [_NAME, _VALUE]:
        return None
    (_, name_start, name_end), (_, value_start, value_end) = entry
    name = data[name_start:name_end].decode()
    array = tensors.get(name)
    if array is None:  # protobuf leaves out an entry with unknown fields
        return None
    form = tensor_codec.encoding(data_type.from_numpy(array.dtype))
    values = [
        value
        for value in wire_format.spans(data, value_start, value_end)
        if value[0] != _SHAPE
    ]
    if len(values) != 1 or form.is_text:
        return None
    field, start, end = values[0]
    is_hole = field == tensor_codec.CONTENT or (
        field == form.field and not form.is_varint
    )
    if not is_hole or end - start != array.nbytes:
        return None
    return _Hole(start, end, name, form, array.shape)
