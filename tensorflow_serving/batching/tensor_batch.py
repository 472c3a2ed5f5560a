"""Merging the inputs of several calls into one, and splitting the outputs.

Pure functions on numpy arrays whose 0th dimension counts rows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.util import errors

Inputs = Mapping[str, npt.NDArray[Any]]


def as_array(value: npt.ArrayLike) -> npt.NDArray[Any]:
    """Returns a value as an array, without loss.

    numpy would give lists of bytes a dtype that drops zero bytes at their ends.

    Raises:
      InvalidArgumentError: The value is no array: its rows differ in length.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise errors.InvalidArgumentError(
            f"input tensor must be an array; got {error}"
        ) from None
    if array.dtype.kind in "SU" and not isinstance(value, np.ndarray):
        return np.asarray(value, dtype=object)
    return array


def num_rows(inputs: Inputs) -> int:
    """Returns the size of the 0th dimension that all inputs share.

    Args:
      inputs: Arrays by tensor name, each of shape [rows, ...].

    Raises:
      InvalidArgumentError: There is no input, one has no dimension, or the
        0th dimensions differ.
    """
    if not inputs:
        raise errors.InvalidArgumentError(
            "Batching session Run() must have at least one input tensor; got 0"
        )
    for name, array in inputs.items():
        if array.ndim == 0:
            raise errors.InvalidArgumentError(
                "Batching session Run() input tensors must have at least one "
                f"dimension; got a scalar for {name}"
            )
    sizes = {array.shape[0] for array in inputs.values()}
    if len(sizes) > 1:
        raise errors.InvalidArgumentError(
            "Batching session Run() input tensors must have equal "
            f"0th-dimension size; got {_shapes(inputs)}"
        )
    return int(sizes.pop())


def merge(calls: Sequence[Inputs]) -> dict[str, npt.NDArray[Any]]:
    """Returns the rows of all calls, one array for each input name.

    Args:
      calls: The inputs of each call; at least one. All must have the names of
        the first, in its order, and arrays alike but for the number of rows.

    Raises:
      InvalidArgumentError: The calls differ.
    """
    names = list(calls[0])
    for inputs in calls:
        if list(inputs) != names:
            raise errors.InvalidArgumentError(
                "Batching session Run() calls in a batch must supply the same "
                f"input tensors; got {names} and {list(inputs)}"
            )
        for name in names:
            _require_alike(name, calls[0][name], inputs[name])
    return {
        name: np.concatenate([inputs[name] for inputs in calls])
        for name in names
    }


def padded_size(size: int, allowed_sizes: Sequence[int]) -> int:
    """Returns the smallest allowed size that is not below a size.

    Args:
      size: A number of rows. 0 is returned as it is: there is no row to repeat.
      allowed_sizes: Ascending; if all are below the size, it is returned.
    """
    if size == 0:
        return 0
    return next((allowed for allowed in allowed_sizes if allowed >= size), size)


def pad(inputs: Inputs, num_rows_wanted: int) -> dict[str, npt.NDArray[Any]]:
    """Returns inputs with that many rows: row 0 is repeated at the end.

    A real row keeps the values in the range that the model expects.

    Args:
      inputs: Arrays of shape [rows, ...], with at least one row.
      num_rows_wanted: At least rows.
    """
    return {
        name: np.concatenate(
            [array, np.repeat(array[:1], num_rows_wanted - len(array), axis=0)]
        )
        for name, array in inputs.items()
    }


def split(
    outputs: Sequence[tuple[str, npt.NDArray[Any]]],
    sizes: Sequence[int],
    num_padding: int,
) -> list[list[npt.NDArray[Any]]]:
    """Returns the outputs of each call, in the order of the outputs.

    Args:
      outputs: Tensor names, and arrays of shape [sum of sizes + padding, ...].
      sizes: The number of rows of each call.
      num_padding: The number of rows at the end that belong to no call.

    Raises:
      FailedPreconditionError: An output has another number of rows: the model
        cannot be batched.
    """
    rows = sum(sizes) + num_padding
    for name, array in outputs:
        if array.ndim == 0 or array.shape[0] != rows:
            raise errors.FailedPreconditionError(
                f"Batched output tensor {name} must have 0th-dimension size "
                f"{rows}, that of the batch; got shape {list(array.shape)}"
            )
    ends = np.cumsum(sizes)
    return [
        [array[end - size : end] for _, array in outputs]
        for size, end in zip(sizes, ends, strict=True)
    ]


def _require_alike(
    name: str, first: npt.NDArray[Any], other: npt.NDArray[Any]
) -> None:
    if first.dtype.kind != other.dtype.kind or (
        first.dtype.kind in "biufc" and first.dtype != other.dtype
    ):
        raise errors.InvalidArgumentError(
            f"Input tensor {name} must have one dtype within a batch; got "
            f"{first.dtype} and {other.dtype}"
        )
    if first.shape[1:] != other.shape[1:]:
        raise errors.InvalidArgumentError(
            f"Input tensor {name} must have one shape after the 0th dimension "
            f"within a batch; got {list(first.shape)} and {list(other.shape)}"
        )


def _shapes(inputs: Inputs) -> str:
    return ", ".join(
        f"{name} {list(array.shape)}" for name, array in inputs.items()
    )
