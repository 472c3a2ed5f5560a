"""Inputs and outputs of models as JSON, for people to write and read."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors


def parse(
    text: str, signature: meta_graph_pb2.SignatureDef
) -> dict[str, npt.NDArray[Any]]:
    """Returns arrays of the dtypes that a signature says.

    Args:
      text: An object with a value, or nested lists, for each input.
      signature: The signature of the model.

    Raises:
      InvalidArgumentError: The text is something else. Permanent.
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise errors.InvalidArgumentError(
            f"--json must be JSON; got a text that is not: {error}"
        ) from None
    if not isinstance(values, dict) or set(values) != set(signature.inputs):
        got = sorted(values) if isinstance(values, dict) else "another value"
        raise errors.InvalidArgumentError(
            "--json must be an object with the inputs "
            f"{sorted(signature.inputs)}; got {got}"
        )
    return {
        name: _array(name, value, signature.inputs[name].dtype)
        for name, value in values.items()
    }


def format_outputs(outputs: Mapping[str, npt.NDArray[Any]]) -> str:
    """Returns a line of JSON, by ascending name.

    Bytes that are not UTF-8 are {"b64": ...}.
    """
    return json.dumps(
        {name: _plain(array) for name, array in outputs.items()},
        default=_text,
        sort_keys=True,
    )


def _array(name: str, value: Any, number: int) -> npt.NDArray[Any]:
    """Returns an array, if no value has to be changed for that."""
    try:
        if number == data_type.STRING:
            return _texts(value)
        dtype = data_type.of_values(number)
        found = np.asarray(value)
        if not found.size or found.dtype.kind in _kinds(number, dtype):
            # From the value again where the range matters.
            is_integer = dtype.kind in "iu"
            return (
                np.asarray(value, dtype) if is_integer else found.astype(dtype)
            )
    except (OverflowError, TypeError, ValueError):
        pass
    raise errors.InvalidArgumentError(
        f'--json input "{name}" must be of {data_type.name(number)}; got other '
        "values"
    )


def _texts(value: Any) -> npt.NDArray[Any]:
    texts = np.asarray(value, object)
    if not all(isinstance(text, str) for text in texts.flat):
        raise TypeError("not texts")
    array = np.empty(texts.shape, object)
    array.flat[:] = [text.encode() for text in texts.flat]
    return array


def _kinds(number: int, dtype: np.dtype[Any]) -> str:
    """Returns which kinds of numbers of JSON may become a dtype."""
    if dtype.kind == "b":
        return "b"
    is_float = dtype.kind in "fc" or "float" in data_type.name(number)
    return "fiu" if is_float else "iu"


def _plain(array: npt.NDArray[Any]) -> Any:
    if array.dtype.kind == "f":
        # The shortest decimals that have the value, as numpy prints them.
        return (
            np.array([float(str(value)) for value in array.reshape(-1)])
            .reshape(array.shape)
            .tolist()
        )
    if array.dtype.kind == "V":
        return array.astype(np.float64).tolist()
    return array.tolist()


def _text(value: Any) -> Any:
    if isinstance(value, complex):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
