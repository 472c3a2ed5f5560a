"""The examples of requests to Classify and Regress of the REST API.

Example:
    document = json_document.parse(b'{"examples": [{"x": 1.0, "ids": [1, 2]}]}')
    request.input.CopyFrom(json_examples.examples(document))

Whole numbers and bools are int64 features, decimal numbers (1.0 too) are float
ones, strings and objects {"b64": "..."} are bytes. See json_arrays about error
texts.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tensorflow_serving.apis import input_pb2, json_document
from tensorflow_serving.tensorflow_c.protos import example_pb2, feature_pb2
from tensorflow_serving.util import errors

_EXAMPLES: Final = "examples"
_CONTEXT: Final = "context"

_Examples = input_pb2.ExampleList | input_pb2.ExampleListWithContext
_Add = Callable[[str, Sequence[Any], feature_pb2.Feature], None]


def examples(document: json_document.Document) -> input_pb2.Input:
    """Returns the examples of a request, with their context if it has one.

    Raises:
      InvalidArgumentError: There is no example, or a feature has values of
        several kinds, or of one that features do not have. Permanent.
    """
    result = input_pb2.Input()
    shared: _Examples = result.example_list
    if _CONTEXT in document:
        shared = result.example_list_with_context
        shared.context.CopyFrom(_example(document[_CONTEXT]))
    found = document.get(_EXAMPLES)
    if not isinstance(found, list) or not found:
        got = json_document.kind(found) if found else "none"
        raise errors.InvalidArgumentError(
            f"'{_EXAMPLES}' must be a list/array with at least one example; "
            f"got {got}"
        )
    shared.examples.extend([_example(each) for each in found])
    return result


def _example(value: Any) -> example_pb2.Example:
    if not isinstance(value, dict):
        raise errors.InvalidArgumentError(
            f"Example must be JSON object; got {json_document.kind(value)}"
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
    kinds = {_KINDS.get(each) for each in set(map(type, values))}
    for kind in kinds:
        if kind is None or len(kinds) > 1:
            raise _misfit(name, values)
        _ADD[kind](name, values, feature)


def _misfit(name: str, values: Sequence[Any]) -> errors.InvalidArgumentError:
    """Returns the error that the first value is which a feature cannot have."""
    expected = _KINDS.get(type(values[0]))
    other = next(
        each
        for each in values
        if _KINDS.get(type(each)) != expected or _is_of_no_kind(each)
    )
    if _is_of_no_kind(other):
        return errors.InvalidArgumentError(
            f"Feature: {name} has element with unexpected JSON type: "
            f"{_JSON_TYPES[type(other)]}"
        )
    return errors.InvalidArgumentError(
        f"Unexpected element type in feature: {name} expecting type: "
        f"{expected}; got {json_document.kind(other)}"
    )


def _is_of_no_kind(value: Any) -> bool:
    return type(value) not in _KINDS or json_document.is_object(value)


def _add_whole(
    name: str, values: Sequence[Any], feature: feature_pb2.Feature
) -> None:
    try:
        feature.int64_list.value.extend(map(int, values))
    except ValueError:
        raise errors.InvalidArgumentError(
            f"Feature: {name} has uint64 element. Only int64 is supported."
        ) from None


def _add_decimals(
    name: str, values: Sequence[Any], feature: feature_pb2.Feature
) -> None:
    try:
        struct.pack(f"<{len(values)}f", *values)
    except OverflowError:
        raise errors.InvalidArgumentError(
            f"Feature: {name} has a number that cannot be converted to float32 "
            "without loss of precision"
        ) from None
    feature.float_list.value.extend(values)


def _add_texts(
    name: str, values: Sequence[Any], feature: feature_pb2.Feature
) -> None:
    for each in values:
        text = json_document.text(each)
        if text is None:
            if json_document.is_object(each):
                raise _misfit(name, values)
            raise errors.InvalidArgumentError(
                f"Feature: {name} has an object that is not formatted "
                'correctly for base64 data, {"b64": "..."}'
            )
        feature.bytes_list.value.append(text)


_KINDS: Final[Mapping[type, str]] = {
    bool: "int64",
    int: "int64",
    float: "float",
    str: "bytes",
    dict: "bytes",
}
_ADD: Final[Mapping[str, _Add]] = {
    "int64": _add_whole,
    "float": _add_decimals,
    "bytes": _add_texts,
}
_JSON_TYPES: Final = {type(None): "Null", list: "Array", dict: "Object"}
