"""The arrays that the values of inputs are in requests to the REST API.

Example:
    json_arrays.array("x", [[1, 2.5]], types_pb2.DT_FLOAT)  # float32 [1, 2]

Error texts have the words of TensorFlow Serving by which people and programs
know them, but none of the values that those have.
"""

import dataclasses
import functools
import itertools
import math
import struct
from collections.abc import Callable, Sequence, Set
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tensorflow_serving.apis import json_document
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.util import errors

# The limit of numpy.
_MAX_RANK: Final = 64

# By the number of the type: struct's letter, and the largest whole number up to
# which every one has a value of its own.
_FLOATS: Final = {1: ("f", (1 << 24) - 1), 2: ("d", (1 << 53) - 1)}
_FLOAT32: Final = 1
# Read as float32, and rounded.
_SHORT_FLOATS: Final = {"float16", "bfloat16"}
# Larger whole numbers are numbers like others.
_MAX_UINT64: Final = (1 << 64) - 1
_NOT_OF_TYPE: Final = "is not of expected type"
# Returns whether all of some values are as they should be.
_AreFine = Callable[[Sequence[Any]], bool]
_LOSS: Final = "a number cannot be converted to {} without loss of precision"


class ItemError(errors.InvalidArgumentError):
    """A value does not fit a tensor, or its type. Permanent."""

    def __init__(self, row: int, text: str) -> None:
        """Makes the error of a value in a row of a tensor."""
        super().__init__(text)
        self.row = row


@dataclasses.dataclass(frozen=True, slots=True)
class _Values:
    """The values of an input, in the order of a flat array."""

    name: str
    shape: tuple[int, ...]
    items: Sequence[Any]
    kinds: Set[type]

    def row_of(self, index: int) -> int:
        """Returns the row that has one of the values."""
        return index // (len(self.items) // self.shape[0]) if self.shape else 0

    def error(self, index: int, text: str) -> ItemError:
        """Returns the error that one of the values is."""
        return ItemError(self.row_of(index), f"input {self.name}: {text}")

    def first_bad(self, are_fine: _AreFine) -> int:
        """Returns where the first bad value is, of those that are there.

        It asks about halves, then halves of these: to ask about each value
        would take many times as long as reading them all.
        """
        start, end = 0, len(self.items)
        while end - start > 1:
            middle = (start + end) // 2
            if are_fine(self.items[start:middle]):
                start = middle
            else:
                end = middle
        return start

    def require_kinds(self, allowed: set[type], form: str) -> None:
        """Requires values that are of some types in Python."""
        if not self.kinds <= allowed:
            index = self.first_bad(
                lambda part: allowed.issuperset(map(type, part))
            )
            kind = json_document.kind(self.items[index])
            raise self.error(index, f"{kind} {_NOT_OF_TYPE}: {form}")


def array(name: str, value: Any, dtype: int) -> npt.NDArray[Any]:
    """Returns the array that a value, or a list of lists of values, is.

    Args:
      name: The key of the input, for error texts.
      value: As it came in JSON.
      dtype: The number of TensorFlow's type.

    Raises:
      ItemError: A value is not of the type, or would have to be changed, or
        lists do not have the lengths of a tensor. Permanent.
      UnimplementedError: The type has no form in JSON. Permanent.
    """
    values = _flattened(name, value)
    return _array(values, dtype).reshape(values.shape)


def _flattened(name: str, value: Any) -> _Values:
    """Returns the values in the last ones of lists in lists.

    Every list of a depth must have the same length, and nothing beside it that
    is not a list.
    """
    shape: list[int] = []
    items: list[Any] = [value]
    while list in (kinds := set(map(type, items))):
        if len(shape) == _MAX_RANK:
            raise ItemError(
                0, f"input {name} must have at most {_MAX_RANK} dimensions"
            )
        lengths = set(map(len, items)) if len(kinds) == 1 else set()
        if len(lengths) != 1:
            values = _Values(name, tuple(shape), items, kinds)
            raise _shape_error(values, value)
        shape += lengths
        items = list(itertools.chain.from_iterable(items))
    return _Values(name, tuple(shape), items, kinds)


def _shape_error(values: _Values, rows: Sequence[Any]) -> ItemError:
    """Returns the error that the first item is which is unlike the first one.

    Args:
      values: All items of the depth of that one.
      rows: The whole input.
    """
    first = values.items[0]
    index = values.first_bad(
        lambda part: (
            set(map(type, part)) == {type(first)}
            and (type(first) is not list or {*map(len, part)} == {len(first)})
        )
    )
    expected = _shape(rows[0])
    found = _shape(rows[values.row_of(index)])
    if math.prod(expected) != math.prod(found):
        text = (
            f"Expecting tensor size: {math.prod(expected)} but got: "
            f"{math.prod(found)}"
        )
    elif expected != found:
        text = f"Expecting shape {expected} but got: {found}"
    else:
        text = (
            "lists of one depth must have one length, and nothing beside them; "
            f"got something else at depth {len(values.shape)}"
        )
    return values.error(index, text)


def _shape(value: Any) -> list[int]:
    """Returns the shape of a value, if all of it is as its beginning."""
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _array(values: _Values, dtype: int) -> npt.NDArray[Any]:
    """Returns an array of the values if none of them has to be changed."""
    form = data_type.name(dtype)
    if dtype == data_type.STRING:
        return _texts(values)
    if dtype in _FLOATS:
        return _floats(values, dtype)
    found = data_type.of_values(dtype)
    if form in _SHORT_FLOATS:
        return _short_floats(values, found)
    if form == "bool":
        values.require_kinds({bool}, form)
        return np.array(values.items, found)
    if form != found.name or found.kind not in "iu":
        raise errors.UnimplementedError(
            f"input {values.name} must have a dtype that JSON can express; got "
            f"{form}"
        )
    values.require_kinds({int}, form)
    try:
        return np.array(values.items, found)
    except OverflowError:
        limits = np.iinfo(found)
        index = values.first_bad(
            lambda part: limits.min <= min(part) and max(part) <= limits.max
        )
        raise values.error(
            index, f"a whole number beyond its range {_NOT_OF_TYPE}: {form}"
        ) from None


def _texts(values: _Values) -> npt.NDArray[Any]:
    texts = np.empty([len(values.items)], object)
    texts[:] = [*map(json_document.text, values.items)]
    if None in texts:
        values.require_kinds({str, dict}, data_type.name(data_type.STRING))
        raise values.error(
            texts.tolist().index(None),
            "an object is not formatted correctly for base64 data, "
            '{"b64": "..."}',
        )
    return texts


def _floats(values: _Values, dtype: int) -> npt.NDArray[np.floating[Any]]:
    letter, max_whole = _FLOATS[dtype]
    form = data_type.name(dtype)
    values.require_kinds({int, float}, form)
    has_whole = int in values.kinds
    data = _packed(values.items, letter, max_whole if has_whole else None)
    if data is None:
        index = values.first_bad(
            lambda part: _packed(part, letter, max_whole) is not None
        )
        raise values.error(index, _LOSS.format(form))
    return np.frombuffer(data, np.dtype(f"<{letter}"))


def _packed(
    items: Sequence[float], letter: str, max_whole: int | None
) -> bytes | None:
    """Returns the bytes of floats; None if they cannot hold all numbers.

    Args:
      items: The numbers.
      letter: The letter of the floats in formats of struct.
      max_whole: The largest whole number that they hold exactly, if there may
        be whole numbers among the items.
    """
    if max_whole is not None and any(
        max_whole < abs(each) <= _MAX_UINT64
        for each in items
        if type(each) is int
    ):
        return None
    try:
        # Faster than numpy with a list.
        return _packer(letter, len(items)).pack(*items)
    except OverflowError:
        return None


def _short_floats(values: _Values, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Returns rounded numbers, none of them to infinity."""
    exact = _floats(values, _FLOAT32)
    with np.errstate(over="ignore"):
        short = exact.astype(dtype)
    is_lost = np.isinf(short) & np.isfinite(exact)
    if is_lost.any():
        raise values.error(int(is_lost.argmax()), _LOSS.format(dtype.name))
    return short


@functools.lru_cache(maxsize=64)
def _packer(letter: str, num_values: int) -> struct.Struct:
    return struct.Struct(f"<{num_values}{letter}")
