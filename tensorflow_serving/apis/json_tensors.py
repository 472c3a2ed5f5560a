"""The tensors of requests to Predict of the REST API.

Example:
    document = json_document.parse(b'{"instances": [[1.0], [2.0]]}')
    form, tensors = json_tensors.tensors(document, {"x": types_pb2.DT_FLOAT})

"instances" has a value for each row, or an object of values by the name of the
input; "inputs" has each tensor as a whole.
"""

import dataclasses
import enum
import functools
import itertools
import struct
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tensorflow_serving.apis import json_document
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.util import errors

_INSTANCES: Final = "instances"
_INPUTS: Final = "inputs"

# The limit of numpy.
_MAX_RANK: Final = 64

# By the number of the type: struct's letter, and the largest whole number up to
# which every one has a value of its own.
_FLOATS: Final = {1: ("f", (1 << 24) - 1), 2: ("d", (1 << 53) - 1)}
# Read as float32, and rounded.
_SHORT_FLOATS: Final = {"float16", "bfloat16"}
# Larger whole numbers are numbers like others.
_MAX_UINT64: Final = (1 << 64) - 1

Tensors = dict[str, npt.NDArray[Any]]
Dtypes = Mapping[str, int]


class Format(enum.Enum):
    """The form of the tensors in a request, and in the response to it."""

    ROW = _INSTANCES
    COLUMNAR = _INPUTS


def tensors(
    document: json_document.Document, dtypes: Dtypes
) -> tuple[Format, Tensors]:
    """Returns the inputs of a request.

    Args:
      document: The request.
      dtypes: The numbers of TensorFlow's types by the keys of the inputs of the
        signature.

    Raises:
      InvalidArgumentError: There are not the inputs of the signature, or they
        are not of their types, or lists do not have the lengths of a tensor.
        Permanent.
      UnimplementedError: A type has no form in JSON. Permanent.
    """
    if _INSTANCES in document and _INPUTS in document:
        raise errors.InvalidArgumentError(
            f"body must have '{_INPUTS}' or '{_INSTANCES}'; got both"
        )
    if _INSTANCES in document:
        return Format.ROW, _rows(document[_INSTANCES], dtypes)
    if _INPUTS in document:
        return Format.COLUMNAR, _columns(document[_INPUTS], dtypes)
    raise errors.InvalidArgumentError(
        f"Missing '{_INPUTS}' or '{_INSTANCES}' key"
    )


def _rows(instances: Any, dtypes: Dtypes) -> Tensors:
    if not isinstance(instances, list) or not instances:
        raise errors.InvalidArgumentError(
            f"'{_INSTANCES}' must be a list with at least one item; got "
            f"{'no item' if instances == [] else json_document.kind(instances)}"
        )
    if not json_document.is_object(instances[0]):
        return _only(_INSTANCES, instances, dtypes)
    for number, item in enumerate(instances):
        if not json_document.is_object(item) or item.keys() != dtypes.keys():
            got = (
                f"the keys {sorted(item)}"
                if isinstance(item, dict)
                else json_document.kind(item)
            )
            raise errors.InvalidArgumentError(
                f"item {number} of '{_INSTANCES}' must be an object with the "
                f"keys {sorted(dtypes)}; got {got}"
            )
    return {
        name: _tensor(name, [item[name] for item in instances], dtype)
        for name, dtype in dtypes.items()
    }


def _columns(inputs: Any, dtypes: Dtypes) -> Tensors:
    if not json_document.is_object(inputs):
        return _only(_INPUTS, inputs, dtypes)
    if missing := sorted(dtypes.keys() - inputs.keys()):
        raise errors.InvalidArgumentError(
            f"'{_INPUTS}' must have the keys {sorted(dtypes)}; got none of "
            f"{missing}"
        )
    return {
        name: _tensor(name, inputs[name], dtype)
        for name, dtype in dtypes.items()
    }


def _only(key: str, value: Any, dtypes: Dtypes) -> Tensors:
    """Returns the only input of a signature, which need not be named."""
    if not dtypes:
        raise errors.InvalidArgumentError(
            f"'{key}' must have no values, as the signature has no inputs; got "
            "some"
        )
    if len(dtypes) > 1:
        raise errors.InvalidArgumentError(
            f"'{key}' must name the inputs, as there are several: "
            f"{sorted(dtypes)}; got values without names"
        )
    ((name, dtype),) = dtypes.items()
    return {name: _tensor(name, value, dtype)}


@dataclasses.dataclass(frozen=True, slots=True)
class _Values:
    """The values of an input, in the order of a flat array."""

    name: str
    shape: tuple[int, ...]
    items: Sequence[Any]
    kinds: Set[type]


def _tensor(name: str, value: Any, dtype: int) -> npt.NDArray[Any]:
    """Returns the array that a value, or a list of lists of values, is."""
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
        lengths = {0} if len(kinds) > 1 else set(map(len, items))
        if len(kinds) > 1 or len(lengths) > 1 or len(shape) == _MAX_RANK:
            raise errors.InvalidArgumentError(
                f"input {name} must be a tensor of at most {_MAX_RANK} "
                "dimensions: lists of one depth must have one length, and "
                f"nothing beside them; got something else at depth {len(shape)}"
            )
        shape += lengths
        items = list(itertools.chain.from_iterable(items))
    return _Values(name, tuple(shape), items, kinds)


def _array(values: _Values, dtype: int) -> npt.NDArray[Any]:
    """Returns an array of the values if none of them has to be changed."""
    form = data_type.name(dtype)
    if dtype == data_type.STRING:
        return _texts(values)
    if dtype in _FLOATS:
        return _floats(values, dtype)
    found = data_type.of_values(dtype)
    if form in _SHORT_FLOATS:
        return _floats(values, 1).astype(found)
    if form == "bool":
        _require_kinds(values, {bool}, form)
        return np.array(values.items, found)
    if form != found.name or found.kind not in "iu":
        raise errors.UnimplementedError(
            f"input {values.name} must have a dtype that JSON can express; got "
            f"{form}"
        )
    _require_kinds(values, {int}, form)
    try:
        return np.array(values.items, found)
    except OverflowError:
        raise _range_error(values.name, form) from None


def _texts(values: _Values) -> npt.NDArray[Any]:
    array = np.empty([len(values.items)], object)
    array[:] = [*map(json_document.text, values.items)]
    if None in array:
        raise errors.InvalidArgumentError(
            f"input {values.name} must have strings, or objects "
            '{"b64": "..."} with base64; got something else'
        )
    return array


def _floats(values: _Values, dtype: int) -> npt.NDArray[np.floating[Any]]:
    letter, max_whole = _FLOATS[dtype]
    _require_kinds(values, {int, float}, data_type.name(dtype))
    if int in values.kinds and any(
        max_whole < abs(each) <= _MAX_UINT64
        for each in values.items
        if type(each) is int
    ):
        raise _range_error(values.name, data_type.name(dtype))
    try:
        # Faster than numpy with a list.
        data = _packer(letter, len(values.items)).pack(*values.items)
    except (OverflowError, struct.error):
        raise _range_error(values.name, data_type.name(dtype)) from None
    return np.frombuffer(data, np.dtype(f"<{letter}"))


@functools.lru_cache(maxsize=64)
def _packer(letter: str, num_values: int) -> struct.Struct:
    return struct.Struct(f"<{num_values}{letter}")


def _require_kinds(values: _Values, allowed: Set[type], form: str) -> None:
    if not values.kinds <= allowed:
        other = next(each for each in values.items if type(each) not in allowed)
        raise errors.InvalidArgumentError(
            f"input {values.name} must have values of {form}; got "
            f"{json_document.kind(other)}"
        )


def _range_error(name: str, form: str) -> errors.InvalidArgumentError:
    return errors.InvalidArgumentError(
        f"input {name} must have values that {form} can hold; got others"
    )
