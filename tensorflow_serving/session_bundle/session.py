"""The part of a session that serving uses."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt

from tensorflow_serving.util import tensor_spec


class Session(Protocol):
    """Runs a loaded graph, call by call or in batches.

    Implemented by the session of tensorflow_c, by TfLiteSession and by
    BatchingSession.
    """

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        """Returns the fetched tensors, in order.

        Args:
          fetches: Names of tensors ("y:0").
          feed_dict: Values of tensors, by name.
        """

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., Sequence[npt.NDArray[Any]]]:
        """Returns a thread-safe function from feeds to fetches.

        Args:
          fetches: Names of tensors ("y:0").
          feed_list: Names of tensors, in the order of the arguments.

        Raises:
          InvalidArgumentError: A name is not in the graph. Permanent.
        """

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Returns dtype and shape of a tensor.

        Raises:
          InvalidArgumentError: The name is not in the graph. Permanent.
        """

    def close(self) -> None:
        """Frees what the session holds. Idempotent."""
