"""The JSON of requests to the REST API, whatever they ask for.

Numbers may be NaN, Infinity and -Infinity, which JSON does not have. Of keys
that are there twice, the last one counts. No error text has a value of the
request in it.

The format: https://www.tensorflow.org/tfx/serving/api_rest.
"""

import base64
import binascii
import codecs
import json
import math
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tensorflow_serving.util import errors

SIGNATURE_NAME: Final = "signature_name"
# The only key of an object that stands for bytes.
B64: Final = "b64"

# Tokens that only Python's parser knows, and numbers of the same length.
_NOT_JSON: Final = {"NaN": "0.0", "Infinity": "0.000000"}
# Larger whole numbers are doubles.
_MIN_WHOLE: Final = -(1 << 63)
_MAX_WHOLE: Final = (1 << 64) - 1
_KINDS: Final = {
    type(None): "null",
    bool: "a bool",
    int: "a whole number",
    float: "a decimal number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
_SPACES: Final = " \t\r\n"
# The words of orjson for something else than a wrong text.
_NO_MEMORY: Final = "Not enough memory"
_NO_SPACES: Final = str.maketrans("", "", _SPACES)

Document = Mapping[str, Any]


def parse(body: bytes) -> Document:
    """Returns the object that a text is.

    Raises:
      InvalidArgumentError: The text is not JSON, or not an object. Permanent.
      MemoryError: There is not enough memory for it.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith(_NO_MEMORY):
            raise MemoryError from None
        document = _parse_more(body, error)
    if not isinstance(document, dict):
        raise errors.InvalidArgumentError(
            f"body must be a JSON object; got {kind(document)}"
        )
    return document


def signature_name(document: Document) -> str:
    """Returns the name of the signature; empty for the default one.

    Raises:
      InvalidArgumentError: It is not a string. Permanent.
    """
    name = document.get(SIGNATURE_NAME, "")
    if not isinstance(name, str):
        raise errors.InvalidArgumentError(
            f"'{SIGNATURE_NAME}' key must be a string value; got {kind(name)}"
        )
    return name


def kind(value: Any) -> str:
    """Returns the name of the kind of a value, for an error text."""
    return _KINDS[type(value)]


def is_object(value: Any) -> bool:
    """Returns whether a value is an object that does not stand for bytes."""
    return isinstance(value, dict) and not _is_b64(value)


def text(value: Any) -> bytes | None:
    """Returns the bytes of a string, or of an object that stands for bytes.

    None if the value is something else, or what it holds is not base64 or not a
    text. Padding and spaces may be left out and put in, as in TensorFlow
    Serving.
    """
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and _is_b64(value):
            digits = value[B64].translate(_NO_SPACES).rstrip("=")
            padding = "=" * (-len(digits) % 4)
            return base64.b64decode(digits + padding, validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        pass
    return None


def _is_b64(value: dict[str, Any]) -> bool:
    return len(value) == 1 and isinstance(value.get(B64), str)


def _parse_more(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """Parses a text with numbers that are not JSON, as Python does.

    All else is as in a text without them.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as other:
        raise _parse_error(
            'text must be UTF-8, and bytes {"b64": "..."}; got other bytes',
            other.start,
        ) from None
    if not text.strip(_SPACES):
        raise errors.InvalidArgumentError(
            "JSON Parse error: The document is empty"
        )
    if any(token in text for token in _NOT_JSON):
        try:
            document = json.loads(text, parse_float=_decimal, parse_int=_whole)
            if "\\u" in text:
                orjson.dumps(document)  # refuses half of a surrogate pair
            return document
        except (ValueError, TypeError, OverflowError, RecursionError):
            error = _error_beside_them(text) or error
    raise _parse_error(error.msg, error.pos) from None


def _parse_error(reason: str, offset: int) -> errors.InvalidArgumentError:
    return errors.InvalidArgumentError(
        f"JSON Parse error: {reason} at offset: {offset}"
    )


def _error_beside_them(text: str) -> orjson.JSONDecodeError | None:
    """Returns the error of a text apart from numbers that are not JSON."""
    for token, number in _NOT_JSON.items():
        text = text.replace(token, number)
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return error
    return None


def _decimal(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("beyond a double")
    return value


def _whole(digits: str) -> int | float:
    value = int(digits)
    return value if _MIN_WHOLE <= value <= _MAX_WHOLE else float(value)
