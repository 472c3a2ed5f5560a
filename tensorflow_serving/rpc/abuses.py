"""Ways to abuse a server, each as something that one client does.

An abuse plays rounds against a port. Most rounds are one connection, which the
abuse floods until the server ends it; others open connections, and hold them.
"""

import collections
import contextlib
import dataclasses
import functools
import gzip
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import hpack

from tensorflow_serving.rpc import raw_client
from tensorflow_serving.rpc.http2 import frame_script, frames, header_block

_WATCH = "/grpc.health.v1.Health/Watch"
_UNKNOWN = "/no.Service/Method"
# How many frames, or calls, are sent at a time.
_CHUNK = 100


class Round:
    """A time for an abuse to be played, and what became of it.

    A context manager that closes all connections. Not thread-safe.
    """

    def __init__(
        self,
        connect: Callable[[], raw_client.RawClient],
        begin: Callable[[], None],
        goes_on: Callable[[], bool],
        rest: Callable[[], None],
    ) -> None:
        """Takes what an abuse needs.

        Args:
          connect: Returns a client of the server.
          begin: Called when all is prepared.
          goes_on: Returns whether there is still time.
          rest: Waits a moment; called when there is nothing more to do now.
        """
        self._connect = connect
        self._stack = contextlib.ExitStack()
        self.begin = begin
        self.goes_on = goes_on
        self.rest = rest
        # How often the server ended a connection, a stream or a call, by the
        # way in which it did.
        self.ends: collections.Counter[str] = collections.Counter()

    def connect(
        self, settings: Mapping[int, int] | None = None
    ) -> raw_client.RawClient:
        """Returns a connection that has sent its preface."""
        client = self.connect_silently()
        client.greet(settings)
        return client

    def connect_silently(self) -> raw_client.RawClient:
        """Returns a connection on which nothing was sent."""
        return self._stack.enter_context(self._connect())

    def see(self, client: raw_client.RawClient) -> None:
        """Counts what has come, and drops it."""
        client.poll()
        for frame in client.drop_frames():
            if frame.kind == frames.RST_STREAM:
                self.ends[f"RST_STREAM {frame.error_code.name}"] += 1
            elif (
                frame.kind == frames.HEADERS and frame.flags & frames.END_STREAM
            ):
                self.ends["answer"] += 1

    def finish(self, client: raw_client.RawClient) -> None:
        """Counts how a connection ended, and closes it."""
        self.see(client)
        if client.goaway_code is not None:
            self.ends[f"GOAWAY {client.goaway_code.name}"] += 1
        elif client.is_over:
            self.ends["closed"] += 1
        else:
            self.ends["open"] += 1
        client.close()

    def __enter__(self) -> "Round":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes all connections."""
        self._stack.close()


@dataclasses.dataclass(frozen=True)
class Abuse:
    """Something that a client should not do."""

    name: str
    # Plays it until the server ends the connection, or goes_on() returns False.
    play: Callable[[Round], None]
    # Whether the server is to be one with TLS, and connections begin without.
    needs_tls: bool = False


def all_abuses(echo_path: str) -> Sequence[Abuse]:
    """Returns all abuses, for a server with an echo method.

    Args:
      echo_path: The name of the method on the wire.
    """
    return [
        *(
            Abuse(name, functools.partial(_flood, chunks))
            for name, chunks in _floods(echo_path).items()
        ),
        *(Abuse(name, play) for name, play in _holds(echo_path).items()),
        Abuse("half_tls", _half_handshakes, needs_tls=True),
    ]


# Yields what to send next, forever.
_Chunks = Callable[[], Iterator[bytes]]


def _floods(echo_path: str) -> Mapping[str, _Chunks]:
    """Returns what a connection sends until the server ends it, by its name."""
    return {
        "rapid_reset": _rapid_resets,
        "delayed_reset": functools.partial(_delayed_resets, echo_path),
        "continuation_flood": _continuations,
        "settings_flood": _repeat(frames.settings({})),
        "ping_flood": _repeat(frame_script.ping()),
        "window_updates": _repeat(frames.window_update(0, 1)),
        "empty_data": functools.partial(_empty_data, echo_path),
        "hpack_bomb": _hpack_bombs,
        "large_heads": _large_heads,
        "malformed": functools.partial(_heads, [(b":method", b"POST")]),
        "refused_streams": functools.partial(_refused_streams, echo_path),
        "no_grpc": functools.partial(_heads, _NO_GRPC),
        "unknown_method": functools.partial(
            _heads, raw_client.head_fields(_UNKNOWN)
        ),
        "announced_4_gb": functools.partial(_announced, echo_path),
        "gzip_bombs": functools.partial(_gzip_bombs, echo_path),
        "churning_watches": _churning_watches,
    }


def _holds(echo_path: str) -> Mapping[str, Callable[[Round], None]]:
    """Returns what takes several connections, or more than sending."""
    closed = {frames.INITIAL_WINDOW_SIZE: 0}
    return {
        "closed_windows": functools.partial(
            _hold, 4, functools.partial(_calls, echo_path), closed
        ),
        "byte_by_byte_windows": functools.partial(
            _open_windows_by_bytes, echo_path
        ),
        "unfinished_messages": functools.partial(
            _hold, 4, functools.partial(_unfinished, echo_path), None
        ),
        "slow_bytes": functools.partial(_send_slowly, echo_path),
        "idle_connections": functools.partial(_hold, 10_000, _nothing, None),
        "churning_connections": _reconnect,
        "never_reads": functools.partial(_never_read, echo_path),
        "dying_clients": functools.partial(_die, echo_path),
    }


def ordinary_calls(echo_path: str) -> Abuse:
    """Returns what is no abuse, to compare with: calls, 100 at a time."""
    return Abuse("ordinary_calls", functools.partial(_call, echo_path))


def _call(path: str, this_round: Round) -> None:
    client = this_round.connect()
    this_round.begin()
    for stream_ids in _stream_ids():
        client.send(_requests(path, stream_ids))
        for stream_id in stream_ids:
            client.answer(stream_id)
            this_round.ends["answer"] += 1
        if client.is_over or not this_round.goes_on():
            break
    this_round.finish(client)


def _flood(chunks: _Chunks, this_round: Round) -> None:
    client = this_round.connect()
    this_round.begin()
    for chunk in chunks():
        client.send(chunk)
        this_round.see(client)
        if client.is_over or not this_round.goes_on():
            break
    client.settle()
    this_round.finish(client)


def _repeat(frame: bytes) -> _Chunks:
    return functools.partial(itertools.repeat, frame * _CHUNK)


def _stream_ids() -> Iterator[range]:
    """Yields the numbers of the streams of each chunk."""
    for start in itertools.count(1, 2 * _CHUNK):
        yield range(start, start + 2 * _CHUNK, 2)


def _blocks(fields: Sequence[header_block.Field]) -> Iterator[bytes]:
    """Yields blocks with the same fields, the later ones as small as it gets.

    HPACK keeps the fields of the first one in a table.
    """
    encoder = hpack.Encoder()
    for _ in range(2):
        block = encoder.encode(fields)
        yield block
    yield from itertools.repeat(block)


def _heads(
    fields: Sequence[header_block.Field], *, ends: bool = True
) -> Iterator[bytes]:
    """Yields calls with nothing but a head."""
    blocks = _blocks(fields)
    for stream_ids in _stream_ids():
        yield b"".join(
            frame_script.headers(stream_id, next(blocks), ends=ends)
            for stream_id in stream_ids
        )


_NO_GRPC = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/"),
    (b"content-type", b"text/html"),
]


def _rapid_resets() -> Iterator[bytes]:
    blocks = _blocks(raw_client.head_fields(_UNKNOWN))
    for stream_ids in _stream_ids():
        yield b"".join(
            frame_script.headers(stream_id, next(blocks))
            + frames.rst_stream(stream_id, frames.ErrorCode.CANCEL)
            for stream_id in stream_ids
        )


def _delayed_resets(path: str) -> Iterator[bytes]:
    """Yields calls, which are begun, and in a packet of their own their end."""
    for stream_ids in _stream_ids():
        yield _requests(path, stream_ids)
        yield _resets(stream_ids)


def _requests(path: str, stream_ids: range, message: bytes = b"x") -> bytes:
    return b"".join(
        raw_client.request(stream_id, path, message) for stream_id in stream_ids
    )


def _resets(stream_ids: range) -> bytes:
    return b"".join(
        frames.rst_stream(stream_id, frames.ErrorCode.CANCEL)
        for stream_id in stream_ids
    )


def _continuations() -> Iterator[bytes]:
    yield frame_script.headers(1, b"", flags=0)
    yield from itertools.repeat(frame_script.continuation(1, flags=0) * _CHUNK)


def _empty_data(path: str) -> Iterator[bytes]:
    yield raw_client.head(1, path)
    yield from itertools.repeat(frame_script.data(1, b"") * _CHUNK)


def _hpack_bombs() -> Iterator[bytes]:
    """Yields a field of 4,000 bytes, and blocks that repeat it by a byte."""
    encoder = hpack.Encoder()
    fields = [*raw_client.head_fields(_UNKNOWN), (b"x", b"y" * 4_000)]
    first = encoder.encode(fields)
    again = encoder.encode(fields) + encoder.encode([fields[-1]]) * 10_000
    yield frame_script.headers(1, first)
    for stream_id in itertools.count(3, 2):
        yield frame_script.headers(stream_id, again)


def _large_heads() -> Iterator[bytes]:
    """Yields heads that are allowed, and as hard to decode as it gets."""
    # Huffman codes of 5 bits, of which each is decoded by itself.
    fields = raw_client.head_fields(_UNKNOWN, [(b"x", b"e" * 15_000)])
    block = hpack.Encoder().encode(fields)
    for stream_id in itertools.count(1, 2):
        other = header_block.encode([(b"number", b"%d" % stream_id)])
        yield frame_script.headers(stream_id, block + other, ends=True)


def _refused_streams(path: str) -> Iterator[bytes]:
    """Yields calls that never get their message: too many at once."""
    return _heads(raw_client.head_fields(path), ends=False)


def _announced(path: str) -> Iterator[bytes]:
    """Yields the first bytes of messages of 4 GB."""
    blocks = _blocks(raw_client.head_fields(path))
    prefix = b"\x00" + b"\xff" * 4
    for stream_ids in _stream_ids():
        yield b"".join(
            frame_script.headers(stream_id, next(blocks))
            + frame_script.data(stream_id, prefix)
            for stream_id in stream_ids
        )


def _gzip_bombs(path: str) -> Iterator[bytes]:
    bomb = gzip.compress(bytes(16 << 20))
    payload = b"\x01" + len(bomb).to_bytes(4, "big") + bomb
    for stream_ids in _stream_ids():
        for stream_id in stream_ids:
            yield (
                raw_client.head(stream_id, path, [(b"grpc-encoding", b"gzip")])
                + frame_script.data(stream_id, payload[: len(payload) // 2])
                + frame_script.data(
                    stream_id, payload[len(payload) // 2 :], ends=True
                )
            )


def _churning_watches() -> Iterator[bytes]:
    for stream_ids in _stream_ids():
        yield _requests(_WATCH, stream_ids, b"")
        yield _resets(stream_ids)


# Connections that are held.


def _hold(
    num_connections: int,
    begin: Callable[[], bytes],
    settings: Mapping[int, int] | None,
    this_round: Round,
) -> None:
    """Opens connections that begin with the same bytes, and holds them."""
    first = begin()
    clients = []
    for _ in range(num_connections):
        client = this_round.connect(settings)
        client.send(first)
        clients.append(client)
    this_round.begin()
    while this_round.goes_on():
        this_round.rest()
    for client in clients:
        this_round.finish(client)


def _reconnect(this_round: Round) -> None:
    """Opens connections, and closes them at once."""
    this_round.begin()
    while this_round.goes_on():
        this_round.finish(this_round.connect())


def _nothing() -> bytes:
    return b""


def _calls(path: str) -> bytes:
    """Returns as many calls as a client may make at once."""
    return _requests(path, range(1, 512, 2), b"x" * 1000)


def _unfinished(path: str) -> bytes:
    """Returns calls whose messages lack their end."""
    size = 4 << 20
    part = b"\x00" + size.to_bytes(4, "big") + bytes(16_000)
    return b"".join(
        raw_client.head(stream_id, path) + frame_script.data(stream_id, part)
        for stream_id in range(1, 512, 2)
    )


def _open_windows_by_bytes(path: str, this_round: Round) -> None:
    """Lets each reply come byte by byte."""
    client = this_round.connect({frames.INITIAL_WINDOW_SIZE: 0})
    stream_ids = range(1, 2 * _CHUNK, 2)
    client.send(_requests(path, stream_ids, b"x" * 60_000))
    updates = b"".join(
        frames.window_update(stream_id, 1) for stream_id in stream_ids
    )
    this_round.begin()
    while not client.is_over and this_round.goes_on():
        client.send(updates)
        this_round.see(client)
    client.settle()
    this_round.finish(client)


def _send_slowly(path: str, this_round: Round) -> None:
    """Sends a byte on each of many connections after each rest."""
    data = raw_client.request(1, path, bytes(10_000))
    clients = [this_round.connect() for _ in range(200)]
    this_round.begin()
    for index in range(len(data)):
        if not this_round.goes_on():
            break
        for client in clients:
            client.send(data[index : index + 1])
        this_round.rest()
    for client in clients:
        this_round.finish(client)


def _never_read(path: str, this_round: Round) -> None:
    """Calls as long as the server reads, and reads no reply."""
    client = this_round.connect()
    this_round.begin()
    for stream_ids in _stream_ids():
        rest = _requests(path, stream_ids, b"x" * 1000)
        while rest:
            if size := client.push(rest):
                rest = rest[size:]
            elif client.is_over or not this_round.goes_on():
                this_round.finish(client)
                return
            else:
                this_round.rest()


def _die(path: str, this_round: Round) -> None:
    """Makes 4,000 calls, and is gone before the replies."""
    calls = _requests(path, range(1, 500, 2))
    this_round.begin()
    clients = [this_round.connect() for _ in range(16)]
    for client in clients:
        client.send(calls)
    this_round.rest()
    for client in clients:
        this_round.finish(client)


def _half_handshakes(this_round: Round) -> None:
    """Begins the handshakes of TLS, and goes on with none of them."""
    clients = [this_round.connect_silently() for _ in range(1000)]
    for client in clients:
        client.send(CLIENT_HELLO_START)
    this_round.begin()
    while this_round.goes_on():
        this_round.rest()
    for client in clients:
        this_round.finish(client)


# The header of a TLS record (type, version, length), and of a message in it.
CLIENT_HELLO_START = bytes.fromhex("16030102000100")
