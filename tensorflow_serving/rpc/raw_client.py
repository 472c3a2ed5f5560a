"""A client that sends whatever it is given, for tests and for abuse."""

import collections
import dataclasses
import math
import select
import socket
import ssl
from collections.abc import Mapping, Sequence

import hpack

from tensorflow_serving.rpc import message_frame
from tensorflow_serving.rpc.http2 import frame_script, frames, header_block

# Longer than anything that a test waits for.
_PATIENCE_SECONDS = 60.0
_READ_BYTES = 1 << 17
_BIG_WINDOW_BYTES = 1 << 30


@dataclasses.dataclass(frozen=True)
class Frame:
    """A frame of the server."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes

    @property
    def error_code(self) -> frames.ErrorCode:
        """The code in a GOAWAY or an RST_STREAM."""
        start = 4 if self.kind == frames.GOAWAY else 0
        return frames.ErrorCode.from_bytes(
            self.payload[start : start + 4], "big"
        )


@dataclasses.dataclass(frozen=True)
class Answer:
    """The response to a call."""

    # All header fields and trailers.
    fields: Mapping[str, str]
    # The payload of all DATA frames.
    data: bytes
    # Why the server reset the stream; None if it did not.
    reset_code: frames.ErrorCode | None = None

    @property
    def status(self) -> int | None:
        """The code of gRPC; None if there is none."""
        status = self.fields.get("grpc-status")
        return None if status is None else int(status)


class RawClient:
    """An HTTP/2 connection whose frames are made by hand.

        with RawClient.connect(port) as client:
            client.greet()
            client.send(request(1, "/package.Service/Method", b"message"))
            answer = client.answer(1)

    It reads while it sends, so that neither side waits for the other. What the
    server does to the connection is no error here, but `is_over`.

    A context manager that closes the socket. Not thread-safe.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Takes over a connected socket, encrypted or not."""
        self._socket = sock
        sock.setblocking(False)
        self._decoder = hpack.Decoder(1 << 20)
        self._rest = b""
        self._unread: collections.deque[Frame] = collections.deque()
        # Whether the server has closed its side, or reset the connection.
        self.is_over = False
        # Whether its GOAWAY was among what came, and with which code.
        self.goaway_code: frames.ErrorCode | None = None

    @classmethod
    def connect(cls, port: int, host: str = "127.0.0.1") -> "RawClient":
        """Returns a client of a port of this machine."""
        sock = socket.create_connection((host, port), _PATIENCE_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(sock)

    def fileno(self) -> int:
        """Returns the descriptor of the socket."""
        return self._socket.fileno()

    def greet(self, settings: Mapping[int, int] | None = None) -> None:
        """Sends the preface, settings, and a large window.

        Args:
          settings: None for a large window of each stream.
        """
        if settings is None:
            settings = {frames.INITIAL_WINDOW_SIZE: _BIG_WINDOW_BYTES}
        self.send(
            frames.PREFACE
            + frames.settings(settings)
            + frames.window_update(0, _BIG_WINDOW_BYTES)
        )

    def send(self, data: bytes) -> None:
        """Sends bytes, and keeps those that arrive in the meantime.

        Stops early when the server closes.

        Raises:
          TimeoutError: Neither side moved for a long time.
        """
        rest = memoryview(data)
        while rest and not self.is_over:
            readable, writable = self._wait(select.POLLIN | select.POLLOUT)
            if writable:
                rest = rest[self._send_some(rest) :]
            if readable and not self.is_over:
                self._receive()

    def push(self, data: bytes) -> int:
        """Sends what the socket takes at once, without reading."""
        return self._send_some(memoryview(data))

    def read_frame(self) -> Frame | None:
        """Returns the next frame; None after the last one of all.

        Raises:
          TimeoutError: Nothing came for a long time.
        """
        while not self._unread:
            if self.is_over:
                return None
            self._wait(select.POLLIN)
            self._receive()
        return self._unread.popleft()

    def wait_for(self, kind: int, stream_id: int = 0) -> Frame | None:
        """Returns the next frame of a type on a stream; None at the end.

        Drops those before it.
        """
        while (frame := self.read_frame()) is not None:
            if (frame.kind, frame.stream_id) == (kind, stream_id):
                return frame
        return None

    def wait_for_end(self) -> None:
        """Returns once the server has closed the connection."""
        while self.read_frame() is not None:
            pass

    def settle(self) -> None:
        """Returns once the server has handled all that was sent.

        Keeps what came before that.
        """
        self.send(frame_script.ping(b"settled?"))
        kept: list[Frame] = []
        while (frame := self.read_frame()) is not None:
            if (frame.kind, frame.payload) == (frames.PING, b"settled?"):
                break
            kept.append(frame)
        self._unread.extendleft(reversed(kept))

    def leave_when_asked(self) -> None:
        """Waits until the server says goodbye, answers, and closes at its end.

        Drops all frames.
        """
        self.wait_for(frames.GOAWAY)
        ping = self.wait_for(frames.PING)
        if ping is not None:
            self.send(frame_script.ping(ping.payload, flags=frames.ACK))
        self.wait_for_end()
        self.close()

    def poll(self) -> None:
        """Keeps what has come, without waiting."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        while not self.is_over and poller.poll(0):
            self._receive()

    def drop_frames(self) -> Sequence[Frame]:
        """Removes and returns what was kept."""
        kept = list(self._unread)
        self._unread.clear()
        return kept

    def answer(self, stream_id: int) -> Answer:
        """Returns the whole response on a stream; drops other frames.

        Header blocks must be read in their order: it decodes those of other
        streams as well.
        """
        fields: dict[str, str] = {}
        data = bytearray()
        while (frame := self.read_frame()) is not None:
            block: dict[str, str] = {}
            if frame.kind == frames.HEADERS:
                block = {
                    str(name): str(value)
                    for name, value in self._decoder.decode(frame.payload)
                }
            if frame.stream_id != stream_id:
                continue
            fields |= block
            if frame.kind == frames.DATA:
                data += frame.payload
            elif frame.kind == frames.RST_STREAM:
                return Answer(fields, bytes(data), frame.error_code)
            if (
                frame.kind in (frames.DATA, frames.HEADERS)
                and frame.flags & frames.END_STREAM
            ):
                break
        return Answer(fields, bytes(data))

    def close(self) -> None:
        """Closes the socket. Idempotent."""
        self._socket.close()

    def __enter__(self) -> "RawClient":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the socket."""
        self.close()

    def _wait(self, events: int) -> tuple[bool, bool]:
        """Waits for any of the events; returns whether to read and to write."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True, False
        poller = select.poll()
        poller.register(self._socket, events)
        ready = poller.poll(math.ceil(_PATIENCE_SECONDS * 1000))
        if not ready:
            raise TimeoutError("the server must move; it did not for a minute")
        found = ready[0][1]
        is_broken = bool(found & (select.POLLHUP | select.POLLERR))
        return (
            is_broken or bool(found & select.POLLIN),
            bool(found & select.POLLOUT),
        )

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            data = b""
        if not data:
            self.is_over = True
            return
        data = self._rest + data
        position = 0
        while len(data) - position >= frames.HEADER_BYTES:
            high, low, kind, flags, stream_id = frames.HEADER.unpack_from(
                data, position
            )
            start = position + frames.HEADER_BYTES
            end = start + (high << 16 | low)
            if end > len(data):
                break
            frame = Frame(kind, flags, stream_id, data[start:end])
            if kind == frames.GOAWAY:
                self.goaway_code = frame.error_code
            self._unread.append(frame)
            position = end
        self._rest = data[position:]

    def _send_some(self, data: memoryview) -> int:
        try:
            return self._socket.send(data[:_READ_BYTES])
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except OSError:
            # Earlier bytes of the server may still be there.
            self._receive()
            return len(data) if self.is_over else 0


def head_fields(
    path: str, extra: Sequence[header_block.Field] = ()
) -> list[header_block.Field]:
    """Returns the header fields of a call."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        *extra,
    ]


def head(
    stream_id: int,
    path: str,
    extra: Sequence[header_block.Field] = (),
    *,
    ends: bool = False,
) -> bytes:
    """Returns the HEADERS frame of a call, which changes no HPACK table."""
    return frame_script.headers(
        stream_id, header_block.encode(head_fields(path, extra)), ends=ends
    )


def request(
    stream_id: int,
    path: str,
    message: bytes,
    extra: Sequence[header_block.Field] = (),
) -> bytes:
    """Returns the frames of a whole call with one message."""
    return head(stream_id, path, extra) + frame_script.data(
        stream_id, message_frame.frame(message), ends=True
    )
