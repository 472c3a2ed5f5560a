"""The REST API on a port of its own, beside the gRPC server.

Example:
    with rest_server.RestServer(core, options, grpc_server) as both:
        both.start()
        ...
        both.stop(grace_seconds=30.0, drain_delay_seconds=5.0)
"""

import asyncio
import concurrent.futures
import dataclasses
from collections.abc import Callable
from typing import Final

from typing_extensions import Self

from tensorflow_serving.config import ssl_config_pb2
from tensorflow_serving.http import http_server, messages
from tensorflow_serving.http import options as http_options
from tensorflow_serving.model_servers import (
    api_keys,
    call_events,
    http_rest_api_handler,
    metric_families,
    served_models,
    server_core,
    ssl_files,
)
from tensorflow_serving.rpc import shutdown as shutdown_lib
from tensorflow_serving.rpc import tls as tls_lib

SSL_FLAG: Final = "rest_api_ssl_config_file"


@dataclasses.dataclass(frozen=True)
class Options:
    """How the REST API can be called."""

    # Where to listen; see rpc.listener.Listener.
    address: str
    api: http_rest_api_handler.Options = http_rest_api_handler.Options()
    limits: http_options.Limits = http_options.Limits()
    # None: connections are not encrypted.
    ssl: ssl_config_pb2.SSLConfig | None = None
    # Whether other processes of this user may listen on the same port.
    reuse_port: bool = False
    # Where Prometheus finds the metrics.
    metrics_paths: tuple[str, ...] = ("/metrics",)


class RestServer:
    """A server of the REST API that stops together with another one.

    A context manager that stops without grace. One thread at a time may call
    the methods.
    """

    def __init__(
        self,
        core: server_core.ServerCore,
        options: Options,
        other: shutdown_lib.Stoppable,
        *,
        metrics: Callable[[], bytes],
        listeners: call_events.Listeners,
        served: served_models.ServedModels | None = None,
        keys: api_keys.ApiKeys | None = None,
    ) -> None:
        """Takes an address; requests are answered from start() on.

        Args:
          core: The models; closed by the caller, after this.
          options: See Options.
          other: The server that stop() stops as well.
          metrics: Returns the metrics for Prometheus; called on a thread.
          listeners: Get the ends of calls.
          served: The models of all processes; None if this one is alone.
          keys: Callers must have one of them; None if they need none.

        Raises:
          UnavailableError: The address cannot be taken.
          InvalidArgumentError: The SSLConfig is not what it should be.
        """
        self._other = other
        self._metrics = metrics
        # One page at a time: however many ask, calls have the other CPUs.
        self._pages = concurrent.futures.ThreadPoolExecutor(1, "metrics")
        self._handler = http_rest_api_handler.HttpRestApiHandler(
            core,
            options.api,
            listeners,
            dict.fromkeys(options.metrics_paths, self._metrics_page),
            served=served,
        )
        tls = None
        if options.ssl is not None:
            with ssl_files.tls_options(options.ssl, SSL_FLAG) as files:
                tls = tls_lib.create_context(files, "http/1.1")
        self._server = http_server.HttpServer(
            options.address,
            self._handler.answer,
            self._handler.error_response,
            http_options.Options(
                options.limits,
                tls,
                options.reuse_port,
                keys.admit if keys is not None else None,
            ),
        )

    @property
    def port(self) -> int:
        """The port, 0 for a UNIX socket."""
        return self._server.port

    def start(self) -> None:
        """Answers requests from now on."""
        self._server.start()

    def stop(self, grace_seconds: float, *, drain_delay_seconds: float) -> bool:
        """Ends both servers; returns whether every call was finished."""
        self._handler.drain()
        self._server.begin_to_stop(
            grace_seconds, drain_delay_seconds=drain_delay_seconds
        )
        is_clean = self._other.stop(
            grace_seconds, drain_delay_seconds=drain_delay_seconds
        )
        is_clean = self._server.join() and is_clean
        self._pages.shutdown(cancel_futures=True)
        return is_clean

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops without grace, if it has not been stopped."""
        self._server.__exit__(*exc_info)
        self._pages.shutdown(cancel_futures=True)

    async def _metrics_page(self) -> messages.Response:
        """Returns the metrics, collected on a thread: calls do not wait."""
        text = await asyncio.get_running_loop().run_in_executor(
            self._pages, self._metrics
        )
        return messages.Response(200, text, metric_families.CONTENT_TYPE)
