"""The examples of a request, as the input of a model."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tensorflow_serving.apis import input_pb2
from tensorflow_serving.tensorflow_c.protos import example_pb2
from tensorflow_serving.util import errors


def serialized(request_input: input_pb2.Input) -> npt.NDArray[np.object_]:
    """Returns the examples of a request as models take them.

    The context of a list comes first in each example: where both have a
    feature, that of the example counts, as with any protocol buffer.

    Returns:
      Serialized tf.train.Examples, bytes [examples].

    Raises:
      InvalidArgumentError: There is no example. Permanent.
    """
    kind = request_input.WhichOneof("kind")
    context = b""
    examples: Sequence[example_pb2.Example] = ()
    if kind == "example_list":
        examples = request_input.example_list.examples
    elif kind == "example_list_with_context":
        examples = request_input.example_list_with_context.examples
        context = (
            request_input.example_list_with_context.context.SerializeToString()
        )
    if not examples:
        raise errors.InvalidArgumentError("Input is empty")
    array = np.empty(len(examples), object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array
