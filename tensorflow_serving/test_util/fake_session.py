"""A session that computes half plus two, and fails when a test wants it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.util import errors, tensor_spec

_FEEDS = ("x:0", "z:0")


class FakeSession:
    """Implements session_bundle.session.Session without TensorFlow.

    Its inputs are x:0 and z:0, float64 [?, ...] unless a shape is given. Its
    outputs depend on x:0 alone:

        x:0       x:0 itself
        y:0       x:0 / 2 + 2
        picky:0   y:0, but OUT_OF_RANGE if any x:0 is below 0
        lost:0    always DATA_LOSS
        busy:0    always UNAVAILABLE, which is transient
        broken:0  raises an error that is not of this project
        exit:0    ends the program
        sum:0     a single number
        wide:0    as many columns as rows

    Thread-safe.
    """

    def __init__(
        self,
        shape: tuple[int | None, ...] | None = None,
        output_shapes: Mapping[str, tuple[int | None, ...]] = {},
    ) -> None:
        """Makes an open session.

        Args:
          shape: The shape of both inputs; None for any.
          output_shapes: The shapes of outputs that the graph knows, by name.
        """
        self._shape = shape
        self._output_shapes = output_shapes
        self._lock = threading.Lock()
        # The value of x:0 in each run, also in those that failed. Guarded by
        # _lock.
        self.inputs: list[npt.NDArray[Any]] = []
        self.closed = False

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """Returns the outputs."""
        run = self.make_callable(fetches, [*feed_dict])
        return run(*feed_dict.values())

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., list[npt.NDArray[Any]]]:
        """See session.Session."""
        for name in fetches:
            if name not in _OUTPUTS:
                raise errors.InvalidArgumentError(f"no such fetch: {name}")

        def run(*feeds: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            x = feeds[list(feed_list).index("x:0")]
            with self._lock:
                self.inputs.append(x)
            return [_OUTPUTS[name](x) for name in fetches]

        return run

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """See session.Session."""
        shape = self._shape
        if name not in _FEEDS:
            if name not in _OUTPUTS:
                raise errors.InvalidArgumentError(f"no such tensor: {name}")
            shape = self._output_shapes.get(name)
        return tensor_spec.TensorSpec(name, np.dtype(np.float64), shape)

    def close(self) -> None:
        """Sets closed."""
        self.closed = True


def _half_plus_two(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return x / 2 + 2


def _picky(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if (x < 0).any():
        raise errors.OutOfRangeError("x must be positive")
    return _half_plus_two(x)


def _lost(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    raise errors.DataLossError("the weights are gone")


def _busy(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    raise errors.UnavailableError("the weights are not there yet")


def _broken(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    raise ZeroDivisionError("secret")


def _exit(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    raise SystemExit("secret")


_OUTPUTS: dict[str, Callable[[npt.NDArray[Any]], Any]] = {
    "x:0": lambda x: x,
    "y:0": _half_plus_two,
    "picky:0": _picky,
    "lost:0": _lost,
    "busy:0": _busy,
    "broken:0": _broken,
    "exit:0": _exit,
    "sum:0": np.sum,
    "wide:0": lambda x: np.zeros([len(x), len(x)]),
}
