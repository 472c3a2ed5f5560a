"""A server of HTTP/1.1 on a thread of its own.

uvicorn reads and writes HTTP; what it leaves open is closed here: limits on
what clients may demand, an end that loses no request, and no work while there
is none.

Example:
    server = http_server.HttpServer(
        "localhost:8501", handler, error_response, options.Options()
    )
    server.start()
    ...
    server.begin_to_stop(grace_seconds=30.0)
    server.join()
"""

import asyncio
import contextlib
import email.utils
import functools
import logging as python_logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import uvicorn
import uvloop
from absl import logging
from uvicorn.server import ServerState

from tensorflow_serving.http import compression, connection, messages
from tensorflow_serving.http import options as options_lib
from tensorflow_serving.rpc import listener
from tensorflow_serving.util import errors

# The rest of a refused body that is read before the answer to it, so that the
# connection can stay.
_MAX_SKIPPED_BYTES: Final = 64 << 10

Handler = Callable[[messages.Request], Awaitable[messages.Response]]


class HttpServer:
    """Answers requests with a handler.

    Handlers run on the thread of the server and must not block it. A handler is
    cancelled when its client leaves. An error that one raises is answered with
    the error response.

    A context manager that stops without grace. One thread at a time may call
    the methods.
    """

    def __init__(
        self,
        address: str,
        handler: Handler,
        error_response: messages.ErrorResponse,
        options: options_lib.Options,
    ) -> None:
        """Takes an address; requests are answered from start() on.

        Args:
          address: See rpc.listener.Listener.
          handler: Answers requests.
          error_response: Makes a response of an error.
          options: See Options.

        Raises:
          UnavailableError: The address cannot be taken.
        """
        self._options = options
        self._error_response = error_response
        self._app = _Application(handler, error_response, options)
        try:
            self._listener = listener.Listener(
                address, reuse_port=options.reuse_port
            )
        except (OSError, ValueError) as error:
            raise errors.UnavailableError(
                f"address must be free to listen on; got {address}: {error}"
            ) from None
        self._loop = uvloop.new_event_loop()
        self._state = ServerState()
        self._stopping = asyncio.Event()
        self._grace_seconds = 0.0
        self._is_clean = True
        self._thread = threading.Thread(target=self._run, name="http_server")

    @property
    def port(self) -> int:
        """The port, 0 for a UNIX socket."""
        return self._listener.port

    def start(self) -> None:
        """Answers requests from now on."""
        self._thread.start()

    def begin_to_stop(
        self, grace_seconds: float, *, drain_delay_seconds: float = 0.0
    ) -> None:
        """Asks clients to go elsewhere, and later takes no more requests.

        Args:
          grace_seconds: How long requests may take after the delay; those left
            are cut off.
          drain_delay_seconds: How long to go on as before.
        """
        self._app.is_draining = True
        self._grace_seconds = grace_seconds
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(
                self._loop.call_later, drain_delay_seconds, self._stopping.set
            )

    def join(self) -> bool:
        """Waits for the end; returns whether every request was answered."""
        if self._thread.is_alive():
            self._thread.join()
        self._listener.close()
        return self._is_clean

    def __enter__(self) -> "HttpServer":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops without grace."""
        self.begin_to_stop(0.0)
        self.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        config = self._config()
        make_connection = functools.partial(
            connection.Connection,
            config,
            self._state,
            {},
            limits=self._options.limits,
            error_response=self._error_response,
        )
        servers = [
            await self._loop.create_server(
                make_connection,
                sock=sock,
                ssl=self._options.tls,
                backlog=listener.BACKLOG,
            )
            for sock in self._listener.sockets
        ]
        await self._stopping.wait()
        for server in servers:
            server.close()
        await self._finish()

    def _config(self) -> uvicorn.Config:
        config = uvicorn.Config(
            self._app,
            http=connection.Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            # Whoever connects could say any address.
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=self._options.limits.keep_alive_seconds,
        )
        config.load()
        # A line for each client that does not speak HTTP helps nobody.
        python_logging.getLogger("uvicorn.error").setLevel(python_logging.ERROR)
        return config

    async def _finish(self) -> None:
        """Lets requests finish, and cuts off those that take too long."""
        for each in list(self._state.connections):
            each.shutdown()
        tasks = set(self._state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._grace_seconds)
            self._is_clean = not late
        for each in list(self._state.connections):
            each.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Application:
    """The ASGI application: bodies in, bodies out."""

    def __init__(
        self,
        handler: Handler,
        error_response: messages.ErrorResponse,
        options: options_lib.Options,
    ) -> None:
        self._handler = handler
        self._error_response = error_response
        self._limits = options.limits
        self._admit = options.admit
        self._on_end = options.on_end
        self.is_draining = False
        self._decompressor = compression.Decompressor(
            options.limits.max_body_bytes
        )
        # Both count the requests that are not answered yet.
        self._num_requests = 0
        self._num_body_bytes = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers a request."""
        own = scope["extensions"][connection.EXTENSION]
        own.running = asyncio.current_task()
        start_time = time.monotonic()
        request = _request_without_body(scope)
        body = _Body(request.headers, receive)
        response = None
        try:
            response = self._refusal(request)
            if response is not None:
                await self._send(scope, send, response, body)
            else:
                response = await self._answer_counted(
                    scope, send, request, body
                )
            await self._skip_rest(send, body)
        except (asyncio.CancelledError, _ClientLeftError):
            pass
        finally:
            own.running = None
            if self._on_end is not None:
                seconds = time.monotonic() - start_time
                self._on_end(request, response, seconds)

    async def _answer_counted(
        self, scope: Any, send: Any, request: messages.Request, body: "_Body"
    ) -> messages.Response:
        """Answers a request that takes one of the places for requests."""
        self._num_requests += 1
        try:
            response = await self._answer(request, body)
            await self._send(scope, send, response, body)
            return response
        finally:
            self._num_requests -= 1
            self._num_body_bytes -= body.num_bytes
            body.clear()

    def _refusal(self, request: messages.Request) -> messages.Response | None:
        """Returns the response to a request that is not admitted."""
        if self._admit is not None:
            try:
                self._admit(request)
            except errors.ServingError as error:
                return self._failure(request, error)
        return None

    def _failure(
        self, request: messages.Request, error: errors.ServingError
    ) -> messages.Response:
        request.notes.keep(error)
        return self._error_response(error)

    async def _answer(
        self, request: messages.Request, body: "_Body"
    ) -> messages.Response:
        try:
            max_requests = self._limits.max_concurrent_requests
            if max_requests and self._num_requests > max_requests:
                raise errors.ResourceExhaustedError(
                    f"Too many concurrent requests (limit {max_requests}); try "
                    "again later"
                )
            await self._read(body)
            headers = request.headers
            return await self._handler(
                messages.Request(
                    request.method,
                    request.path,
                    headers,
                    await self._plain(headers, body),
                    request.notes,
                )
            )
        except errors.ServingError as error:
            return self._failure(request, error)
        except _ClientLeftError:
            raise
        except Exception:
            logging.exception("Answering a request of HTTP failed")
            return self._failure(
                request, errors.InternalError("answering failed; see the log")
            )

    async def _read(self, body: "_Body") -> None:
        """Reads a body."""
        self._require_room(body.num_announced_bytes or 0, 0)
        while not body.is_whole:
            data = await body.next()
            self._require_room(body.num_bytes + len(data), len(data))
            self._num_body_bytes += len(data)
            body.add(data)

    def _require_room(self, num_bytes: int, num_more: int) -> None:
        if num_bytes > self._limits.max_body_bytes:
            raise messages.BodyTooLargeError(
                f"body must have at most {self._limits.max_body_bytes} bytes, "
                "by --rest_api_max_body_bytes; got more"
            )
        if self._num_body_bytes + num_more > self._limits.max_total_body_bytes:
            raise errors.UnavailableError(
                "The requests that wait fill the memory that is set aside for "
                "them; try again later"
            )

    async def _plain(self, headers: Mapping[str, str], body: "_Body") -> bytes:
        """Returns a body without its compression; nothing is not compressed."""
        if (
            not body.num_bytes
            or "gzip" not in headers.get("content-encoding", "").lower()
        ):
            return body.data()
        data = await self._decompressor.decompress(body.data())
        self._num_body_bytes += len(data)
        body.num_bytes += len(data)
        return data

    async def _send(
        self,
        scope: Any,
        send: Any,
        response: messages.Response,
        body: "_Body",
    ) -> None:
        """Sends a response; reads a small body before, also a refused one."""
        num_bytes = body.num_announced_bytes
        if num_bytes is not None and num_bytes <= _MAX_SKIPPED_BYTES:
            await body.skip()
        headers = {
            "content-type": response.content_type,
            "date": _date(int(time.time())),
            **response.headers,
        }
        data = response.body
        if compression.is_wanted(data, scope["headers"]):
            data = await compression.compressed(data)
            headers["content-encoding"] = "gzip"
            headers["vary"] = "accept-encoding"
        headers["content-length"] = str(len(data))
        if token := self._connection_token(scope, body):
            headers["connection"] = token
        await send(
            {
                "type": "http.response.start",
                "status": response.status,
                "headers": [
                    (name.encode("latin1"), value.encode("latin1"))
                    for name, value in headers.items()
                ],
            }
        )
        await send(
            {
                "type": "http.response.body",
                "body": data,
                "more_body": not body.is_whole,
            }
        )

    def _connection_token(self, scope: Any, body: "_Body") -> str:
        """Returns what to say about the connection; empty for nothing."""
        if self.is_draining or not body.is_whole:
            return "close"
        return "keep-alive" if connection.STAYS in scope["extensions"] else ""

    async def _skip_rest(self, send: Any, body: "_Body") -> None:
        """Reads the rest of a refused body after the response.

        If the connection was closed while the client still sends, most clients
        would see that, and not the response.
        """
        if not body.is_whole:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(
                    body.skip(), self._limits.refused_body_seconds
                )
            await send({"type": "http.response.body"})


class _ClientLeftError(Exception):
    """Ends the work for a client that has left."""


class _Body:
    """The body of a request, as far as it has come."""

    def __init__(self, headers: Mapping[str, str], receive: Any) -> None:
        self._receive = receive
        self._parts: list[bytes] = []
        self.num_bytes = 0
        # None if it comes in chunks.
        self.num_announced_bytes: int | None = None
        if "transfer-encoding" not in headers:
            self.num_announced_bytes = int(headers.get("content-length", 0))
        # Whether all of it has come.
        self.is_whole = self.num_announced_bytes == 0

    async def next(self) -> bytes:
        """Returns what comes next.

        Raises:
          _ClientLeftError: Nothing comes.
        """
        event = await self._receive()
        if event["type"] == "http.disconnect":
            raise _ClientLeftError
        self.is_whole = not event.get("more_body", False)
        data: bytes = event.get("body", b"")
        return data

    async def skip(self) -> None:
        """Reads what is left, and throws it away; see next()."""
        while not self.is_whole:
            await self.next()

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self.num_bytes += len(data)

    def data(self) -> bytes:
        return b"".join(self._parts)

    def clear(self) -> None:
        self._parts.clear()


def _request_without_body(scope: Any) -> messages.Request:
    return messages.Request(
        scope["method"],
        scope["raw_path"].decode("latin1"),
        {
            name.decode("latin1"): value.decode("latin1")
            for name, value in scope["headers"]
        },
        b"",
    )


@functools.lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return email.utils.formatdate(seconds, usegmt=True)
