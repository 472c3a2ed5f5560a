"""Images and scores of MnistService on the wire, without message objects.

Formats: mnist_inference.proto and
https://protobuf.dev/programming-guides/encoding/. A serializer writes packed
floats as one field: its tag, the number of bytes, the little-endian floats.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.example import mnist_image, mnist_inference_pb2
from tensorflow_serving.rpc import call
from tensorflow_serving.util import errors

_FLOAT = np.dtype("<f4")
_SHAPE = (1, mnist_image.NUM_PIXELS)
_NUM_BYTES = _FLOAT.itemsize * mnist_image.NUM_PIXELS
# Field 1, length-delimited; 3136 as a varint.
_REQUEST_HEADER = b"\x0a\xc0\x18"
# Field 1, length-delimited; 40 as a varint.
_RESPONSE_PREFIX = b"\x0a\x28"


def decode_image(request: bytes) -> npt.NDArray[Any]:
    """Returns the image of a serialized MnistRequest.

    The encoding that serializers write is not copied; other encodings of the
    same message are parsed.

    Returns:
      image: float32 [1, 784], read-only.

    Raises:
      InvalidArgumentError: The bytes are no MnistRequest, or the image does not
        have 784 values. Permanent.
    """
    if len(request) == _NUM_BYTES + len(_REQUEST_HEADER) and request.startswith(
        _REQUEST_HEADER
    ):
        return np.ndarray(_SHAPE, _FLOAT, request, len(_REQUEST_HEADER))
    return image_of(call.parse(mnist_inference_pb2.MnistRequest, request))


def image_of(request: mnist_inference_pb2.MnistRequest) -> npt.NDArray[Any]:
    """Returns the image of a message.

    Returns:
      image: float32 [1, 784].

    Raises:
      InvalidArgumentError: It does not have 784 values. Permanent.
    """
    num_pixels = len(request.image_data)
    if num_pixels != mnist_image.NUM_PIXELS:
        raise errors.InvalidArgumentError(
            f"image_data must have {mnist_image.NUM_PIXELS} values; "
            f"got {num_pixels}"
        )
    return np.array(request.image_data, _FLOAT, ndmin=2)


def encode_scores(scores: npt.NDArray[Any], num_images: int) -> call.Rows:
    """Returns serialized MnistResponses, one for each row.

    Args:
      scores: [num_images, 10], of a type of floats.
      num_images: How many images they are for.

    Raises:
      InternalError: The scores have another shape: the fault is the model's.
        Permanent.
    """
    expected_shape = (num_images, mnist_image.NUM_CLASSES)
    if scores.shape != expected_shape:
        raise errors.InternalError(
            f"scores of the model must have shape {list(expected_shape)}; got "
            f"{list(scores.shape)}"
        )
    values = np.ascontiguousarray(scores, _FLOAT)
    return call.Rows(_RESPONSE_PREFIX, values.view(np.uint8))
