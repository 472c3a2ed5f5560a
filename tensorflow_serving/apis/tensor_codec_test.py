"""Tests for tensor_codec, with Python's TensorFlow as the reference."""

import dataclasses
import itertools
import random
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl.testing import absltest, parameterized
from google.protobuf import message

from tensorflow_serving.apis import tensor_codec, varints
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import (
    tensor_pb2,
    tensor_shape_pb2,
    types_pb2,
)
from tensorflow_serving.util import errors

_STRING = data_type.STRING
_TYPES = [number for number in range(1, 34) if number not in (20, 21)]
# Python's TensorFlow does not convert these.
_BEYOND_PYTHON = {26, 27, 28}
_SHAPES: list[tuple[int, ...]] = [(), (1,), (5,), (2, 3), (2, 0), (1, 2, 2)]
_LARGEST = {29: 8, 30: 16, 31: 2, 32: 4, 33: 16}


def _array(number: int, shape: tuple[int, ...], seed: int) -> npt.NDArray[Any]:
    """Returns an array of random bits."""
    generator = np.random.default_rng(seed)
    size = int(np.prod(shape))
    if number == _STRING:
        array = np.empty([size], object)
        array[:] = [
            generator.bytes(n) for n in generator.integers(0, 200, size)
        ]
        return array.reshape(shape)
    dtype = data_type.of_values(number)
    if number in (10, 29, 30, 31, 32):
        largest = _LARGEST.get(number, 2)
        return generator.integers(0, largest, shape).astype(dtype)
    octets = generator.integers(
        0, _LARGEST.get(number, 256), size * dtype.itemsize, np.uint8
    )
    return octets.view(dtype).reshape(shape)


def _bits(array: npt.NDArray[Any]) -> Any:
    """Returns what two arrays have in common that are equal to the bit."""
    if array.dtype == object:
        return array.shape, array.tolist()
    return array.shape, np.ascontiguousarray(array).tobytes()


def _random_proto(chooser: random.Random) -> tensor_pb2.TensorProto:
    """Returns a message that is often almost right."""
    number = chooser.choice(_TYPES)
    shape = chooser.choice(_SHAPES)
    array = _array(number, shape, chooser.randrange(1000))
    tensor = tensor_codec.to_proto(
        array, number, as_content=chooser.random() < 0.5
    )
    data = bytearray(tensor.SerializeToString())
    for _ in range(chooser.randrange(3)):
        data[chooser.randrange(len(data))] = chooser.randrange(256)
    try:
        return tensor_pb2.TensorProto.FromString(bytes(data))
    except message.DecodeError:
        return tensor


class TensorCodecTest(parameterized.TestCase):
    """Arrays and messages."""

    @parameterized.parameters(*itertools.product(_TYPES, (False, True)))
    def test_array_comes_back_from_its_message(
        self, number: int, as_content: bool
    ) -> None:
        """Every type keeps each bit, in every shape, in both encodings."""
        for seed, shape in enumerate(_SHAPES * 5):
            array = _array(number, shape, seed)
            tensor = tensor_codec.to_proto(array, number, as_content=as_content)
            back = tensor_codec.to_array(tensor)
            self.assertEqual(back.dtype, data_type.of_values(number))
            self.assertEqual(_bits(back), _bits(array))

    @parameterized.parameters(
        *itertools.product(set(_TYPES) - _BEYOND_PYTHON, (False, True))
    )
    def test_tensorflow_reads_the_same_array(
        self, number: int, as_content: bool
    ) -> None:
        """A client that uses make_ndarray() gets what was written."""
        for seed, shape in enumerate(_SHAPES * 2):
            array = _array(number, shape, seed)
            tensor = tensor_codec.to_proto(array, number, as_content=as_content)
            self.assertEqual(_bits(tf.make_ndarray(tensor)), _bits(array))

    @parameterized.parameters(*sorted(set(_TYPES) - _BEYOND_PYTHON))
    def test_array_is_that_of_tensorflow(self, number: int) -> None:
        """A client that uses make_tensor_proto() is understood."""
        dtype = tf.dtypes.as_dtype(number)
        for seed, shape in enumerate(_SHAPES * 2):
            array = _array(number, shape, seed).astype(dtype.as_numpy_dtype)
            tensor = tf.make_tensor_proto(array, dtype=dtype, shape=shape)
            self.assertEqual(_bits(tensor_codec.to_array(tensor)), _bits(array))

    @parameterized.parameters(*_TYPES)
    def test_one_value_stands_for_all(self, number: int) -> None:
        """A tensor with one value is as large as its shape says."""
        value = _array(number, (1,), 0)
        tensor = tensor_codec.to_proto(value, number)
        tensor.tensor_shape.dim[0].size = 3
        array = tensor_codec.to_array(tensor)
        self.assertEqual(_bits(array), _bits(np.repeat(value, 3)))

    @parameterized.parameters(range(2000))
    def test_random_message_is_read_or_invalid(self, seed: int) -> None:
        """Whatever is read is what Python's TensorFlow reads, if it can."""
        tensor = _random_proto(random.Random(seed))
        try:
            array = tensor_codec.to_array(tensor)
        except errors.InvalidArgumentError:
            return
        try:
            expected = tf.make_ndarray(tensor)
        except (TypeError, ValueError, OverflowError):
            return
        if array.dtype == np.bool_:  # TensorFlow keeps bits that bool lacks
            expected = expected.view(np.uint8) != 0
        self.assertEqual(_bits(array), _bits(expected))

    @parameterized.named_parameters(
        ("few", [4], 3, r"1 value, or 4 for shape \[4\]; got 3"),
        ("many", [2], 3, r"1 value, or 2 for shape \[2\]; got 3"),
        ("none", [2], 0, r"1 value, or 2 for shape \[2\]; got 0"),
        ("too_many", [2, 0], 1, r"no values for shape \[2, 0\]; got 1"),
        ("negative", [-1], 1, r"dimensions must be at least 0; got \[-1\]"),
        ("huge", [2**31, 2**31], 1, "must be the shape of an array; got"),
        ("huge_and_empty", [0, 2**62], 0, "must be the shape of an array; got"),
        ("large", [2**40], 1, "must have at most 67108864 bytes; got shape"),
        ("many_dimensions", [1] * 65, 1, "at most 64 dimensions; got 65"),
    )
    def test_values_that_do_not_fill_the_shape_are_invalid(
        self, shape: list[int], num_values: int, text: str
    ) -> None:
        """Nothing is allocated for what a message only claims to hold."""
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_FLOAT, float_val=[1] * num_values
        )
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            tensor_codec.to_array(tensor)

    @parameterized.parameters(([127, 0, 5],), ([128, 0],), ([0, 16384, 1],))
    def test_texts_of_any_size_are_read_from_content(
        self, sizes: list[int]
    ) -> None:
        """All sizes come first, as varints of one byte or more."""
        texts = [b"a" * size for size in sizes]
        content = b"".join(map(varints.encode_one, sizes)) + b"".join(texts)
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, tensor_content=content
        )
        tensor.tensor_shape.dim.add(size=len(sizes))
        self.assertEqual(tensor_codec.to_array(tensor).tolist(), texts)

    def test_text_for_all_values_does_not_make_a_small_message_large(
        self,
    ) -> None:
        """A model would get a copy of it for each value."""
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, string_val=[bytes(1 << 20)]
        )
        size = tensor.tensor_shape.dim.add(size=64)
        self.assertEqual(tensor_codec.to_array(tensor).shape, (64,))
        size.size = 65
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "one text for all must have at most"
        ):
            tensor_codec.to_array(tensor)

    @parameterized.parameters(0, 20, 21, 34, 101)
    def test_type_without_values_is_invalid(self, number: int) -> None:
        """An absent, unknown or reference type cannot be an array."""
        tensor = tensor_pb2.TensorProto(dtype=number)  # type: ignore[arg-type]
        with self.assertRaises(errors.InvalidArgumentError):
            tensor_codec.to_array(tensor)

    @parameterized.parameters(
        tensor_pb2.TensorProto(dtype=types_pb2.DT_INT8, int_val=[128]),
        tensor_pb2.TensorProto(dtype=types_pb2.DT_UINT8, int_val=[-1]),
        tensor_pb2.TensorProto(dtype=types_pb2.DT_UINT4, int_val=[16]),
        tensor_pb2.TensorProto(dtype=types_pb2.DT_HALF, half_val=[1 << 16]),
        tensor_pb2.TensorProto(
            dtype=types_pb2.DT_COMPLEX64, scomplex_val=[1.0]
        ),
        tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_content=b"abc"),
        tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, tensor_content=b"\x05abc"
        ),
        tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, tensor_content=b"\x85"
        ),
        tensor_pb2.TensorProto(
            dtype=types_pb2.DT_FLOAT,
            tensor_shape=tensor_shape_pb2.TensorShapeProto(unknown_rank=True),
        ),
    )
    def test_broken_value_is_invalid(
        self, tensor: tensor_pb2.TensorProto
    ) -> None:
        """A value that does not fit its type is never cut to fit."""
        with self.assertRaises(errors.InvalidArgumentError):
            tensor_codec.to_array(tensor)

    def test_texts_are_read_from_content(self) -> None:
        """TensorFlow's own servers may write all sizes, then all texts."""
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING, tensor_content=b"\x01\x02abc"
        )
        tensor.tensor_shape.dim.add(size=2)
        self.assertEqual(tensor_codec.to_array(tensor).tolist(), [b"a", b"bc"])

    def test_str_becomes_utf8(self) -> None:
        """A text of Python is written as TensorFlow writes it."""
        tensor = tensor_codec.to_proto(["a", "\N{GREEK SMALL LETTER ALPHA}"])
        self.assertEqual(tensor.string_val, [b"a", b"\xce\xb1"])

    @parameterized.parameters(b"a\0", [[b"a\0", b""]], "a\0")
    def test_texts_keep_their_last_bytes(self, texts: Any) -> None:
        """A NUL at the end is not taken for padding."""
        tensor = tensor_codec.to_proto(texts)
        self.assertEqual(tensor.string_val[0], b"a\0")

    @parameterized.parameters(
        (["a", 1], None, "bytes or str; got int"),
        ("\ud800", None, "must be encodable in UTF-8; got one that is not"),
        (np.zeros([2], np.float64), 1, "array must be of float32"),
        (np.array([1, None], object), None, "bytes or str; got int"),
        (np.zeros([2], "M8[s]"), None, "that TensorFlow has; got"),
    )
    def test_array_of_another_type_is_invalid(
        self, array: npt.ArrayLike, number: int | None, text: str
    ) -> None:
        """No value is converted without having been asked for."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, text):
            tensor_codec.to_proto(array, number)

    @parameterized.parameters("<i4", ">i4", "<c8", ">c8", ">f8")
    def test_layout_of_an_array_does_not_matter(self, dtype: str) -> None:
        """Strides and byte order of the array never reach the wire."""
        array = np.arange(12).reshape(3, 4).astype(dtype)[::2, ::-1]
        for as_content in (False, True):
            tensor = tensor_codec.to_proto(array, as_content=as_content)
            np.testing.assert_array_equal(tensor_codec.to_array(tensor), array)

    @parameterized.parameters(1, 3, 8, 14, 18)
    def test_other_byte_order_is_swapped(self, number: int) -> None:
        """A machine of the other byte order has the same bytes on the wire."""
        form = tensor_codec.encoding(number)
        swapped = dataclasses.replace(form, words=form.words.newbyteorder(">"))
        array = _array(number, (3,), 0)
        words = swapped.to_words(array)
        self.assertEqual(
            words.astype(form.words).tobytes(), form.to_words(array).tobytes()
        )
        back = swapped.view(words.tobytes(), (3,))
        self.assertEqual(_bits(back), _bits(array))

    def test_content_is_not_copied(self) -> None:
        """The part with the values is the memory of the array."""
        array = np.zeros([784], np.float32)
        *_, values = tensor_codec.encode(array)
        self.assertTrue(np.may_share_memory(np.asarray(values), array))


if __name__ == "__main__":
    absltest.main()
