"""Options of a server by the names that gRPC's core has for them.

Example:
    text = "grpc.max_connection_age_ms=2000,grpc.max_concurrent_streams=100"
    options = channel_arguments.applied(text, options)

The names: include/grpc/impl/channel_arg_names.h of grpc/grpc. Each value is a
number; the largest one, 2147483647, stands for no limit.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final

from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc.http2 import frames
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.util import errors

_INFINITE: Final = 2**31 - 1

# The fields of Limits that take a number as it is, and those that take
# milliseconds, of which 0 in a field is no limit.
_NUMBERS: Final = {
    "grpc.http2.max_frame_size": "max_frame_bytes",
    "grpc.max_concurrent_streams": "max_concurrent_streams",
    "grpc.max_metadata_size": "max_header_list_bytes",
}
_PERIODS: Final = {
    "grpc.keepalive_time_ms": "keep_alive_seconds",
    "grpc.max_connection_age_ms": "max_age_seconds",
    "grpc.max_connection_idle_ms": "max_idle_seconds",
}
_TIMES: Final = {
    "grpc.keepalive_timeout_ms": "keep_alive_timeout_seconds",
    "grpc.max_connection_age_grace_ms": "max_age_grace_seconds",
    "grpc.server_handshake_timeout_ms": "handshake_seconds",
}
_MAX_REQUEST: Final = "grpc.max_receive_message_length"
_REUSE_PORT: Final = "grpc.so_reuseport"
_HONOURED: Final = {
    *_NUMBERS,
    *_PERIODS,
    *_TIMES,
    _MAX_REQUEST,
    _REUSE_PORT,
}
# A server does this anyway.
_AS_IT_IS: Final = {
    "grpc.keepalive_permit_without_calls": "1",
    "grpc.max_send_message_length": "-1",
    "grpc.so_reuseaddr": "1",
}


def without_effect(text: str) -> list[str]:
    """Returns the names of arguments that a server cannot honour.

    Raises:
      InvalidArgumentError: See applied().
    """
    return [
        name
        for name, value in _parse(text).items()
        if name not in _HONOURED and _AS_IT_IS.get(name) != value
    ]


def applied(text: str, options: options_lib.Options) -> options_lib.Options:
    """Returns options with what arguments say; see without_effect().

    Raises:
      InvalidArgumentError: The text is not a list of name=value, or a value is
        not a number, or out of range. Permanent.
    """
    numbers = {
        name: _number(name, value)
        for name, value in _parse(text).items()
        if name in _HONOURED
    }
    changes: dict[str, Any] = {}
    if _MAX_REQUEST in numbers:
        size = numbers[_MAX_REQUEST]
        changes["max_request_bytes"] = _INFINITE if size == -1 else size
    if _REUSE_PORT in numbers:
        changes["reuse_port"] = bool(numbers[_REUSE_PORT])
    try:
        changes["limits"] = _limits(numbers, options.limits)
        return dataclasses.replace(options, **changes)
    except errors.InvalidArgumentError as error:
        raise errors.InvalidArgumentError(
            f"channel arguments must be in range; got {text} ({error})"
        ) from None


def _parse(text: str) -> Mapping[str, str]:
    arguments = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.strip().partition("=")
        if not name or not equals:
            raise errors.InvalidArgumentError(
                "channel arguments must be a list such as "
                "grpc.max_connection_age_ms=2000,grpc.max_concurrent_streams="
                f"100; got {part}"
            )
        arguments[name] = value
    return arguments


def _number(name: str, value: str) -> int:
    try:
        number = int(value)
    except ValueError:
        number = _INFINITE + 1
    if not -1 <= number <= _INFINITE:
        raise errors.InvalidArgumentError(
            f"channel argument {name} must be a whole number from -1 to "
            f"{_INFINITE}; got {value}"
        )
    return number


def _limits(
    numbers: Mapping[str, int], limits: limits_lib.Limits
) -> limits_lib.Limits:
    changes: dict[str, float] = {}
    for name, number in numbers.items():
        if name in _NUMBERS:
            changes[_NUMBERS[name]] = number
        elif name in _PERIODS:
            errors.require_at_least(1, **{name: number})
            changes[_PERIODS[name]] = (
                0.0 if number == _INFINITE else number / 1000
            )
        elif name in _TIMES:
            changes[_TIMES[name]] = (
                math.inf if number == _INFINITE else number / 1000
            )
    most = frames.MAX_WINDOW_BYTES // limits.stream_window_bytes
    if "max_concurrent_streams" in changes:
        changes["max_concurrent_streams"] = min(
            changes["max_concurrent_streams"], most
        )
    if "max_header_list_bytes" in changes:
        changes["max_decoded_header_bytes"] = max(
            changes["max_header_list_bytes"], limits.max_decoded_header_bytes
        )
    return dataclasses.replace(limits, **changes)  # type: ignore[arg-type]
