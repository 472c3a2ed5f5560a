"""Connections to a server of HTTP as nobody should make them.

Example:
    ends = asyncio.run(
        broken_connections.make(
            port, 10_000, seconds=60.0, patience_seconds=45.0
        )
    )

Each is of one of the KINDS, in turn: slow, half, too large, not HTTP, or left
in the middle of something.
"""

import asyncio
import collections
import contextlib
import dataclasses
import gzip
import math
from collections.abc import Mapping
from typing import Final

# The model that whole requests are for.
MODEL: Final = "m0"

_PREDICT: Final = (
    b"POST /v1/models/%s:predict HTTP/1.1\r\nhost: a\r\n" % MODEL.encode()
)
_CHUNKED: Final = b"transfer-encoding: chunked\r\n\r\n"
_MANY: Final = 200
_SHORT_SECONDS: Final = 3.0


def _post(body: bytes, more: bytes = b"") -> bytes:
    return b"%s%scontent-length: %d\r\n\r\n%s" % (
        _PREDICT,
        more,
        len(body),
        body,
    )


@dataclasses.dataclass(frozen=True)
class Kind:
    """A way to break a connection."""

    # Sent at once.
    first: bytes
    # Sent each second from then on.
    each_second: bytes = b""
    # How long the client stays if the server does not end the connection.
    seconds: float = _SHORT_SECONDS
    # Whether it reads what the server sends.
    reads: bool = True
    # Whether it resets the connection as soon as all is sent.
    resets: bool = False


KINDS: Final[Mapping[str, Kind]] = {
    "silence": Kind(b""),
    "half a head": Kind(_PREDICT[:20], seconds=math.inf),
    "slow head": Kind(_PREDICT, b"a"),
    "half a body": Kind(_post(b"{" * 999)[:-99], seconds=math.inf),
    "slow body": Kind(_post(b"[" * 9999)[:-9000], b"["),
    "a gigabyte": Kind(_PREDICT + b"content-length: 1073741824\r\n\r\n{"),
    "broken chunks": Kind(_PREDICT + _CHUNKED + b"5\r\nabcdefgh\r\nzz\r\n"),
    "endless fields": Kind(
        _PREDICT + _CHUNKED + b"0\r\na: " + b"b" * 50_000, b"b" * 9000
    ),
    "bomb": Kind(
        _post(gzip.compress(bytes(100 << 20), 1), b"content-encoding: gzip\r\n")
    ),
    "deep": Kind(_post(b'{"instances": ' + b"[" * 100_000)),
    "half of TLS": Kind(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "unread answers": Kind(
        b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n" * _MANY, reads=False
    ),
    "reset": Kind(_post(b"[" * 9999)[:-9], resets=True),
    "left alone": Kind(_post(b'{"instances": [1]}'), resets=True),
}


async def make(
    port: int, num: int, *, seconds: float, patience_seconds: float
) -> dict[str, int]:
    """Makes connections at even distances; returns how they ended.

    Args:
      port: Where the server listens on this machine.
      num: How many connections.
      seconds: How long from the first one to the last one.
      patience_seconds: How long clients stay at most.
    """
    ends: collections.Counter[str] = collections.Counter()
    kinds = [*KINDS.items()]

    async def play(number: int) -> None:
        await asyncio.sleep(seconds * number / num)
        name, kind = kinds[number % len(kinds)]
        stays = min(kind.seconds, patience_seconds)
        end = await _play(port, dataclasses.replace(kind, seconds=stays))
        ends[f"{name}: {end}"] += 1

    await asyncio.gather(*map(play, range(num)))
    return dict(sorted(ends.items()))


async def _play(port: int, kind: Kind) -> str:
    """Makes one connection; returns who ended it, and the status it got."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        return f"not connected: {error.strerror}"
    received = bytearray()
    end = "left"
    try:
        writer.write(kind.first)
        if kind.resets:
            with contextlib.suppress(OSError):
                await writer.drain()
        elif not kind.reads:
            await asyncio.sleep(kind.seconds)
        else:
            await asyncio.wait_for(
                _converse(reader, writer, kind, received), kind.seconds
            )
            end = "ended"
    except asyncio.TimeoutError:
        pass
    finally:
        writer.transport.abort()
    return f"{end} {received[9:12].decode()}".rstrip()


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    kind: Kind,
    received: bytearray,
) -> None:
    """Reads, and goes on to send, until the server ends the connection."""

    async def send() -> None:
        while kind.each_second:
            await asyncio.sleep(1.0)
            writer.write(kind.each_second)

    sending = asyncio.create_task(send())
    try:
        while more := await reader.read(1 << 16):
            received += more
    except OSError:
        pass  # reset
    finally:
        sending.cancel()
