"""The lines of an access log, which no caller can forge.

Example:
    lines = access_log_lines.lines(calls, access_log_lines.Format.JSON)

A field that a call does not have is left out. In the format TEXT a line is

    time=2026-11-26T09:30:00.125000Z entrypoint=GRPC method=Predict model=m ...

with texts in quotes that are more than letters, digits and a few signs. In both
formats other characters than those of ASCII are escaped as in JSON, and texts
of callers are cut to 256 characters.
"""

import dataclasses
import enum
import functools
import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Final

_MAX_CHARACTERS: Final = 256
_MICROS: Final = 1_000_000
# Needs no quotes. Not every text: an equals sign would make a field of it.
_PLAIN: Final = re.compile(r"[\w./:+-]+", re.ASCII)

Value = str | int | None
Pairs = tuple[tuple[str, str | int], ...]


class Format(enum.Enum):
    """How a line looks; by the values of --access_log."""

    JSON = "json"
    TEXT = "text"


@dataclasses.dataclass(frozen=True, slots=True)
class Calls:
    """Calls that ended together, and get a line each."""

    # When they ended, in seconds since 1970.
    time: float
    # Fields that they share with many others, which are looked up at once.
    common: Pairs
    # The names of the other fields, and their values for each call.
    names: tuple[str, ...]
    values: Sequence[Sequence[Value]]


def lines(calls: Calls, style: Format) -> Iterator[str]:
    """Yields a line for each call, without its end."""
    quoted = _quoted if style is Format.JSON else _quoted_if_need_be
    iso_time = quoted(_iso_time(calls.time))
    kinds: tuple[type, ...] = ()
    for values in calls.values:
        # Neighbours nearly always have the same fields.
        own_kinds = tuple(map(type, values))
        if own_kinds != kinds:
            kinds = own_kinds
            template = _template(style, calls.common, calls.names, kinds)
        yield template % (
            iso_time,
            *[
                quoted(value) if isinstance(value, str) else value
                for value in values
                if value is not None
            ],
        )


@functools.lru_cache(maxsize=1_000)
def _template(
    style: Format,
    common: Pairs,
    names: Sequence[str],
    kinds: Sequence[type],
) -> str:
    """Returns a line with places for the time and for values of some kinds."""
    of_json = style is Format.JSON
    quoted = _quoted if of_json else _quoted_if_need_be
    fields = [("time", "%s")]
    for name, value in common:
        text = quoted(value) if isinstance(value, str) else str(value)
        fields.append((name, text.replace("%", "%%")))
    fields += [
        (name, "%s")
        for name, kind in zip(names, kinds, strict=True)
        if kind is not type(None)
    ]
    if of_json:
        line = ",".join(f'"{name}":{text}' for name, text in fields)
        return f"{{{line}}}"
    return " ".join(f"{name}={text}" for name, text in fields)


def _quoted_if_need_be(value: str) -> str:
    if len(value) <= _MAX_CHARACTERS and _PLAIN.fullmatch(value):
        return value
    return _quoted(value)


def _quoted(value: str) -> str:
    """Returns a text with quotes around it, and printable ASCII in it."""
    return json.encoder.encode_basestring_ascii(value[:_MAX_CHARACTERS])


def _iso_time(seconds: float) -> str:
    whole, micros = divmod(round(seconds * _MICROS), _MICROS)
    return f"{_date(whole)}.{micros:06d}Z"


@functools.lru_cache(maxsize=2)
def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
