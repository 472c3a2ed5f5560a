"""Arrays whose 0th dimension counts rows: checking, counting and padding."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.util import aligned_array, errors

Inputs = Mapping[str, npt.NDArray[Any]]


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


def padded_size(size: int, allowed_sizes: Sequence[int]) -> int:
    """Returns the smallest allowed size that is not below a size.

    Args:
      size: A number of rows. 0 is returned as it is: there is no row to repeat.
      allowed_sizes: Ascending; if all are below the size, it is returned.
    """
    if size == 0:
        return 0
    return next((allowed for allowed in allowed_sizes if allowed >= size), size)


def merge(
    arrays: Sequence[npt.NDArray[Any]], num_rows_wanted: int
) -> npt.NDArray[Any]:
    """Returns the rows of all arrays, and row 0 repeated up to a number.

    A real row keeps the values in the range that the model expects. For the
    same reason, rows of different shapes are padded to one with the first
    value of their own array, which other callers cannot choose.

    Args:
      arrays: At least one, each of shape [rows, ...] with the same dtype and
        rank. An array that has the wanted rows is returned itself.
      num_rows_wanted: At least the rows of all arrays.
    """
    first = arrays[0]
    if len(arrays) == 1 and len(first) == num_rows_wanted:
        return first
    row_shapes = {array.shape[1:] for array in arrays}
    row_shape = (
        first.shape[1:]
        if len(row_shapes) == 1
        else tuple(map(max, *row_shapes))
    )
    # TensorFlow would copy what is not aligned.
    merged = aligned_array.empty((num_rows_wanted, *row_shape), first.dtype)
    num_rows = sum([len(array) for array in arrays])
    if len(row_shapes) == 1:
        np.concatenate(arrays, out=merged[:num_rows])
    else:
        _fill_padded(arrays, merged)
    merged[num_rows:] = merged[:1]
    return merged


def _fill_padded(
    arrays: Sequence[npt.NDArray[Any]], merged: npt.NDArray[Any]
) -> None:
    """Copies arrays below each other, and pads their rows."""
    start = 0
    for array in arrays:
        end = start + len(array)
        rows = merged[start:end]
        # An array without a value has rows without a value.
        rows[...] = array.flat[0] if array.size else _nothing(array.dtype)
        rows[(slice(None), *map(slice, array.shape[1:]))] = array
        start = end


def _nothing(dtype: np.dtype[Any]) -> Any:
    """Returns the value that pads what has no value: 0, or no text."""
    return b"" if dtype.hasobject else np.zeros((), dtype)


def without_rows(
    names: Sequence[str], outputs: Sequence[npt.NDArray[Any]], num_rows: int
) -> str | None:
    """Returns the name of an output that does not have this many rows.

    Returns:
      The first of them; None if each output has a row for each row of a batch.
    """
    for name, array in zip(names, outputs, strict=True):
        if array.ndim == 0 or array.shape[0] != num_rows:
            return name
    return None


def _shapes(inputs: Inputs) -> str:
    return ", ".join(
        f"{name} {list(array.shape)}" for name, array in inputs.items()
    )
