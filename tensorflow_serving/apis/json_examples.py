"""The examples of requests to Classify and Regress of the REST API.

Example:
    document = json_document.parse(b'{"examples": [{"x": 1.0, "ids": [1, 2]}]}')
    request.input.CopyFrom(json_examples.examples(document))

Whole numbers and bools are int64 features, decimal numbers (1.0 too) are float
ones, strings and objects {"b64": "..."} are bytes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tensorflow_serving.apis import input_pb2, json_document
from tensorflow_serving.tensorflow_c.protos import example_pb2, feature_pb2
from tensorflow_serving.util import errors

_EXAMPLES: Final = "examples"
_CONTEXT: Final = "context"

_Add = Callable[[feature_pb2.Feature, Sequence[Any]], None]

_MAX_FLOAT: Final = float(np.finfo(np.float32).max)


def examples(document: json_document.Document) -> input_pb2.Input:
    """Returns the examples of a request, with their context if it has one.

    Raises:
      InvalidArgumentError: There is no example, or a feature has values of
        several kinds, or of one that features do not have. Permanent.
    """
    found = document.get(_EXAMPLES)
    if not isinstance(found, list) or not found:
        got = json_document.kind(found) if found else "none"
        raise errors.InvalidArgumentError(
            f"'{_EXAMPLES}' must be a list with at least one example; got {got}"
        )
    made = [_example(each) for each in found]
    result = input_pb2.Input()
    if _CONTEXT in document:
        shared = result.example_list_with_context
        shared.context.CopyFrom(_example(document[_CONTEXT]))
        shared.examples.extend(made)
    else:
        result.example_list.examples.extend(made)
    return result


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise errors.InvalidArgumentError(
            f"example must be an object; got {json_document.kind(value)}"
        )
    example = example_pb2.Example()
    for name, values in value.items():
        if not isinstance(values, list):
            values = [values]
        _fill(name, values, example.features.feature[name])
    return example


def _fill(
    name: str, values: Sequence[Any], feature: feature_pb2.Feature
) -> None:
    """Adds values to a feature, which has one kind of them or none at all."""
    if not values:
        return
    add, *others = {_KINDS.get(type(each)) for each in values}
    if add is None or others:
        raise errors.InvalidArgumentError(
            f'feature "{name}" must be a value, or a list of values, of one '
            "kind: whole numbers and bools, decimal numbers, or strings; got "
            "something else"
        )
    try:
        add(feature, values)
    except (OverflowError, TypeError, ValueError):
        raise errors.InvalidArgumentError(
            f'feature "{name}" must have values that it can hold: int64, '
            "float32, or base64; got others"
        ) from None


def _add_whole(feature: feature_pb2.Feature, values: Sequence[Any]) -> None:
    feature.int64_list.value.extend(map(int, values))


def _add_decimal(feature: feature_pb2.Feature, values: Sequence[Any]) -> None:
    if any(_MAX_FLOAT < abs(each) < math.inf for each in values):
        raise OverflowError("beyond float32")
    feature.float_list.value.extend(values)


def _add_texts(feature: feature_pb2.Feature, values: Sequence[Any]) -> None:
    for each in values:
        text = json_document.text(each)
        if text is None:
            raise ValueError("not a text")
        feature.bytes_list.value.append(text)


_KINDS: Final[Mapping[type, _Add]] = {
    bool: _add_whole,
    int: _add_whole,
    float: _add_decimal,
    str: _add_texts,
    dict: _add_texts,
}
