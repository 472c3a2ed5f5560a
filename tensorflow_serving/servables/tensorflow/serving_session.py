"""A session that serves: its tensors are described as batching wants it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from tensorflow_serving.batching import tensor_batch
from tensorflow_serving.tensorflow_c import data_type, session
from tensorflow_serving.util import errors


class ServingSession:
    """Runs a loaded graph, which callers cannot change.

    Thread-safe.
    """

    def __init__(self, opened: session.Session) -> None:
        """Takes over the session, to close it."""
        self._session = opened

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """Returns the fetched tensors, in order.

        Args:
          fetches: Names of tensors ("y:0") or of operations; the value of an
            operation is None.
          feed_dict: Values of tensors, by name.

        Raises:
          InvalidArgumentError: A name is not in the graph, or a value does not
            fit its tensor. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
          ServingError: What the graph raised, with its code.
        """
        outputs: list[npt.NDArray[Any]] = self._session.run(
            list(fetches), feed_dict
        )
        return outputs

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> session.Callable:
        """Returns a function that does what run() does, in less time.

        It takes arrays of the dtypes and shapes of tensor_spec(), in order, and
        raises what run() raises. It converts no dtype and checks no shape; that
        is for its callers. An aligned_array is not copied.

        Raises:
          InvalidArgumentError: A name is not in the graph. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
        """
        return self._session.make_callable(fetches, feed_list)

    def tensor_spec(self, name: str) -> tensor_batch.TensorSpec:
        """Returns dtype and shape of a tensor of the graph.

        Raises:
          InvalidArgumentError: The name is not in the graph, or no array can
            be its value. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
        """
        info = self._session.tensor_info(name)
        try:
            dtype = data_type.to_numpy(info.data_type)
        except errors.InvalidArgumentError:
            raise errors.InvalidArgumentError(
                f"Tensor {name} must have a dtype of arrays; got "
                f"{data_type.name(info.data_type)}"
            ) from None
        return tensor_batch.TensorSpec(name, dtype, info.shape)

    def close(self) -> None:
        """Frees the session, once nothing runs in it. Idempotent."""
        self._session.close()
