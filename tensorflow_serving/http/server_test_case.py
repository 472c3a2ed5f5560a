"""A test case with a server of HTTP whose handler the test directs."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable

from absl.testing import parameterized

from tensorflow_serving.http import http_server, messages, options
from tensorflow_serving.util import errors

# Longer than any test takes.
LONG_SECONDS = 60.0
# A request that waits until the test says so.
WAIT = b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n"


def error_response(error: errors.ServingError) -> messages.Response:
    """Returns the text of an error."""
    return messages.Response(
        messages.status(error), str(error).encode(), messages.TEXT
    )


class Handler:
    """Answers with what it got; /wait waits until the test says so."""

    def __init__(self) -> None:
        """Has no requests yet."""
        self.requests: list[messages.Request] = []
        self.has_begun = threading.Event()
        self.was_cancelled = threading.Event()
        # The one of the server, once there was a request.
        self.loop: asyncio.AbstractEventLoop | None = None
        self._release = asyncio.Event()

    async def answer(self, request: messages.Request) -> messages.Response:
        """See application.Handler."""
        self.loop = asyncio.get_running_loop()
        self.requests.append(request)
        if request.path == "/wait":
            self.has_begun.set()
            try:
                await self._release.wait()
            except asyncio.CancelledError:
                self.was_cancelled.set()
                raise
        if request.path == "/error":
            raise errors.NotFoundError("nothing here")
        if request.path == "/bug":
            raise ZeroDivisionError
        return messages.Response(200, request.body, messages.TEXT)

    def release(self) -> None:
        """Lets the request that waits go on."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(self._release.set)


class ServerTestCase(parameterized.TestCase):
    """A server with a handler of the test, and its clients."""

    def setUp(self) -> None:
        """Makes a handler."""
        super().setUp()
        self.handler = Handler()

    def start(
        self,
        tls: ssl.SSLContext | None = None,
        admit: Callable[[messages.Request], None] | None = None,
        **limits: float,
    ) -> http_server.HttpServer:
        """Starts a server that ends with the test."""
        server = http_server.HttpServer(
            "localhost:0",
            self.handler.answer,
            error_response,
            options.Options(
                options.Limits(**limits),  # type: ignore[arg-type]
                tls,
                admit=admit,
            ),
        )
        server.start()
        self.enter_context(server)
        return server

    def url(self, server: http_server.HttpServer, path: str = "/x") -> str:
        """Returns where a path of a server is."""
        return f"http://localhost:{server.port}{path}"

    def connect(self, server: http_server.HttpServer) -> socket.socket:
        """Returns a connection that ends with the test."""
        sock = socket.create_connection(
            ("localhost", server.port), LONG_SECONDS
        )
        self.enter_context(sock)
        return sock

    def begin_to_wait(
        self, server: http_server.HttpServer, request: bytes = WAIT
    ) -> socket.socket:
        """Returns a connection whose request the handler has, and keeps."""
        sock = self.connect(server)
        sock.sendall(request)
        self.wait_for_handler()
        return sock

    def ask_for(
        self, server: http_server.HttpServer, num_bytes: int
    ) -> socket.socket:
        """Returns a connection that has asked for so long a response."""
        sock = self.connect(server)
        sock.sendall(
            b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n"
            % num_bytes
            + b"x" * num_bytes
        )
        return sock

    def wait_for_handler(self) -> None:
        """Waits until the handler has the request that waits."""
        self.assertTrue(self.handler.has_begun.wait(LONG_SECONDS))

    def closes(self, sock: socket.socket) -> bytes:
        """Returns all that comes until the server closes the connection."""
        data = b""
        while True:
            try:
                more = sock.recv(1 << 16)
            except ConnectionResetError:
                return data
            if not more:
                return data
            data += more
