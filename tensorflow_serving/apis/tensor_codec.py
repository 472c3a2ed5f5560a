"""TensorProtos as arrays of numpy, and back, without TensorFlow.

A TensorProto has its values in tensor_content, as they are in memory, or in the
field of its type: numbers of a fixed width, varints, or texts. One value alone
stands for all of the shape. No number becomes a Python object: protobuf returns
arrays of them, but does not take arrays, so messages are written as bytes.

The format: tensorflow/core/framework/tensor.proto and
https://protobuf.dev/programming-guides/encoding/.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tensorflow_serving.apis import varints
from tensorflow_serving.tensorflow_c import data_type, wire_format
from tensorflow_serving.tensorflow_c.protos import tensor_pb2
from tensorflow_serving.util import errors

# The field tensor_content.
CONTENT: Final = 4

# One value that stands for all must not make more of a small message than a
# large message could hold.
MAX_REPEATED_BYTES: Final = 1 << 26

_DTYPE_TAG: Final = b"\x08"
_SHAPE_TAG: Final = b"\x12"
# Field 2 of a shape, and field 1 of that.
_DIM_TAG: Final = b"\x12"
_SIZE_TAG: Final = b"\x08"
_STRING_TAG: Final = b"\x42"

# The limit of numpy; TensorFlow allows higher ranks.
_MAX_RANK: Final = 64
_MAX_SIZE: Final = 1 << 62


@dataclasses.dataclass(frozen=True)
class Encoding:
    """How the values of a type are written."""

    # The number of a type in TensorFlow.
    number: int
    # The dtype of arrays, and of the numbers that go over the wire: unsigned,
    # little-endian, perhaps two of them for a value.
    dtype: np.dtype[Any]
    words: np.dtype[Any]
    # The number of the field of the type.
    field: int
    # Whether that field holds varints, not the words themselves.
    is_varint: bool
    # Whether the field is packed, not bytes.
    is_packed: bool
    # The name of that field, and the dtype of the numbers that protobuf has.
    field_name: str
    dtype_of_numbers: np.dtype[Any]

    @functools.cached_property
    def is_plain(self) -> bool:
        """Whether the bytes on the wire are those in memory, whatever they are.

        Numbers of ml_dtypes are not counted, as they have no buffers.
        """
        return (
            self.words.isnative
            and self.dtype.isbuiltin == 1
            and self.dtype.kind in "iufc"
        )

    @property
    def is_memory(self) -> bool:
        """Whether the field of the type holds the bytes in memory."""
        return self.is_plain and self.field in _FIXED_WIDTH_FIELDS

    @property
    def is_text(self) -> bool:
        """Whether the values are texts; then there are no words."""
        return self.number == data_type.STRING

    def num_bytes(self, shape: Sequence[int]) -> int:
        """Returns the bytes of all words for a shape."""
        return math.prod(shape) * self.dtype.itemsize

    def view(
        self, data: bytes | memoryview, shape: Sequence[int], start: int = 0
    ) -> npt.NDArray[Any]:
        """Returns the array whose words begin at data[start].

        It is a view on machines with the byte order of the wire, read-only if
        data is. The caller has checked that there are enough words.
        """
        if self.is_plain:
            return np.ndarray(shape, self.dtype, data, start)
        num_words = self.num_bytes(shape) // self.words.itemsize
        words = np.frombuffer(data, self.words, num_words, start)
        if not self.words.isnative:
            words = words.astype(self.words.newbyteorder("="))
        if self.dtype == np.bool_:  # a byte of a bool may only be 0 or 1
            return words.astype(np.bool_).reshape(shape)
        array: npt.NDArray[Any] = words.view(self.dtype)
        return array.reshape(shape)

    def to_words(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns the words of an array without dimensions; the inverse."""
        flat = np.ascontiguousarray(array).reshape(-1)
        words = flat.view(self.words.newbyteorder("="))
        return words.astype(self.words, copy=False)


_INT_VAL: Final = 7
_HALF_VAL: Final = 13
# The field of each type, by name, where it is not int_val.
_FIELDS: Final = {
    "float32": 5,
    "float64": 6,
    "string": 8,
    "complex64": 9,
    "int64": 10,
    "bool": 11,
    "complex128": 12,
    "float16": _HALF_VAL,
    "bfloat16": _HALF_VAL,
    "uint32": 16,
    "uint64": 17,
}
_FLOAT8_VAL: Final = 18
_FIXED_WIDTH_FIELDS: Final = {5, 6, 9, 12}


@functools.cache
def encoding(number: int) -> Encoding:
    """Returns how the values of a type are written.

    Raises:
      InvalidArgumentError: Arrays cannot have the type. Permanent.
    """
    if not 0 < number < 100:
        raise errors.InvalidArgumentError(
            f"dtype of a tensor must be a type that has values; got {number}"
        )
    name = data_type.name(number)
    dtype = data_type.of_values(number)
    is_small_float = name.startswith(("float8", "float4"))
    field = _FLOAT8_VAL if is_small_float else _FIELDS.get(name, _INT_VAL)
    width = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
    return Encoding(
        number=number,
        dtype=dtype,
        words=np.dtype(f"<u{width}"),
        field=field,
        is_varint=field not in _FIXED_WIDTH_FIELDS and not is_small_float,
        is_packed=not is_small_float,
        field_name=tensor_pb2.TensorProto.DESCRIPTOR.fields_by_number[
            field
        ].name,
        dtype_of_numbers=_dtype_of_numbers(field, dtype),
    )


def _dtype_of_numbers(field: int, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if field in (_INT_VAL, _HALF_VAL):
        return np.dtype(np.int32)
    if dtype.kind == "c":
        return np.dtype(f"f{dtype.itemsize // 2}")
    return dtype


def to_array(tensor: tensor_pb2.TensorProto) -> npt.NDArray[Any]:
    """Returns the value of a message.

    Returns:
      An array of the dtype that data_type.of_values() names; texts are bytes
      objects. It may be read-only.

    Raises:
      InvalidArgumentError: The values do not fill the shape, or do not fit the
        type. Permanent.
    """
    form = encoding(tensor.dtype)
    shape = _shape(tensor)
    if form.is_text:
        return _texts(tensor, shape)
    if tensor.tensor_content:
        expected = form.num_bytes(shape)
        if len(tensor.tensor_content) != expected:
            raise errors.InvalidArgumentError(
                f"tensor_content must have {expected} bytes for {form.dtype} "
                f"{list(shape)}; got {len(tensor.tensor_content)}"
            )
        return form.view(tensor.tensor_content, shape)
    values = _values(tensor, form)
    num_values = math.prod(shape)
    if len(values) == num_values:
        return values.reshape(shape)
    _require_repeated(len(values), form, shape)
    return np.full(shape, values[0], form.dtype)


def to_proto(
    array: npt.ArrayLike, number: int | None = None, *, as_content: bool = False
) -> tensor_pb2.TensorProto:
    """Returns the message of a value; see encode()."""
    return tensor_pb2.TensorProto.FromString(
        b"".join(encode(array, number, as_content=as_content))
    )


def encode(
    array: npt.ArrayLike, number: int | None = None, *, as_content: bool = False
) -> list[bytes | memoryview]:
    """Returns a serialized TensorProto in parts, to be joined.

    The large part is the memory of the array, where the wire has the same form.

    Args:
      array: Has a dtype of TensorFlow; texts are bytes or str, which
        becomes UTF-8.
      number: The type's number; by default that of the array's dtype.
      as_content: Whether values go to tensor_content. Texts never do.

    Raises:
      InvalidArgumentError: The array does not have that type, or cannot be a
        tensor. Permanent.
    """
    values = np.asarray(array)
    if values.dtype.kind in "SU" and values is not array:
        # numpy would take NUL at the end of a text for padding.
        values = np.asarray(array, object)
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if number is None:
        number = data_type.from_numpy(values.dtype)
    form = encoding(number)
    if form.is_text:
        return [_head(number, values.shape), *_encode_texts(values)]
    if values.dtype != form.dtype:
        if values.dtype != data_type.to_numpy(number):
            raise errors.InvalidArgumentError(
                f"array must be of {form.dtype} for a tensor of "
                f"{data_type.name(number)}; got {values.dtype}"
            )
        values = values.view(form.dtype)
    if as_content or not form.is_varint:
        field = CONTENT if as_content else form.field
        return [
            head(number, values.shape, field),
            form.to_words(values).view(np.uint8).data,
        ]
    if not values.size:
        return [_head(number, values.shape)]
    data = varints.encode(_numbers(values, form))
    return [
        _head(number, values.shape),
        tag(form.field) + varints.encode_one(len(data)),
        data,
    ]


@functools.cache
def tag(field: int) -> bytes:
    """Returns what precedes the size of a field whose value is bytes."""
    return varints.encode_one(field << 3 | 2)


@functools.lru_cache(1024)
def _head(number: int, shape: tuple[int, ...]) -> bytes:
    """Returns the fields dtype and tensor_shape."""
    dims = b""
    for size in shape:
        dim = _SIZE_TAG + varints.encode_one(size) if size else b""
        dims += _DIM_TAG + varints.encode_one(len(dim)) + dim
    return b"".join(
        (
            _DTYPE_TAG + varints.encode_one(number),
            _SHAPE_TAG + varints.encode_one(len(dims)),
            dims,
        )
    )


@functools.lru_cache(1024)
def head(number: int, shape: tuple[int, ...], field: int) -> bytes:
    """Returns all of a tensor before its words, which are in a field."""
    size = encoding(number).num_bytes(shape)
    start = _head(number, shape)
    return start + tag(field) + varints.encode_one(size) if size else start


def _numbers(array: npt.NDArray[Any], form: Encoding) -> npt.NDArray[Any]:
    """Returns the integers that are written for an array."""
    if form.field == _HALF_VAL:
        return form.to_words(array)
    if array.dtype.kind == "V":  # ml_dtypes' integers of a few bits
        return array.astype(np.int8)
    return array


def _encode_texts(array: npt.NDArray[Any]) -> list[bytes]:
    parts = []
    for text in array.ravel().tolist():
        data = _to_bytes(text)
        parts += [_STRING_TAG, varints.encode_one(len(data)), data]
    return parts


def _to_bytes(text: object) -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        try:
            return text.encode()
        except UnicodeEncodeError:  # a surrogate alone
            raise errors.InvalidArgumentError(
                "elements of a tensor of texts must be encodable in UTF-8; got "
                "one that is not"
            ) from None
    raise errors.InvalidArgumentError(
        "elements of a tensor of texts must be bytes or str; got "
        f"{type(text).__name__}"
    )


def _shape(tensor: tensor_pb2.TensorProto) -> tuple[int, ...]:
    """Returns the shape; raises if no array can have it."""
    message = tensor.tensor_shape
    if message.unknown_rank:
        raise errors.InvalidArgumentError(
            "tensor_shape must be known; got unknown_rank"
        )
    shape = tuple([dim.size for dim in message.dim])
    if len(shape) > _MAX_RANK:
        raise errors.InvalidArgumentError(
            f"tensor_shape must have at most {_MAX_RANK} dimensions; got "
            f"{len(shape)}"
        )
    if shape and min(shape) < 0:
        raise errors.InvalidArgumentError(
            f"dimensions must be at least 0; got {list(shape)}"
        )
    # numpy leaves out the zeros as well. No element has over 16 bytes.
    if 16 * math.prod(filter(None, shape)) > _MAX_SIZE:
        raise errors.InvalidArgumentError(
            f"tensor_shape must be the shape of an array; got {list(shape)}"
        )
    return shape


def _require_repeated(
    num_values: int, form: Encoding, shape: Sequence[int]
) -> None:
    """Raises unless one value stands for all."""
    if num_values != 1:
        raise errors.InvalidArgumentError(
            f"tensor must have 1 value, or {math.prod(shape)} for shape "
            f"{list(shape)}; got {num_values}"
        )
    if not math.prod(shape):
        raise errors.InvalidArgumentError(
            f"tensor must have no values for shape {list(shape)}; got 1"
        )
    if form.num_bytes(shape) > MAX_REPEATED_BYTES:
        raise errors.InvalidArgumentError(
            f"tensor with one value for all must have at most "
            f"{MAX_REPEATED_BYTES} bytes; got shape {list(shape)}"
        )


def _texts(
    tensor: tensor_pb2.TensorProto, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    num_values = math.prod(shape)
    if tensor.tensor_content:
        texts = _texts_of_content(tensor.tensor_content, num_values)
    else:
        texts = list(tensor.string_val)
    if len(texts) != num_values:
        _require_repeated(len(texts), encoding(data_type.STRING), shape)
        if len(texts[0]) * num_values > MAX_REPEATED_BYTES:
            raise errors.InvalidArgumentError(
                "tensor with one text for all must have at most "
                f"{MAX_REPEATED_BYTES} bytes; got {len(texts[0])} for each of "
                f"{num_values}"
            )
        texts *= num_values
    array = np.empty([num_values], object)
    array[:] = texts
    return array.reshape(shape)


def _texts_of_content(content: bytes, num_values: int) -> list[bytes]:
    """Returns texts that are written as all their sizes, then all of them."""
    sizes, start = _sizes(content, num_values)
    if len(sizes) != num_values or start + sum(sizes) != len(content):
        raise errors.InvalidArgumentError(
            f"tensor_content must hold the sizes of {num_values} texts, then "
            "the texts; got something else"
        )
    texts = []
    for size in sizes:
        texts.append(content[start : start + size])
        start += size
    return texts


def _sizes(content: bytes, num_values: int) -> tuple[list[int], int]:
    """Returns the varints at the start, and where they end; none if too few."""
    head = content[:num_values]
    if len(head) == num_values and head.isascii():
        # A varint below 128 is one byte, and most texts are short.
        return list(head), num_values
    sizes: list[int] = []
    start = 0
    try:
        while len(sizes) < num_values:
            size, start = wire_format.varint(content, start, len(content))
            sizes.append(size)
    except wire_format.MalformedError:
        return [], 0
    return sizes, start


def _values(tensor: tensor_pb2.TensorProto, form: Encoding) -> npt.NDArray[Any]:
    """Returns what is in the field of the type; flat."""
    if not form.is_packed:
        return form.view(tensor.float8_val, [len(tensor.float8_val)])
    # Protobuf makes the array in one go.
    numbers: npt.NDArray[Any] = np.asarray(
        getattr(tensor, form.field_name), form.dtype_of_numbers
    )
    if form.dtype.kind == "c":
        if len(numbers) % 2:
            raise errors.InvalidArgumentError(
                f"values of {form.dtype} must have two parts; got one"
            )
        return numbers.view(form.dtype)
    if form.dtype == numbers.dtype:
        return numbers
    if form.field == _HALF_VAL:
        words = numbers.astype(np.uint16)
        _require_fit(numbers, words, form)
        return words.view(form.dtype)
    values: npt.NDArray[Any] = numbers.astype(form.dtype)
    _require_fit(numbers, values.astype(np.int32), form)
    return values


def _require_fit(
    numbers: npt.NDArray[Any], converted: npt.NDArray[Any], form: Encoding
) -> None:
    if not np.array_equal(numbers, converted):
        raise errors.InvalidArgumentError(
            f"values must be in the range of {form.dtype}; got others"
        )
