"""A client that sees the frames of one connection, through the library h2."""

import contextlib
import dataclasses
import socket
import ssl
import struct
from collections.abc import Callable, Sequence

import h2.config
import h2.connection
import h2.events
import h2.settings

# Longer than anything that a test waits for.
_TIMEOUT_SECONDS = 30.0

# The header of a frame: size, type, flags, stream; RFC 9113, section 4.1.
_FRAME_HEAD = struct.Struct(">HBBBI")
_GOAWAY = 0x7
# The prefix of a message: whether it is compressed, and its size.
_PREFIX = struct.Struct(">BI")

# No limit that a test would notice.
_WINDOW_BYTES = 1 << 30

Headers = Sequence[tuple[str, str]]


def message(data: bytes, *, is_compressed: bool = False) -> bytes:
    """Returns a message with its prefix, as it goes into a stream."""
    return _PREFIX.pack(is_compressed, len(data)) + data


@dataclasses.dataclass(frozen=True)
class GoAway:
    """A GOAWAY frame."""

    last_stream_id: int
    error_code: int
    text: bytes


@dataclasses.dataclass
class Response:
    """Everything that has come on a stream."""

    # The last value of each field counts.
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    # The messages that are whole, without their prefixes.
    messages: list[bytes] = dataclasses.field(default_factory=list)
    # The fields of the header block that ended the stream. A failure without a
    # message has only one block: these are then equal to `headers`.
    trailers: dict[str, str] = dataclasses.field(default_factory=dict)
    is_ended: bool = False
    reset_code: int | None = None
    # The part of a message.
    _unread: bytearray = dataclasses.field(default_factory=bytearray)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.is_ended or self.reset_code is not None

    @property
    def code(self) -> int:
        """The status of the call; -1 if there is none."""
        return int(self.trailers.get("grpc-status", "-1"))

    @property
    def text(self) -> str:
        """The text of the error, as it was sent."""
        return self.trailers.get("grpc-message", "")

    def add(self, data: bytes) -> None:
        """Adds data, which may be parts of messages."""
        self._unread += data
        while len(self._unread) >= _PREFIX.size:
            end = _PREFIX.size + _PREFIX.unpack_from(self._unread)[1]
            if len(self._unread) < end:
                break
            self.messages.append(bytes(self._unread[_PREFIX.size : end]))
            del self._unread[:end]


def _connect(
    port: int, tls: ssl.SSLContext | None, stack: contextlib.ExitStack
) -> socket.socket:
    """Returns a socket, which the stack closes."""
    sock = stack.enter_context(
        socket.create_connection(("127.0.0.1", port), _TIMEOUT_SECONDS)
    )
    if tls is None:
        return sock
    return stack.enter_context(
        tls.wrap_socket(
            sock,
            # An end without a goodbye of TLS is an error.
            suppress_ragged_eofs=False,
            server_hostname="localhost",
        )
    )


class H2Client:
    """One connection to a port of this machine.

        with H2Client(server.port) as client:
            stream_id = client.call("/package.Service/Method", b"request")
            response = client.response(stream_id)

    The library checks each frame of the server and raises ProtocolError for one
    that breaks a rule. It only does not see GOAWAY: it would then refuse the
    rest of the streams, which RFC 9113, section 6.8, allows.

    A context manager that closes the connection. Not thread-safe.
    """

    def __init__(
        self,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        window_bytes: int = _WINDOW_BYTES,
        is_silent: bool = False,
    ) -> None:
        """Connects, and sends the first frames.

        Args:
          port: Where the server listens, on 127.0.0.1.
          tls: How to encrypt the connection to "localhost".
          window_bytes: How much the server may send on the connection and on
            each stream; more after widen().
          is_silent: Whether to answer no PING and no SETTINGS at first.
        """
        # Whether the client answers no PING and no SETTINGS now.
        self.is_silent = is_silent
        # The frames in which the server asked to open no more streams.
        self.goaways: list[GoAway] = []
        # The payloads of the PING frames of the server.
        self.pings: list[bytes] = []
        # Whether the server has closed its side.
        self.is_closed = False
        self._has_answered = False
        self._responses: dict[int, Response] = {}
        self._unread = b""
        # Answers of the library to frames of the server, while it is silent.
        self._held = b""
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self._socket = _connect(port, tls, stack)
            self._stack = stack.pop_all()
        # Tests send what a real client would not.
        self._connection = h2.connection.H2Connection(
            h2.config.H2Configuration(
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                header_encoding="utf-8",
            )
        )
        self._connection.initiate_connection()
        self._connection.update_settings(
            {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window_bytes}
        )
        self._flush()
        self.widen(window_bytes)

    def call(
        self, path: str, request: bytes = b"", headers: Headers = ()
    ) -> int:
        """Sends a whole request of gRPC; returns its stream."""
        stream_id = self.begin(path, headers)
        self.send(stream_id, message(request), ends=True)
        return stream_id

    def begin(
        self,
        path: str,
        headers: Headers = (),
        *,
        method: str = "POST",
        content_type: str = "application/grpc",
        ends: bool = False,
    ) -> int:
        """Sends the head of a request; returns its stream."""
        stream_id = self._connection.get_next_available_stream_id()
        self._connection.send_headers(
            stream_id,
            [
                (":method", method),
                (":scheme", "http"),
                (":authority", "localhost"),
                (":path", path),
                ("te", "trailers"),
                ("content-type", content_type),
                *headers,
            ],
            end_stream=ends,
        )
        self._responses[stream_id] = Response()
        self._flush()
        return stream_id

    def send(self, stream_id: int, data: bytes, *, ends: bool = False) -> None:
        """Sends data, as fast as the server takes it.

        What is left when the server has ended the stream is not sent.
        """
        response = self._responses[stream_id]
        while data and not response.is_over:
            size = self._connection.local_flow_control_window(stream_id)
            size = min(size, self._connection.max_outbound_frame_size)
            if not size:
                self._receive()
                continue
            self._connection.send_data(stream_id, data[:size])
            data = data[size:]
            self._flush()
        if ends and not response.is_over:
            self._connection.end_stream(stream_id)
            self._flush()

    def reset(self, stream_id: int) -> None:
        """Takes a call back."""
        self._connection.reset_stream(stream_id, 8)  # CANCEL
        self._flush()

    def widen(self, num_bytes: int) -> None:
        """Lets the server send more, in all and on each open stream."""
        self._connection.increment_flow_control_window(num_bytes)
        for stream_id, response in self._responses.items():
            if not response.is_over:
                self._connection.increment_flow_control_window(
                    num_bytes, stream_id
                )
        self._flush()

    def speak(self) -> None:
        """Sends the answers that were held back, and is silent no longer."""
        self.is_silent = False
        self._flush()

    def ping(self) -> None:
        """Returns once the server has handled all that was sent before."""
        self._connection.ping(b"are you?")
        self._flush()
        self._has_answered = False
        self.receive_until(lambda: self._has_answered)

    def response(self, stream_id: int) -> Response:
        """Waits for the end of a stream, or of the connection."""
        response = self._responses[stream_id]
        self.receive_until(lambda: response.is_over or self.is_closed)
        return response

    def messages(self, stream_id: int, num_messages: int) -> list[bytes]:
        """Waits for messages on a stream, and returns all that have come."""
        response = self._responses[stream_id]
        self.receive_until(
            lambda: len(response.messages) >= num_messages or self.is_closed
        )
        return response.messages

    def receive_until(self, is_over: Callable[[], bool]) -> None:
        """Handles what comes until a condition is true.

        Raises:
          TimeoutError: Nothing came for long.
          ConnectionError: The server has closed the connection.
        """
        while not is_over():
            if self.is_closed:
                raise ConnectionError(f"closed after {self.goaways}")
            self._receive()

    def receive_to_the_end(self) -> None:
        """Handles what comes until the server closes the connection."""
        self.receive_until(lambda: self.is_closed)

    def close(self) -> None:
        """Closes the connection. Idempotent."""
        self._stack.close()

    def __enter__(self) -> "H2Client":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the connection."""
        self.close()

    def _flush(self) -> None:
        data = self._connection.data_to_send()
        if not self.is_silent:
            data, self._held = self._held + data, b""
        if data and not self.is_closed:
            self._socket.sendall(data)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.is_closed = True
            self._socket.close()
        self._unread += data
        while len(self._unread) >= _FRAME_HEAD.size:
            high, low, kind, _, _ = _FRAME_HEAD.unpack_from(self._unread)
            end = _FRAME_HEAD.size + (high << 8 | low)
            if len(self._unread) < end:
                break
            frame, self._unread = self._unread[:end], self._unread[end:]
            self._handle(kind, frame)
        if self.is_silent:
            self._held += self._connection.data_to_send()
        else:
            self._flush()

    def _handle(self, kind: int, frame: bytes) -> None:
        if kind == _GOAWAY:
            last, code = struct.unpack_from(">II", frame, _FRAME_HEAD.size)
            text = frame[_FRAME_HEAD.size + 8 :]
            self.goaways.append(GoAway(last, code, text))
            return
        for event in self._connection.receive_data(frame):
            self._note(event)

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.PingReceived):
            self.pings.append(event.ping_data)
        elif isinstance(event, h2.events.PingAckReceived):
            self._has_answered = True
        elif isinstance(event, h2.events.StreamEnded):
            self._responses[event.stream_id].is_ended = True
        elif isinstance(event, h2.events.StreamReset):
            self._responses[event.stream_id].reset_code = event.error_code
        elif isinstance(event, h2.events.DataReceived):
            self._responses[event.stream_id].add(event.data)
        elif isinstance(event, h2.events.ResponseReceived):
            self._responses[event.stream_id].headers = _fields(event.headers)
            if event.stream_ended:
                self._responses[event.stream_id].trailers = _fields(
                    event.headers
                )
        elif isinstance(event, h2.events.TrailersReceived):
            self._responses[event.stream_id].trailers = _fields(event.headers)


def _fields(
    headers: Sequence[tuple[str | bytes, str | bytes]],
) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in headers}


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode()
