"""A session that runs a TFLite model, as others run a graph of TensorFlow."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from tensorflow_serving.servables.tensorflow import (
    tflite_interpreters,
    tflite_signatures,
)
from tensorflow_serving.util import errors, tensor_spec

_Array = npt.NDArray[Any]


class TfLiteSession:
    """Runs the graphs of a TFLite model.

    Calls run at the same time, as many as there are interpreters; others wait.
    Inputs may have any sizes that the model leaves open.

    Thread-safe.
    """

    def __init__(
        self,
        interpreters: tflite_interpreters.Interpreters,
        tensors: Mapping[str, tflite_signatures.Tensor],
    ) -> None:
        """Takes over the interpreters, to close them.

        Args:
          interpreters: The interpreters of the model.
          tensors: The tensors that can be fed and fetched, by name.
        """
        self._interpreters = interpreters
        self._tensors = tensors

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, _Array]
    ) -> list[_Array]:
        """Returns the fetched tensors, in order.

        Args:
          fetches: Names of tensors of one graph.
          feed_dict: Values of all inputs of the graph, by name.

        Raises:
          InvalidArgumentError: A name is unknown, or a value does not fit its
            tensor or fails in the model. Permanent.
          ResourceExhaustedError: There is not enough memory. Transient.
          FailedPreconditionError: The session is closed. Permanent.
        """
        feeds = [
            # Which shapes are right, the callable knows.
            dataclasses.replace(self.tensor_spec(name), shape=None).to_array(
                value
            )
            for name, value in feed_dict.items()
        ]
        return self.make_callable(fetches, list(feed_dict))(*feeds)

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., list[_Array]]:
        """Returns a function that does what run() does, in less time.

        It takes arrays of the dtypes of tensor_spec(), in order, and raises
        what run() raises. It converts no dtype; that is for its callers.

        Raises:
          InvalidArgumentError: A name is unknown, or the tensors are not of one
            graph. Permanent.
        """
        inputs = [self._tensor(name) for name in feed_list]
        outputs = [self._tensor(name) for name in fetches]
        graphs = {tensor.subgraph for tensor in (*inputs, *outputs)}
        if len(graphs) != 1:
            raise errors.InvalidArgumentError(
                "tensors of a run must be of one graph of the model; got "
                f"{[*feed_list, *fetches]}"
            )
        (graph,) = graphs
        indices = [tensor.index for tensor in outputs]

        def call(*arrays: _Array) -> list[_Array]:
            fed = []
            for tensor, array in zip(inputs, arrays, strict=True):
                _require_shape(tensor, array)
                fed.append((tensor.index, array))
            return self._interpreters.run(graph, fed, indices)

        return call

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Returns dtype and shape of a tensor.

        Raises:
          InvalidArgumentError: The name is unknown. Permanent.
        """
        return self._tensor(name).spec

    def close(self) -> None:
        """Frees the interpreters, once nothing runs in them. Idempotent."""
        self._interpreters.close()

    def _tensor(self, name: str) -> tflite_signatures.Tensor:
        try:
            return self._tensors[name]
        except KeyError:
            raise errors.InvalidArgumentError(
                f"tensors must be of a signature of the model; got {name}"
            ) from None


def _require_shape(tensor: tflite_signatures.Tensor, array: _Array) -> None:
    if not tensor.fits(array.shape):
        raise errors.InvalidArgumentError(
            f"input {tensor.spec.name} must have shape "
            f"{tensor_spec.shape_text(tensor.sizes or ())}; got "
            f"{list(array.shape)}"
        )
    if not array.size:
        # Some operators leave the shapes of their outputs undefined.
        raise errors.InvalidArgumentError(
            f"input {tensor.spec.name} of a TFLite model must have an element; "
            f"got shape {list(array.shape)}"
        )
