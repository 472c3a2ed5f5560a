"""Examples of TensorFlow from plain values."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.tensorflow_c.protos import example_pb2
from tensorflow_serving.util import errors

# The features of an example: a value or a flat list of values for each name.
Features = Mapping[str, npt.ArrayLike]


def to_example(features: Features) -> example_pb2.Example:
    """Returns the message with the features.

    Whole numbers and booleans become int64, other numbers float, texts bytes.

    Raises:
      InvalidArgumentError: A value is something else, or nested. Permanent.
    """
    example = example_pb2.Example()
    for name, value in features.items():
        feature = example.features.feature[name]
        try:
            array = _flat_array(value)
            values: list[Any] = array.tolist()
            if array.dtype.kind in "biu":
                feature.int64_list.value.extend(map(int, values))
            elif array.dtype.kind == "f":
                feature.float_list.value.extend(values)
            else:
                feature.bytes_list.value.extend(map(_bytes, values))
        except (TypeError, ValueError):
            raise errors.InvalidArgumentError(
                f'feature "{name}" must be a value, or a list of values of one '
                "kind: whole numbers, numbers, or texts; got something else"
            ) from None
    return example


def _flat_array(value: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(value)
    if array.ndim > 1:
        raise ValueError("nested")
    if array.dtype.kind in "SU":
        # numpy would take NUL at the end of a text for padding.
        array = np.asarray(value, object)
    return array.reshape(-1)


def _bytes(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes):
        return text
    raise TypeError("not a text")
