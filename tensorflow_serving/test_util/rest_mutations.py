"""Breaks requests to the REST API, for tests of servers.

Some have a body whose bytes differ from a whole one; others are JSON with
values, keys and depths that no client means; others ask for what is not there;
and some break the rules of HTTP itself.

The format: https://www.rfc-editor.org/rfc/rfc9112
"""

import dataclasses
import gzip
import json
import random
from collections.abc import Iterator
from typing import Any, Final

from tensorflow_serving.servables.tensorflow import model_mutations
from tensorflow_serving.test_util import rest_cases

# Values of JSON, some of them only almost.
_VALUES: Final = (
    *("0", "-0", "1", "1.0", "-1e38", "1e39", "1e400", "1e-400", "01", "+1"),
    *(
        "NaN",
        "-Infinity",
        "Infinity",
        "nan",
        "null",
        "true",
        "[]",
        "{}",
        "[[]]",
    ),
    *("9223372036854775807", "-9223372036854775809", "18446744073709551616"),
    *('""', '"x"', '"\\ud800"', '"\\u0000"', '"\\u00e9"', '"%s{}"', "'x'", ""),
    *('{"b64": "eA=="}', '{"b64": "eA"}', '{"b64": "*"}', '{"b64": 1}'),
    *('{"b64": "eA==", "x": 1}', '{"x": 1}', '{"x": [1, 2], "x": [3]}'),
    *("[1, [2]]", "[[1], [2, 3]]", '[1, "x"]', "[1.5, null]", "[1, 2, 3"),
)
_KEYS: Final = (
    *("instances", "inputs", "signature_name", "examples", "context", "x"),
    *("y", "b64", "", "\u00e9", "a" * 300),
)
_SIGNATURES: Final = (
    *("types", "echo", "no_rows", "defaults", "broken_classify", "nothing"),
    *("regress", "classify", "regress_column", "broken_regress"),
)
# Above the limits of all parsers.
_DEPTHS: Final = (10, 63, 64, 65, 1000, 1025, 100_000)
_METHODS: Final = (
    *("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get"),
    "PROPFIND",
)
_PATH_PARTS: Final = (
    *("%2F", "%00", "%ff", "%", "%zz", "..", "//", ":", "?", "#", "*", ";"),
    *("/versions/7", "/versions/8", "/versions/07", "/versions/-1"),
    *(f"/versions/{10**30}", "/labels/x", "/labels/", "/metadata", "\u00e9"),
    *(":predict", ":PREDICT", ":run", "a" * 3000),
)
_PATHS: Final = (
    *(
        "/",
        "*",
        "",
        "x",
        "//v1/models/small",
        "/v1/",
        "/v1/models",
        "/v1/config",
    ),
    *("/v1/models/", "/healthz", "/readyz", "/readyz/small", "/readyz/%ff"),
    *("/metrics", "/monitoring/prometheus/metrics", "http://localhost/healthz"),
)
_HEADERS: Final = (
    ("Accept-Encoding", "gzip;q=x, *"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Content-Type", "text/plain; charset=utf-16"),
    ("Content-Encoding", "br"),
    ("Content-Encoding", "identity"),
    ("Expect", "200-maybe"),
    ("Host", ""),
    ("Origin", "http://x"),
    ("Upgrade", "websocket"),
    ("Connection", "upgrade, close"),
    ("Connection", "keep-alive, TE"),
    ("Range", "bytes=0-1"),
    ("X-Long", "a" * 9000),
    ("X-Latin", "\u00e9\udcff"),
)
_LENGTHS: Final = (
    *("-1", "+5", "0x10", "5, 5", "5\r\nContent-Length: 6", "", "1e3"),
    *("0", "1", "18446744073709551617", "1073741824", "9" * 30),
)
_CHUNKS: Final = (
    *(b"zz\r\nx\r\n", b"-1\r\nx\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"\r\n\r\n"),
    *(
        b"ffffffffffffffff\r\nx",
        b"10000000000000000\r\nx",
        b"5;a=" + b"b" * 999,
    ),
    b"0\r\nContent-Length: 5\r\nx: y\r\n\r\n",
)


def mutate(request: rest_cases.Request, seed: int) -> rest_cases.Request:
    """Returns a request that keeps to HTTP; the same one for the same seed.

    Args:
      request: A whole one.
      seed: At least 0.
    """
    chance = random.Random(seed)
    kind = seed % 4
    if kind == 0:
        body = model_mutations.mutate_bytes(request.body, chance)
        return dataclasses.replace(request, body=body)
    if kind == 1:
        return dataclasses.replace(request, body=_mutate_json(request, chance))
    if kind == 2:
        return _mutate_target(request, chance)
    return _compressed(request, chance)


def mutate_http(request: rest_cases.Request, seed: int) -> bytes:
    """Returns a request that breaks HTTP; the same one for the same seed."""
    chance = random.Random(seed)
    data = request.serialized()
    match chance.randrange(5):
        case 0:
            return model_mutations.mutate_bytes(data, chance)
        case 1:
            length = {"Content-Length": chance.choice(_LENGTHS)}
            return dataclasses.replace(request, headers=length).serialized()
        case 2:
            head = {"Transfer-Encoding": "chunked", "Content-Length": ""}
            chunked = dataclasses.replace(request, body=b"", headers=head)
            start = chunked.serialized().replace(b"Content-Length: \r\n", b"")
            return start + _chunks(request.body, chance)
        case 3:
            both = {"Transfer-Encoding": chance.choice(("chunked", "x, gzip"))}
            return dataclasses.replace(request, headers=both).serialized()
        case _:
            return data[: chance.randrange(len(data))] + data


def _mutate_json(request: rest_cases.Request, chance: random.Random) -> bytes:
    """Replaces, adds, doubles and nests values."""
    document = json.loads(request.body or b'{"inputs": [1]}')
    places = [*_places(document)]
    for _ in range(chance.choice((1, 1, 2, 3))):
        owner, key = chance.choice(places)
        marks: list[Any] = [
            f"<{chance.randrange(len(_VALUES))}>",
            1,
            2.5,
            "x",
            [],
            {},
        ]
        match chance.randrange(5):
            case 0:
                owner[key] = [owner[key]] * chance.choice((0, 1, 2, 300))
            case 1 if isinstance(owner, dict):
                owner[chance.choice(_KEYS)] = chance.choice(marks)
            case 2 if isinstance(owner, dict):
                owner[key] = {chance.choice(_KEYS): owner[key]}
            case _:
                owner[key] = marks[0]
    if chance.random() < 0.2:
        document["signature_name"] = chance.choice(_SIGNATURES)
    text = json.dumps(document)
    for number, value in enumerate(_VALUES):
        text = text.replace(f'"<{number}>"', value)
    if chance.random() < 0.05:
        depth = chance.choice(_DEPTHS)
        text = text.replace("[", "[" * depth, 1)
        if chance.random() < 0.7:
            text = text.replace("]", "]" * depth, 1)
    if chance.random() < 0.05:
        text += chance.choice(("x", "{}", "\0", "\n", "]", " " * 1000))
    encoding = chance.choice(("utf-8",) * 20 + ("utf-8-sig", "utf-16"))
    return text.encode(encoding)


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yields the owner and the key of each value in a document."""
    if isinstance(document, dict):
        keys: list[Any] = [*document]
    else:
        keys = [*range(len(document))] if isinstance(document, list) else []
    for key in keys:
        yield document, key
        yield from _places(document[key])


def _mutate_target(
    request: rest_cases.Request, chance: random.Random
) -> rest_cases.Request:
    """Changes the method, the path and the headers."""
    method, path, headers = request.method, request.path, {}
    if chance.random() < 0.3:
        method = chance.choice(_METHODS)
    if chance.random() < 0.2:
        path = chance.choice(_PATHS)
    elif chance.random() < 0.7:
        at = chance.randrange(len(path) + 1)
        other = chance.randrange(len(path) + 1)
        path = path[:at] + chance.choice(_PATH_PARTS) + path[other:]
    if chance.random() < 0.5:
        headers = dict(chance.choices(_HEADERS, k=chance.choice((1, 2, 5))))
    return rest_cases.Request(method, path, request.body, headers)


def _compressed(
    request: rest_cases.Request, chance: random.Random
) -> rest_cases.Request:
    """Compresses a body, rightly or not."""
    body = request.body
    match chance.randrange(5):
        case 0:
            body = _zipped(body)
        case 1:
            body = model_mutations.mutate_bytes(_zipped(body), chance)
        case 2:
            body = _zipped(body)[: chance.randrange(40)]
        case 3:
            body = _zipped(body) + _zipped(body)
    coding = chance.choice(("gzip", "x-gzip", "GZIP", "deflate, gzip"))
    return dataclasses.replace(
        request, body=body, headers={"Content-Encoding": coding}
    )


def _chunks(body: bytes, chance: random.Random) -> bytes:
    """Returns a body in chunks, most of them broken."""
    parts = []
    while body:
        size = chance.choice((1, 3, 50, 1000))
        part, body = body[:size], body[size:]
        parts.append(b"%x\r\n%s\r\n" % (len(part), part))
    parts.append(b"0\r\n\r\n")
    if chance.random() < 0.8:
        parts.insert(chance.randrange(len(parts)), chance.choice(_CHUNKS))
    return b"".join(parts)


def _zipped(body: bytes) -> bytes:
    """Returns a body with gzip, without the time: the seed decides all."""
    return gzip.compress(body, mtime=0)
