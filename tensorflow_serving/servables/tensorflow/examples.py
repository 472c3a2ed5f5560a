"""The examples of a request, as the input of a model."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tensorflow_serving.apis import input_pb2, tensor_codec
from tensorflow_serving.tensorflow_c.protos import example_pb2
from tensorflow_serving.util import errors


def serialized(request_input: input_pb2.Input) -> npt.NDArray[np.object_]:
    """Returns the examples of a request as models take them.

    The context of a list comes first in each example: where both have a
    feature, that of the example counts, as with any protocol buffer.

    Returns:
      Serialized tf.train.Examples, bytes [examples].

    Raises:
      InvalidArgumentError: There is no example, or the context would be copied
        so often that a small request becomes a large one. Permanent.
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
    num_bytes = len(context) * len(examples)
    if num_bytes > tensor_codec.MAX_REPEATED_BYTES:
        raise errors.InvalidArgumentError(
            "context must be at most "
            f"{tensor_codec.MAX_REPEATED_BYTES >> 20} MiB for all examples; got"
            f" {len(context)} bytes for each of {len(examples)}"
        )
    array = np.empty(len(examples), object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array
