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
import functools
import logging as python_logging
import socket
import threading
from collections.abc import Callable, Sequence

import uvicorn
import uvloop
from uvicorn.server import ServerState

from tensorflow_serving.http import application, connection, messages
from tensorflow_serving.http import options as options_lib
from tensorflow_serving.rpc import listener
from tensorflow_serving.util import errors


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
        handler: application.Handler,
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
        self._app = application.Application(handler, error_response, options)
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
        # Set whenever there is no connection; only looked at in the end.
        self._are_all_gone = asyncio.Event()
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
            on_lost=self._see_whether_all_are_gone,
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
        copies = [each.dup() for each in self._listener.sockets]
        for server in servers:
            server.close()
        # Those that the loop has just accepted have their turn first.
        await asyncio.sleep(0)
        await self._take_waiting_connections(copies, make_connection)
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
        end_time = self._loop.time() + self._grace_seconds
        await self._take_last_requests()
        tasks = set(self._state.tasks)
        if tasks:
            seconds = max(0.0, end_time - self._loop.time())
            _, late = await asyncio.wait(tasks, timeout=seconds)
            self._is_clean = not late
        if self._is_clean:
            # Those that are left read slowly.
            self._are_all_gone.clear()
            self._see_whether_all_are_gone()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(
                    self._are_all_gone.wait(), end_time - self._loop.time()
                )
            self._is_clean = self._are_all_gone.is_set()
        for each in list(self._state.connections):
            each.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _take_waiting_connections(
        self,
        sockets: Sequence[socket.socket],
        make_connection: Callable[[], asyncio.Protocol],
    ) -> None:
        """Takes what has connected by now, and closes sockets that listen.

        The system would reset these connections: the client has one, and may
        have sent its request, though nobody has accepted it.
        """
        waiting = []
        for listening in sockets:
            listening.setblocking(False)
            with listening, contextlib.suppress(OSError):  # there is none
                while True:
                    waiting.append(listening.accept()[0])
        taken = [
            self._loop.create_task(
                self._loop.connect_accepted_socket(
                    make_connection, each, ssl=self._options.tls
                )
            )
            for each in waiting
        ]
        if taken:
            seconds = self._options.limits.last_request_seconds
            await asyncio.wait(taken, timeout=seconds)

    async def _take_last_requests(self) -> None:
        """Waits for the requests that are on their way, but not for long.

        A client that was asked to go elsewhere may have connected again.
        """
        coming = [
            found
            for each in list(self._state.connections)
            if isinstance(each, connection.Connection)
            and (found := each.finish()) is not None
        ]
        if coming:
            seconds = self._options.limits.last_request_seconds
            await asyncio.wait(
                coming, timeout=min(seconds, self._grace_seconds)
            )
        for each in list(self._state.connections):
            each.shutdown()

    def _see_whether_all_are_gone(self) -> None:
        if not self._state.connections:
            self._are_all_gone.set()
