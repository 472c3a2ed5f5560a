"""The paths of the REST API.

    POST /v1/models/<name>[/versions/<n>|/labels/<label>]:predict
    GET  /v1/models/<name>[/versions/<n>|/labels/<label>][/metadata]

The format: https://www.tensorflow.org/tfx/serving/api_rest. As in the original,
capital letters count in names and methods only.
"""

import dataclasses
import re
import urllib.parse
from typing import Final

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.util import errors

METHODS: Final = ("classify", "predict", "regress")
STATUS: Final = "status"
METADATA: Final = "metadata"

_MODELS: Final = "/v1/models"
_NAME: Final = r"/(?P<name>[^/:]+)"
_VERSION: Final = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST: Final = re.compile(
    rf"(?i:{_MODELS}{_NAME}{_VERSION}):(?P<method>\w+)", re.ASCII
)
_GET: Final = re.compile(
    rf"(?i:{_MODELS}(?:{_NAME})?{_VERSION}(?:/(?P<method>metadata))?)",
    re.ASCII,
)
_MAX_INT64: Final = (1 << 63) - 1
_MAX_DIGITS: Final = len(str(_MAX_INT64))


@dataclasses.dataclass(frozen=True)
class Target:
    """The model that a request is for, and what it asks of it."""

    # One of METHODS, STATUS or METADATA.
    method: str
    spec: model_pb2.ModelSpec


def parse(http_method: str, path: str) -> Target:
    """Returns what a request asks for.

    Args:
      http_method: Such as GET.
      path: As it was sent, with percent signs.

    Raises:
      InvalidArgumentError: There is nothing of the kind. Permanent.
    """
    if http_method == "GET" and (match := _GET.fullmatch(path)):
        method = METADATA if match["method"] else STATUS
        return Target(method, _spec(match))
    if (
        http_method == "POST"
        and (match := _POST.fullmatch(path))
        and match["method"] in METHODS
    ):
        return Target(match["method"], _spec(match))
    raise errors.InvalidArgumentError(
        f"Malformed request: {http_method} {path}"
    )


def _spec(match: re.Match[str]) -> model_pb2.ModelSpec:
    if not match["name"]:
        raise errors.InvalidArgumentError("Missing model name in request.")
    spec = model_pb2.ModelSpec(name=_decoded(match["name"]))
    if match["version"]:
        digits = match["version"].lstrip("0") or "0"
        if len(digits) > _MAX_DIGITS or int(digits) > _MAX_INT64:
            raise errors.InvalidArgumentError(
                f"Failed to convert version: {match['version']} to numeric."
            )
        spec.version.value = int(digits)
    elif match["label"]:
        spec.version_label = _decoded(match["label"])
    return spec


def _decoded(name: str) -> str:
    try:
        return urllib.parse.unquote(name, errors="strict")
    except UnicodeDecodeError:
        raise errors.InvalidArgumentError(
            f"name must be percent-encoded UTF-8; got {name}"
        ) from None
