"""The tensors of requests to Predict of the REST API.

Example:
    document = json_document.parse(b'{"instances": [[1.0], [2.0]]}')
    form, tensors = json_tensors.tensors(document, {"x": types_pb2.DT_FLOAT})

"instances" has a value for each row, or an object of values by the name of the
input; "inputs" has each tensor as a whole. See json_arrays about error texts.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy.typing as npt

from tensorflow_serving.apis import json_arrays, json_document
from tensorflow_serving.util import errors

_INSTANCES: Final = "instances"
_INPUTS: Final = "inputs"

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
            f"Not formatted correctly, expecting only one of '{_INPUTS}' or "
            f"'{_INSTANCES}' keys to exist; got both"
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
    if json_document.is_object(instances[0]):
        return _named_rows(instances, dtypes)
    try:
        return _only(Format.ROW, instances, dtypes)
    except json_arrays.ItemError as error:
        if json_document.is_object(instances[error.row]):
            raise errors.InvalidArgumentError(
                f"Expecting value/list but got object at item {error.row} of "
                f"'{_INSTANCES}'"
            ) from None
        raise


def _named_rows(instances: Sequence[Any], dtypes: Dtypes) -> Tensors:
    for number, item in enumerate(instances):
        if not json_document.is_object(item):
            raise errors.InvalidArgumentError(
                f"Expecting object but got list/value at item {number} of "
                f"'{_INSTANCES}'"
            )
        if item.keys() != dtypes.keys():
            raise errors.InvalidArgumentError(
                f"{_of_element(number)} JSON object: keys must be equal to: "
                f"{','.join(sorted(dtypes))}; got {sorted(item)}"
            )
    return {
        name: _row_tensor(name, [item[name] for item in instances], dtype)
        for name, dtype in dtypes.items()
    }


def _columns(inputs: Any, dtypes: Dtypes) -> Tensors:
    if not json_document.is_object(inputs):
        return _only(Format.COLUMNAR, inputs, dtypes)
    for name in dtypes:
        if name not in inputs:
            raise errors.InvalidArgumentError(
                f"Missing named input: {name} in '{_INPUTS}' object; it must "
                f"have the keys {sorted(dtypes)}"
            )
    return {
        name: json_arrays.array(name, inputs[name], dtype)
        for name, dtype in dtypes.items()
    }


def _only(form: Format, value: Any, dtypes: Dtypes) -> Tensors:
    """Returns the only input of a signature, which need not be named."""
    if not dtypes:
        raise errors.InvalidArgumentError(
            f"'{form.value}' must have no values, as the signature has no "
            "inputs; got some"
        )
    if len(dtypes) > 1:
        raise errors.InvalidArgumentError(
            f"'{form.value}' must name the inputs, as there are several: "
            f"{sorted(dtypes)}; got values without names"
        )
    make = _row_tensor if form is Format.ROW else json_arrays.array
    ((name, dtype),) = dtypes.items()
    return {name: make(name, value, dtype)}


def _row_tensor(name: str, rows: Any, dtype: int) -> npt.NDArray[Any]:
    """Returns the tensor of rows; an error says which of them is at fault."""
    try:
        return json_arrays.array(name, rows, dtype)
    except json_arrays.ItemError as error:
        raise json_arrays.ItemError(
            error.row, f"{_of_element(error.row)} Error: {error}"
        ) from None


def _of_element(number: int) -> str:
    return f"Failed to process element: {number} of '{_INSTANCES}' list."
