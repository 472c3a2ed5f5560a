"""The dtype and shape of a tensor, and whether an array fits them."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """The dtype and shape that a model declares for an input or output."""

    name: str
    # The dtype of the arrays; strings use object.
    dtype: np.dtype[Any]
    # None for a dimension of any size; None instead of a tuple for any shape.
    shape: tuple[int | None, ...] | None

    @property
    def has_rows_of_one_shape(self) -> bool:
        """Whether all rows have one shape."""
        return self.shape is not None and None not in self.shape[1:]

    @property
    def fixes_num_rows(self) -> bool:
        """Whether the number of rows is fixed, so that calls cannot be merged.

        A scalar has no rows, and a 0th dimension of fixed size is a promise of
        the graph: with any other size its results are wrong.
        """
        return self.shape is not None and (
            not self.shape or self.shape[0] is not None
        )

    @functools.cached_property
    def _usual_row_shape(self) -> tuple[int | None, ...] | None:
        """The shape of rows, if nothing else is to be checked."""
        if (
            self.shape
            and not self.fixes_num_rows
            and self.has_rows_of_one_shape
            and self.dtype.kind not in "OV"
        ):
            return self.shape[1:]
        return None

    @functools.cached_property
    def _dtype_of_values(self) -> np.dtype[Any]:
        """The dtype of the numbers.

        A quantized type, such as qint8, is a structure with one integer.
        """
        return self.dtype[0] if self.dtype.names else self.dtype

    def fixed_sizes(self, array: npt.NDArray[Any]) -> tuple[int | None, ...]:
        """Returns the sizes of a row of an array that must stay as they are.

        Padding may change the others, which are None: those that this spec
        leaves open.
        """
        if self.shape is None:
            return (None,) * (array.ndim - 1)
        if len(self.shape) != array.ndim:
            return array.shape[1:]
        return tuple(
            [
                None if own is None else size
                for own, size in zip(
                    self.shape[1:], array.shape[1:], strict=True
                )
            ]
        )

    def to_array(self, value: npt.ArrayLike) -> npt.NDArray[Any]:
        """Returns a value as an array of this dtype and shape.

        An array must have the dtype; what Python lists hold is converted. A
        quantized array becomes one of integers, and may be one already. Texts
        become objects that are bytes, each of which was looked at: one that is
        not a text must not reach the calls that share its batch.

        Raises:
          InvalidArgumentError: The value does not fit. Permanent.
        """
        if (
            isinstance(value, np.ndarray)
            and value.dtype == self.dtype
            and value.shape[1:] == self._usual_row_shape
            and value.ndim
        ):
            return value
        if not isinstance(value, np.ndarray):
            try:
                value = np.asarray(value, dtype=self._dtype_of_values)
            except (TypeError, ValueError, OverflowError):
                # numpy's text has values.
                raise errors.InvalidArgumentError(
                    f"Input tensor {self.name} must be an array of "
                    f"{self.dtype}; got other values, or lists of several "
                    "lengths"
                ) from None
        if self.dtype.kind == "O":
            value = self._to_texts(value)
        elif value.dtype != self._dtype_of_values:
            if value.dtype != self.dtype:
                raise self._wrong_dtype(value.dtype)
            value = value.view(self._dtype_of_values)
        if self.shape is not None and not fits(self.shape, value.shape):
            raise errors.InvalidArgumentError(
                f"Input tensor {self.name} must have shape "
                f"{shape_text(self.shape)}; got {list(value.shape)}"
            )
        return value

    def _to_texts(self, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if value.dtype.kind in "SU":
            value = value.astype(object)
        if value.dtype != self.dtype:
            raise self._wrong_dtype(value.dtype)
        texts = value.ravel().tolist()
        types = {*map(type, texts)}
        if types <= {bytes}:
            return value
        for each in types:
            if not issubclass(each, str | bytes):
                raise self._wrong_dtype(each.__name__)
        encoded = np.empty(len(texts), object)
        try:
            encoded[:] = [
                text.encode() if isinstance(text, str) else bytes(text)
                for text in texts
            ]
        except UnicodeEncodeError:
            raise errors.InvalidArgumentError(
                f"Input tensor {self.name} must hold texts that have a UTF-8 "
                "form; got one with half of a surrogate pair"
            ) from None
        return encoded.reshape(value.shape)

    def _wrong_dtype(self, dtype: object) -> errors.InvalidArgumentError:
        expected, got = (
            "string" if str(each) == "object" else each
            for each in (self._dtype_of_values, dtype)
        )
        return errors.InvalidArgumentError(
            f"Input tensor {self.name} must have dtype {expected}; got {got}"
        )


def leave_rows_open(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> bool:
    """Returns whether calls from inputs to outputs can share a batch.

    That is by what the shapes say; without an input there are no rows.
    """
    return bool(inputs) and not any(
        spec.fixes_num_rows for spec in (*inputs, *outputs)
    )


def fits(sizes: Sequence[int | None], shape: Sequence[int]) -> bool:
    """Returns whether a shape has these sizes, of which None is any size."""
    return len(sizes) == len(shape) and all(
        size is None or size == other
        for size, other in zip(sizes, shape, strict=True)
    )


def shape_text(shape: Sequence[int | None]) -> str:
    """Returns a shape for people, such as [?, 784]."""
    sizes = ("?" if size is None else str(size) for size in shape)
    return f"[{', '.join(sizes)}]"
