"""Requests to the REST API of a server with small_model, and right answers.

The right answer is worked out from the request alone, with numpy and without a
server.

Example:
    request = rest_cases.whole(1)
    sock.sendall(request.serialized())
    assert rest_cases.is_right(request.body, body)
"""

import dataclasses
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tensorflow_serving.test_util import request_cases

_MODEL: Final = f"/v1/models/{request_cases.NAME}"
_ROW: Final = "instances"
_GZIP: Final = b"\x1f\x8b"
_ANY_HEADER: Final = 32 + zlib.MAX_WBITS
_DEFAULT: Final = "serving_default"


@dataclasses.dataclass(frozen=True)
class Request:
    """A request of HTTP, as a client means it."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def serialized(self) -> bytes:
        """Returns the bytes that a client sends."""
        headers = {
            "Host": "localhost",
            "Content-Length": str(len(self.body)),
            **self.headers,
        }
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        return b"%s\r\n\r\n%s" % (head, self.body)


def whole(number: int) -> Request:
    """Returns a request with a number of its own; they are of seven kinds."""
    x = [float(request_cases.FIRST_NUMBER + number), number % 1000 / 8]
    text = f"secret {number}"
    posts: Mapping[str, Any] = {
        "predict": {_ROW: [{"x": each} for each in x]},
        f"versions/{request_cases.VERSION}:predict": {"inputs": {"x": x}},
        "predict?x=1": {_ROW: x},
        "classify": {
            "signature_name": "classify",
            "examples": [{"x": [text]}, {"x": number, "y": 0.5}],
        },
        "regress": {
            "signature_name": "regress",
            "context": {"c": [1, 2]},
            "examples": [{"x": {"b64": "c2VjcmV0"}}],
        },
    }
    kind = number % (len(posts) + 2)
    if kind >= len(posts):
        gets = ("", "/metadata")
        return Request("GET", f"{_MODEL}{gets[kind - len(posts)]}")
    target, document = [*posts.items()][kind]
    slash = "/" if "versions" in target else ":"
    body = json.dumps(document).encode()
    return Request("POST", f"{_MODEL}{slash}{target}", body)


def is_right(request: bytes, response: bytes) -> bool:
    """Returns whether the body of a response is right for that of a request.

    Those of other signatures than the default one must only be whole.
    """
    document = _parsed(response)
    if not isinstance(document, dict) or "error" in document:
        return False
    if not document.keys() & {"predictions", "outputs"}:
        return True
    asked = _parsed(request)
    if not isinstance(asked, dict):
        return False  # nothing can answer this
    if asked.get("signature_name", "") not in ("", _DEFAULT):
        return True
    outputs: Any = document.get("predictions", document.get("outputs"))
    expected = request_cases.outputs(_DEFAULT, {"x": _x(asked)})
    if _ROW in asked:
        columns = {name: [row[name] for row in outputs] for name in expected}
    else:
        columns = outputs
    with np.errstate(all="ignore"):
        return all(
            np.array_equal(
                np.array(columns[name], np.float32), values, equal_nan=True
            )
            for name, values in expected.items()
        )


def _x(asked: Any) -> npt.NDArray[np.float32]:
    """Returns the input of the default signature in a request."""
    if _ROW in asked:
        values = [
            each["x"] if isinstance(each, dict) else each
            for each in asked[_ROW]
        ]
    else:
        values = asked["inputs"]
        if isinstance(values, dict):
            values = values["x"]
    with np.errstate(all="ignore"):
        return np.array(values, np.float32)


def _parsed(body: bytes) -> Any:
    """Returns the value of a text, which may be compressed; None without."""
    try:
        if body.startswith(_GZIP):
            body = zlib.decompress(body, wbits=_ANY_HEADER)
        return json.loads(body)
    except (UnicodeDecodeError, ValueError, zlib.error):
        return None
