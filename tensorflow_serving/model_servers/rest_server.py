"""The REST API on a port of its own, beside the gRPC server.

Example:
    with rest_server.RestServer(core, options, grpc_server) as both:
        both.start()
        ...
        both.stop(grace_seconds=30.0, drain_delay_seconds=5.0)
"""

import dataclasses
import ssl
from collections.abc import Callable
from typing import Final

from typing_extensions import Self

from tensorflow_serving.config import ssl_config_pb2
from tensorflow_serving.http import messages
from tensorflow_serving.http import options as http_options
from tensorflow_serving.model_servers import (
    api_keys,
    call_events,
    call_observers,
    http_rest_api_handler,
    metric_families,
    rest_rounds,
    served_models,
    server_core,
    ssl_files,
    web_page,
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
    # How many processes do, with this one.
    num_processes: int = 1
    # Whether there is a page for people.
    has_web_page: bool = True
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
        page: web_page.WebPage | None = None,
        served: served_models.ServedModels | None = None,
        keys: api_keys.ApiKeys | None = None,
        observer: call_observers.Observer | None = None,
    ) -> None:
        """Takes an address; requests are answered from start() on.

        Args:
          core: The models; closed by the caller, after this.
          options: See Options.
          other: The server that stop() stops as well.
          metrics: Returns the metrics for Prometheus; called on a thread.
          listeners: Get the ends of calls.
          page: The page for people, if there is one.
          served: The models of all processes; None if this one is alone.
          keys: Callers must have one of them; None if they need none.
          observer: Gets all requests; None: nobody wants them.

        Raises:
          UnavailableError: The address cannot be taken.
          InvalidArgumentError: The SSLConfig is not what it should be.
        """
        # Most servers have no REST API, and start sooner without it.
        from tensorflow_serving.http import http_server

        self._other = other
        self._metrics = metrics
        self._metrics_paths = options.metrics_paths
        self._web_page = page
        self._rounds = rest_rounds.RestRounds()
        self._handler = http_rest_api_handler.HttpRestApiHandler(
            core,
            self._rounds,
            options.api,
            listeners,
            self._find_page,
            served=served,
        )
        self._server = http_server.HttpServer(
            options.address,
            self._handler.answer,
            self._handler.error_response,
            _http_options(options, keys, observer),
        )

    @property
    def port(self) -> int:
        """The port, 0 for a UNIX socket."""
        return self._server.port

    def start(self) -> None:
        """Answers requests from now on."""
        self._rounds.start()
        self._server.start()

    def stop(self, grace_seconds: float, *, drain_delay_seconds: float) -> bool:
        """Ends both servers; returns whether every call was finished."""
        self._handler.drain()
        if self._web_page is not None:
            self._web_page.drain()
        self._server.begin_to_stop(
            grace_seconds, drain_delay_seconds=drain_delay_seconds
        )
        is_clean = self._other.stop(
            grace_seconds, drain_delay_seconds=drain_delay_seconds
        )
        is_clean = self._server.join() and is_clean
        self._handler.close()
        self._rounds.close()
        return is_clean

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops without grace, if it has not been stopped."""
        self._server.__exit__(*exc_info)
        self._handler.close()
        self._rounds.close()

    def _find_page(self, path: str) -> Callable[[], messages.Response] | None:
        if path in self._metrics_paths:
            return self._metrics_page
        return None if self._web_page is None else self._web_page.find(path)

    def _metrics_page(self) -> messages.Response:
        return messages.Response(
            200, self._metrics(), metric_families.CONTENT_TYPE
        )


def _http_options(
    options: Options,
    keys: api_keys.ApiKeys | None,
    observer: call_observers.Observer | None,
) -> http_options.Options:
    return http_options.Options(
        options.limits,
        _tls(options.ssl),
        options.reuse_port,
        keys.admit if keys is not None else None,
        observer.of_http if observer is not None else None,
    )


def _tls(config: ssl_config_pb2.SSLConfig | None) -> ssl.SSLContext | None:
    if config is None:
        return None
    with ssl_files.tls_options(config, SSL_FLAG) as files:
        return tls_lib.create_context(files, "http/1.1")
