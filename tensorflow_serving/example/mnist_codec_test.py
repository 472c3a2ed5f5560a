"""Tests for mnist_codec."""

import random
import struct

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.example import mnist_codec, mnist_inference_pb2
from tensorflow_serving.util import errors

# Field 1 of MnistRequest: packed, and one value at a time.
_PACKED = b"\x0a"
_SINGLE = b"\x0d"


def _varint(value: int) -> bytes:
    data = b""
    while value > 0x7F:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


def _encode(chooser: random.Random, floats: list[float]) -> bytes:
    """Returns one of the many valid encodings of an image."""
    data = b""
    while floats:
        if chooser.random() < 0.1:
            data += b"\x12\x03abc"  # an unknown field
        count = chooser.choice([1, 3, 100, 784])
        part, floats = floats[:count], floats[count:]
        values = struct.pack(f"<{len(part)}f", *part)
        if len(part) == 1:
            data += _SINGLE + values
        else:
            data += _PACKED + _varint(len(values)) + values
    return data


class MnistCodecTest(parameterized.TestCase):
    """Images and scores on the wire."""

    @parameterized.parameters(range(50))
    def test_image_is_that_of_the_message(self, seed: int) -> None:
        """An image has the same values in every encoding, of any float."""
        chooser = random.Random(seed)
        bits = np.frombuffer(chooser.randbytes(4 * 784), "<f4")
        message = mnist_inference_pb2.MnistRequest(image_data=bits)
        for data in (
            message.SerializeToString(),
            _encode(chooser, [float(value) for value in bits]),
        ):
            parsed = mnist_inference_pb2.MnistRequest.FromString(data)
            image = mnist_codec.decode_image(data)
            self.assertEqual(image.dtype, np.float32)
            self.assertEqual(image.shape, (1, 784))
            np.testing.assert_array_equal(
                image, np.array([parsed.image_data], np.float32)
            )

    def test_canonical_image_is_not_copied(self) -> None:
        """The array of a canonical image is a view of the request."""
        data = mnist_inference_pb2.MnistRequest(
            image_data=[0.5] * 784
        ).SerializeToString()
        self.assertIs(mnist_codec.decode_image(data).base, data)

    @parameterized.parameters(range(50))
    def test_broken_request_is_an_invalid_argument(self, seed: int) -> None:
        """A broken request is refused, unless the parser finds an image."""
        chooser = random.Random(seed)
        data = bytearray(_encode(chooser, [0.5] * 784))
        for _ in range(3):
            data[chooser.randrange(10)] = chooser.randrange(256)
        data = data[: chooser.randrange(len(data) + 1)]
        try:
            image = mnist_codec.decode_image(bytes(data))
        except errors.InvalidArgumentError:
            return
        parsed = mnist_inference_pb2.MnistRequest.FromString(bytes(data))
        np.testing.assert_array_equal(image[0], parsed.image_data)

    def test_scores_are_those_of_a_message(self) -> None:
        """The bytes are those that the generated class writes."""
        scores = np.random.default_rng(0).random([3, 10], np.float32)
        self.assertEqual(
            mnist_codec.encode_scores(scores, 3).messages(),
            [
                mnist_inference_pb2.MnistResponse(value=row).SerializeToString()
                for row in scores
            ],
        )

    def test_scores_of_another_shape_are_an_internal_error(self) -> None:
        """The fault is the model's."""
        with self.assertRaisesRegex(errors.InternalError, r"\[1, 10\]; got"):
            mnist_codec.encode_scores(np.zeros([10], np.float32), 1)


if __name__ == "__main__":
    absltest.main()
