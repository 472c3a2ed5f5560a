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

Messages are written in the same way: those of a batch differ only in numbers.
"""

import dataclasses
import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import numpy as np
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
# Messages up to here are made all at once. Larger ones are made one by one, to
# copy their numbers only once.
_MAX_MOLD_BYTES: Final = 1 << 12

# The fields of an entry of a map.
_NAME: Final = 1
_VALUE: Final = 2
# A field of a tensor, which may be there in pieces.
_SHAPE: Final = 2
_NAME_TAG: Final = b"\x0a"

_Message = TypeVar("_Message", bound=message.Message)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Form(Generic[_Message]):
    """Everything in a message but the values of its tensors.

    Messages with equal bytes around the values share the object, as long as
    their template is kept: then their tensors have the same dtypes and shapes.
    Two forms are equal only if they are the same object.
    """

    # All but the tensors. It must not be changed.
    rest: _Message
    # The names of the tensors; ascending.
    names: tuple[str, ...]


@dataclasses.dataclass(slots=True)
class Decoded(Generic[_Message]):
    """A message in two parts."""

    form: Form[_Message]
    # The tensors in the order of their names. Perhaps read-only, and perhaps
    # views of the serialized message.
    arrays: Sequence[npt.NDArray[Any]]

    @property
    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The tensors by name."""
        return dict(zip(self.form.names, self.arrays, strict=True))


@dataclasses.dataclass(frozen=True, slots=True)
class _Hole:
    """The numbers of a tensor in a message, data[start:end]."""

    start: int
    end: int
    name: str
    encoding: tensor_codec.Encoding
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Template(Generic[_Message]):
    """The bytes that all messages of a kind share."""

    # All before the first hole; what stands between and after, by its start.
    head: bytes
    others: tuple[tuple[int, bytes], ...]
    # By ascending name, as in the form.
    holes: tuple[_Hole, ...]
    form: Form[_Message]

    def fits(self, data: bytes) -> bool:
        """Returns whether a message of the same size has the same meaning."""
        return data.startswith(self.head) and (
            not self.others
            or all(data.startswith(part, at) for at, part in self.others)
        )

    def read(self, data: bytes) -> Decoded[_Message]:
        """Returns the parts of a message that fits."""
        return Decoded(
            self.form,
            [
                hole.encoding.view(data, hole.shape, hole.start)
                for hole in self.holes
            ],
        )


class TensorMap(Generic[_Message]):
    """Reads and writes messages of one class. Thread-safe.

    requests = tensor_map.TensorMap(predict_pb2.PredictRequest, "inputs")
    decoded = requests.decode(data)
    """

    def __init__(self, message_class: type[_Message], field: str) -> None:
        """Takes a class of messages, and the name of its map of tensors."""
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
            size = sum(map(len, value))
            parts += (_entry_head(self._number, name, size), *value)
        return b"".join([*parts, rest])

    def encode_rows(
        self,
        rest: bytes,
        tensors: Mapping[str, npt.NDArray[Any]],
        num_messages: int,
        *,
        as_content: bool = False,
    ) -> Sequence[bytes] | npt.NDArray[np.uint8]:
        """Returns serialized messages that share tensors between them.

        Args:
          rest: All but the tensors of each message, serialized.
          tensors: By name. Each message gets as many rows, one after the other;
            a message alone gets the tensors whatever their shapes.
          num_messages: At least 1.
          as_content: See tensor_codec.encode().

        Returns:
          The messages; if they have one size, perhaps as an array of shape
          [num_messages, bytes], which is made with a few operations for all.

        Raises:
          InvalidArgumentError: See tensor_codec.encode(). Permanent.
        """
        arrays = [*tensors.values()]
        shapes = [array.shape for array in arrays]
        if num_messages > 1:
            shapes = [
                (shape[0] // num_messages, *shape[1:]) for shape in shapes
            ]
        mold = _mold(
            self._number,
            rest,
            tuple(tensors),
            tuple([array.dtype for array in arrays]),
            tuple(shapes),
            as_content=as_content,
        )
        if mold is not None:
            if num_messages == 1:
                return [mold.fill(arrays)]
            if mold.num_bytes <= _MAX_MOLD_BYTES:
                return mold.fill_rows(arrays, num_messages)
        return [
            self.encode(rest, shares, as_content=as_content)
            for shares in _shares(tensors, num_messages)
        ]

    def _parse(self, data: bytes) -> Decoded[_Message]:
        try:
            parsed = self._class.FromString(data)
        except message.DecodeError:
            raise errors.InvalidArgumentError(
                f"message must be a {self._class.DESCRIPTOR.name}; got other "
                "bytes"
            ) from None
        tensors = {}
        for name, tensor in sorted(getattr(parsed, self._field).items()):
            try:
                tensors[name] = tensor_codec.to_array(tensor)
            except errors.InvalidArgumentError as error:
                raise errors.InvalidArgumentError(
                    f'{self._field} "{name}": {error}'
                ) from None
        parsed.ClearField(self._field)
        return Decoded(Form(parsed, tuple(tensors)), [*tensors.values()])

    def _keep_template(self, data: bytes, decoded: Decoded[_Message]) -> None:
        """Keeps the template of a message that has been parsed, if any."""
        num_bytes = sum(array.nbytes for array in decoded.arrays)
        if not num_bytes or len(data) - num_bytes > _MAX_TEMPLATE_BYTES:
            return
        holes = _holes(data, self._number, decoded.tensors)
        if not holes:
            return
        ends = [hole.end for hole in holes]
        starts = [*(hole.start for hole in holes[1:]), len(data)]
        # A copy, as the parsed one keeps the memory of the whole message.
        rest = self._class.FromString(decoded.form.rest.SerializeToString())
        template = _Template(
            head=data[: holes[0].start],
            others=tuple(
                (end, data[end:start])
                for end, start in zip(ends, starts, strict=True)
                if end < start
            ),
            holes=tuple(sorted(holes, key=lambda hole: hole.name)),
            form=Form(rest, decoded.form.names),
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
    encoding = tensor_codec.encoding(data_type.from_numpy(array.dtype))
    values = [
        value
        for value in wire_format.spans(data, value_start, value_end)
        if value[0] != _SHAPE
    ]
    if len(values) != 1 or encoding.is_text:
        return None
    field, start, end = values[0]
    is_hole = field == tensor_codec.CONTENT or (
        field == encoding.field and not encoding.is_varint
    )
    if not is_hole or end - start != array.nbytes:
        return None
    return _Hole(start, end, name, encoding, array.shape)


def _shares(
    tensors: Mapping[str, npt.NDArray[Any]], num_shares: int
) -> Iterator[Mapping[str, npt.NDArray[Any]]]:
    """Yields tensors with as many of the rows each, in order."""
    if num_shares == 1:
        yield tensors
        return
    for share in range(num_shares):
        rows = {}
        for name, array in tensors.items():
            num_rows = len(array) // num_shares
            rows[name] = array[share * num_rows : (share + 1) * num_rows]
        yield rows


@dataclasses.dataclass(frozen=True, eq=False)
class _Mold:
    """Messages to be written, but for the values of their tensors."""

    # The bytes before, between and behind the values.
    parts: tuple[bytes, ...]
    # How many bytes of values are between two parts.
    sizes: tuple[int, ...]

    @functools.cached_property
    def num_bytes(self) -> int:
        """The size of a message."""
        return sum(map(len, self.parts)) + sum(self.sizes)

    @functools.cached_property
    def _empty(self) -> npt.NDArray[np.uint8]:
        """A message whose values are 0."""
        return np.frombuffer(
            self.fill([np.zeros(size, np.uint8) for size in self.sizes]),
            np.uint8,
        )

    def fill(self, arrays: Sequence[npt.NDArray[Any]]) -> bytes:
        """Returns a message with these values."""
        pieces: list[Any] = [self.parts[0]]
        for array, part in zip(arrays, self.parts[1:], strict=True):
            pieces += (np.ascontiguousarray(array), part)
        return b"".join(pieces)

    def fill_rows(
        self, arrays: Sequence[npt.NDArray[Any]], num_messages: int
    ) -> npt.NDArray[np.uint8]:
        """Returns messages that share the values; [messages, bytes]."""
        messages = np.empty((num_messages, self.num_bytes), np.uint8)
        messages[:] = self._empty
        end = 0
        for array, part, size in zip(
            arrays, self.parts, self.sizes, strict=False
        ):
            start = end + len(part)
            end = start + size
            values = np.ascontiguousarray(array).view(np.uint8)
            messages[:, start:end] = values.reshape(num_messages, size)
        return messages


@functools.lru_cache(256)
def _mold(
    field: int,
    rest: bytes,
    names: tuple[str, ...],
    dtypes: tuple[np.dtype[Any], ...],
    shapes: tuple[tuple[int, ...], ...],
    *,
    as_content: bool,
) -> _Mold | None:
    """Returns the mold of messages.

    None if the values of a tensor are not written as they are in memory.
    """
    parts: list[bytes] = []
    sizes: list[int] = []
    for name, dtype, shape in zip(names, dtypes, shapes, strict=True):
        encoding = tensor_codec.encoding(data_type.from_numpy(dtype))
        is_memory = encoding.is_plain if as_content else encoding.is_memory
        if not is_memory or encoding.dtype != dtype:
            return None
        size = encoding.num_bytes(shape)
        own_field = tensor_codec.CONTENT if as_content else encoding.field
        head = tensor_codec.head(encoding.number, shape, own_field)
        parts.append(_entry_head(field, name, len(head) + size) + head)
        sizes.append(size)
    return _Mold((*parts, rest), tuple(sizes))


def _entry_head(field: int, name: str, size: int) -> bytes:
    """Returns what precedes a tensor of a size, as an entry of a map."""
    name_bytes = name.encode()
    head = (
        _NAME_TAG
        + varints.encode_one(len(name_bytes))
        + name_bytes
        + tensor_codec.tag(_VALUE)
        + varints.encode_one(size)
    )
    return tensor_codec.tag(field) + varints.encode_one(len(head) + size) + head
