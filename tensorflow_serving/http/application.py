"""The ASGI application of a server of HTTP: whole bodies in, whole bodies out.

One request passes these steps; a refusal in one of them is its response.

1. Its head is admitted, or not.
2. It takes one of the places for requests, and its body is read.
3. The handler answers it. It is cancelled when the client leaves.
4. The response is sent, compressed if the client wants that.
5. What is left of a refused body is read and thrown away.
"""

import asyncio
import contextlib
import email.utils
import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from absl import logging

from tensorflow_serving.http import (
    compression,
    connection,
    messages,
    request_bodies,
)
from tensorflow_serving.http import options as options_lib
from tensorflow_serving.util import errors

# The rest of a refused body that is read before the answer to it, so that the
# connection can stay.
_MAX_SKIPPED_BYTES: Final = 64 << 10

Handler = Callable[[messages.Request], Awaitable[messages.Response]]


class Application:
    """Answers requests with a handler, within limits.

    Used by the thread of the event loop only.
    """

    def __init__(
        self,
        handler: Handler,
        error_response: messages.ErrorResponse,
        options: options_lib.Options,
    ) -> None:
        """Takes requests from now on; see HttpServer."""
        self._handler = handler
        self._error_response = error_response
        self._limits = options.limits
        self._admit = options.admit
        self._on_end = options.on_end
        # Whether responses ask their clients to go elsewhere.
        self.is_draining = False
        self._memory = request_bodies.BodyMemory(options.limits)
        # The requests that have a place and are not answered yet.
        self._num_requests = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers a request."""
        own = scope["extensions"][connection.EXTENSION]
        own.running = asyncio.current_task()
        start_time = time.monotonic()
        request = _request_without_body(scope)
        body = request_bodies.Body(request.headers, receive, self._memory)
        response = None
        try:
            response = self._refusal(request)
            if response is not None:
                await self._send(scope, send, response, body)
            else:
                response = await self._answer_in_place(
                    scope, send, request, body
                )
            await self._skip_rest(send, body)
        except (asyncio.CancelledError, request_bodies.ClientLeftError):
            pass
        finally:
            own.running = None
            if self._on_end is not None:
                seconds = time.monotonic() - start_time
                self._on_end(request, response, seconds)

    def _refusal(self, request: messages.Request) -> messages.Response | None:
        """Returns the response to a request that is not admitted."""
        if self._admit is not None:
            try:
                self._admit(request)
            except errors.ServingError as error:
                return self._failure(request, error)
        return None

    async def _answer_in_place(
        self,
        scope: Any,
        send: Any,
        request: messages.Request,
        body: request_bodies.Body,
    ) -> messages.Response:
        """Answers a request that takes one of the places for requests."""
        self._num_requests += 1
        try:
            response = await self._answer(request, body)
            await self._send(scope, send, response, body)
            return response
        finally:
            self._num_requests -= 1
            body.release()

    async def _answer(
        self, request: messages.Request, body: request_bodies.Body
    ) -> messages.Response:
        try:
            max_requests = self._limits.max_concurrent_requests
            if max_requests and self._num_requests > max_requests:
                raise errors.ResourceExhaustedError(
                    f"Too many concurrent requests (limit {max_requests}); try "
                    "again later"
                )
            return await self._handler(request.with_body(await body.read()))
        except errors.ServingError as error:
            return self._failure(request, error)
        except request_bodies.ClientLeftError:
            raise
        except Exception:
            logging.exception("Answering a request of HTTP failed")
            return self._failure(
                request, errors.InternalError("answering failed; see the log")
            )

    def _failure(
        self, request: messages.Request, error: errors.ServingError
    ) -> messages.Response:
        request.notes.keep(error)
        return self._error_response(error)

    async def _send(
        self,
        scope: Any,
        send: Any,
        response: messages.Response,
        body: request_bodies.Body,
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

    def _connection_token(self, scope: Any, body: request_bodies.Body) -> str:
        """Returns what to say about the connection; empty for nothing."""
        if self.is_draining or not body.is_whole:
            return "close"
        return "keep-alive" if connection.STAYS in scope["extensions"] else ""

    async def _skip_rest(self, send: Any, body: request_bodies.Body) -> None:
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
