r"""Responses of the REST API, in the very bytes of TensorFlow Serving.

It writes them with the PrettyWriter of RapidJSON: four spaces for each level,
the values of a row on one line, those of a column on a line each:

    {
        "predictions": [[1.0, 2.0], [3.0, 4.0]
        ]
    }

A float has six digits if they are enough to tell it from all others, else as
many as its type can need; a whole one ends in ".0". Several outputs have no
order in the original; here they are sorted.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tensorflow_serving.apis import (
    classification_pb2,
    json_document,
    json_tensors,
    regression_pb2,
)
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.util import errors

_INDENT: Final = "    "
# Outputs of strings with such names are bytes.
_BYTES_SUFFIX: Final = "_bytes"
_FLOATS: Final = {"float16", "bfloat16", "float32", "float64"}
_SPECIAL: Final = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)
_CONTROL: Final = re.compile(r"(?<!\\)((?:\\\\)*\\u)(00[0-9a-f]{2})")

Outputs = Mapping[str, npt.NDArray[Any]]
# Joins the items of an array that starts at a level.
_Join = Callable[[Iterable[str], int], str]


def predictions(outputs: Outputs, form: json_tensors.Format) -> bytes:
    """Returns the response of Predict.

    Args:
      outputs: At least one.
      form: The form of the request.

    Raises:
      InvalidArgumentError: The request asks for rows, and an output does not
        have as many as the others. Permanent.
      UnimplementedError: The dtype of an output has no form in JSON. Permanent.
    """
    names = sorted(outputs)
    if form is json_tensors.Format.ROW:
        _require_rows(outputs)
        return _object({"predictions": _rows(names, outputs)}, 0).encode()
    if len(names) == 1:
        text = _tensor(names[0], outputs[names[0]], _tall, 1)
    else:
        text = _object(
            {name: _tensor(name, outputs[name], _tall, 2) for name in names}, 1
        )
    return _object({"outputs": text}, 0).encode()


def classifications(response: bytes) -> bytes:
    """Returns the response of Classify.

    Args:
      response: A ClassificationResponse, serialized.
    """
    result = classification_pb2.ClassificationResponse.FromString(
        response
    ).result
    rows = [
        _wide(
            f"[{_string(each.label)}, {score}]"
            for each, score in zip(
                example.classes,
                _floats(_float32(each.score for each in example.classes)),
                strict=True,
            )
        )
        for example in result.classifications
    ]
    return _object({"results": _wide_in_tall(rows)}, 0).encode()


def regressions(response: bytes) -> bytes:
    """Returns the response of Regress.

    Args:
      response: A RegressionResponse, serialized.
    """
    result = regression_pb2.RegressionResponse.FromString(response).result
    values = _floats(_float32(each.value for each in result.regressions))
    return _object({"results": _wide(values)}, 0).encode()


def error(text: str) -> bytes:
    """Returns the body of a response that is an error."""
    return _object({"error": _string(text)}, 0).encode()


def _require_rows(outputs: Outputs) -> None:
    """Requires that all outputs have as many rows as the first one has."""
    num_rows = None
    for name, array in sorted(outputs.items()):
        if not array.shape:
            raise _without_rows(f"Tensor name: {name} has no shape information")
        if num_rows not in (None, len(array)):
            raise _without_rows(
                f"Tensor name: {name} has inconsistent batch size: "
                f"{len(array)} expecting: {num_rows}"
            )
        num_rows = len(array)


def _without_rows(reason: str) -> errors.InvalidArgumentError:
    return errors.InvalidArgumentError(
        f"{reason}; ask with 'inputs' instead of 'instances'"
    )


def _rows(names: Sequence[str], outputs: Outputs) -> str:
    if len(names) == 1:
        (name,) = names
        return _wide_in_tall(_row_texts(name, outputs[name], 2))
    columns = [_row_texts(name, outputs[name], 3) for name in names]
    return _tall(
        [
            _object(dict(zip(names, row, strict=True)), 2)
            for row in zip(*columns, strict=True)
        ],
        1,
    )


def _row_texts(name: str, array: npt.NDArray[Any], level: int) -> list[str]:
    """Returns the text of each row of an output."""
    texts = _texts(name, array, level + array.ndim - 1)
    return _folded(texts, array.shape, 1, _wide, level - 1)


def _tensor(name: str, array: npt.NDArray[Any], join: _Join, level: int) -> str:
    texts = _texts(name, array, level + array.ndim)
    (text,) = _folded(texts, array.shape, 0, join, level)
    return text


def _folded(
    texts: list[str],
    shape: Sequence[int],
    num_outer: int,
    join: _Join,
    level: int,
) -> list[str]:
    """Joins values to arrays of arrays, for all but the first dimensions.

    Args:
      texts: The values of a tensor, in their order.
      shape: Its shape.
      num_outer: How many of its dimensions stay.
      join: Joins the items of an array.
      level: The level of what the first dimension has.
    """
    for axis in reversed(range(num_outer, len(shape))):
        size = shape[axis]
        texts = [
            join(texts[number * size : (number + 1) * size], level + axis)
            for number in range(math.prod(shape[:axis]))
        ]
    return texts


def _wide(items: Iterable[str], level: int = 0) -> str:
    """Returns an array on one line."""
    return f"[{', '.join(items)}]"


def _tall(items: Iterable[str], level: int) -> str:
    """Returns an array with a line for each item."""
    lines = [f"\n{_INDENT * (level + 1)}{item}" for item in items]
    return f"[{','.join(lines)}\n{_INDENT * level}]" if lines else "[]"


def _wide_in_tall(items: Sequence[str]) -> str:
    """Returns an array whose items are on one line, and its end on the next."""
    return f"[{', '.join(items)}\n{_INDENT}]" if items else "[]"


def _object(members: Mapping[str, str], level: int) -> str:
    lines = [
        f"\n{_INDENT * (level + 1)}{_string(name)}: {text}"
        for name, text in members.items()
    ]
    return f"{{{','.join(lines)}\n{_INDENT * level}}}"


def _texts(name: str, array: npt.NDArray[Any], level: int) -> list[str]:
    """Returns the text of each value, in their order.

    Args:
      name: The name of the output.
      array: Its values.
      level: The level of each value.
    """
    dtype = array.dtype
    if dtype.kind == "O":
        as_bytes = name.endswith(_BYTES_SUFFIX)
        return [_text(each, as_bytes, level) for each in array.ravel().tolist()]
    if dtype.kind == "b":
        return ["true" if each else "false" for each in array.ravel().tolist()]
    if dtype.kind in "iu":
        return [*map(str, array.ravel().tolist())]
    form = data_type.name(data_type.from_numpy(dtype))
    if form in _FLOATS:
        return _floats(array.ravel())
    raise errors.UnimplementedError(
        f"Failed to write JSON value for tensor type: {form} of output {name}"
    )


def _float32(values: Iterable[float]) -> npt.NDArray[np.float32]:
    return np.array([*values], np.float32)


def _floats(values: npt.NDArray[Any]) -> list[str]:
    """Returns the text of each number of a flat array."""
    is_double = values.dtype == np.float64
    exact = values if is_double else values.astype(np.float32)
    texts = _formatted(exact, "%.6g ")
    short = np.array([*map(float, texts)], exact.dtype)
    (inexact,) = (short != exact).nonzero()
    longer = _formatted(exact[inexact], "%.17g " if is_double else "%.9g ")
    for index, text in zip(inexact.tolist(), longer, strict=True):
        texts[index] = text
    (whole,) = ((exact == np.rint(exact)) | ~np.isfinite(exact)).nonzero()
    for index in whole.tolist():
        text = texts[index]
        if text in _SPECIAL:
            texts[index] = _SPECIAL[text]
        elif "e" not in text and "." not in text:
            texts[index] = f"{text}.0"
    return texts


def _formatted(values: npt.NDArray[Any], form: str) -> list[str]:
    """Returns the text of each number, all of them made in one go."""
    numbers = values.tolist()
    return (form * len(numbers) % tuple(numbers)).split()


def _text(value: bytes | str, as_bytes: bool, level: int) -> str:
    data = value.encode() if isinstance(value, str) else value
    if not as_bytes:
        try:
            return _string(data.decode())
        except UnicodeDecodeError:
            pass  # no JSON could hold it
    digits = base64.b64encode(data).decode()
    return _object({json_document.B64: _string(digits)}, level)


def _string(text: str) -> str:
    quoted = _ENCODER.encode(text)
    if "\\u00" not in quoted:
        return quoted
    return _CONTROL.sub(lambda match: match[1] + match[2].upper(), quoted)
