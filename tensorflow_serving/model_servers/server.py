"""The life of the model server, from its ports to its end.

Example:
    with server_core.ServerCore(options, models) as core:
        server.serve(core, server.Options(("0.0.0.0:8500",)), termination)
"""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence

from tensorflow_serving.config import ssl_config_pb2
from tensorflow_serving.model_servers import (
    access_log,
    api_keys,
    metric_families,
    metrics_rounds,
    model_health,
    model_service,
    monitoring,
    prediction_service,
    profiler_service,
    rest_server,
    served_models,
    server_core,
    ssl_files,
    web_page,
    worker_metrics,
)
from tensorflow_serving.rpc import call, channel_arguments, worker_board
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.rpc import shutdown as shutdown_lib
from tensorflow_serving.util import errors, signals


@dataclasses.dataclass(frozen=True)
class Options:
    """How the model server can be called, and how it ends."""

    # Where to listen; see rpc.server.Server.
    addresses: tuple[str, ...]
    max_request_bytes: int = options_lib.Options.max_request_bytes
    max_concurrent_calls: int = 0
    # See rpc.channel_arguments.
    channel_arguments: str = ""
    # The keys that callers must have; see api_keys. Empty: they need none.
    api_key_file: str = ""
    # None: no line for each call.
    log: access_log.Options | None = None
    # None: connections are not encrypted.
    ssl: ssl_config_pb2.SSLConfig | None = None
    shutdown: shutdown_lib.Shutdown = shutdown_lib.Shutdown()
    # None: no REST API.
    rest: rest_server.Options | None = None
    # Whether other processes listen on the port as well.
    reuse_port: bool = False
    # Called about once a second as long as calls are answered.
    heartbeat: Callable[[], None] | None = None
    # Whether callers may record profiles, and have them written to a folder.
    can_be_profiled: bool = False
    # Whether Predict answers with tensor_content.
    answers_as_content: bool = False


def serve(
    core: server_core.ServerCore,
    options: Options,
    termination: signals.Termination,
    on_running: Callable[[int], None],
    *,
    served: served_models.ServedModels | None = None,
    board: worker_board.WorkerBoard | None = None,
) -> None:
    """Serves the models of a core until a signal comes.

    The ports are open at once; until the first models are loaded, calls of
    them are refused with UNAVAILABLE. See Shutdown.wait_and_stop() for the
    end.

    Args:
      core: The models.
      options: See Options.
      termination: Waits for the signal.
      on_running: Called with the port once calls are answered.
      served: The models of all processes; None if this one is alone.
      board: The board of all processes; None if this one is alone.

    Raises:
      UnavailableError: An address cannot be taken.
      InvalidArgumentError: An SSLConfig, or the file with the keys, is not what
        it should be; or the access log cannot be written.
    """
    termination.end_within(options.shutdown.max_seconds)
    models = core if served is None else served
    with contextlib.ExitStack() as stack:
        tls = stack.enter_context(_tls(options))
        keys = stack.enter_context(_keys(options))
        log = stack.enter_context(_log(options))
        watched = _watched(core, models, options.rest, log)
        services = _services(core, models, options, watched)
        rpc_options = _rpc_options(options, tls, keys, watched)
        server = stack.enter_context(_server(services, options, rpc_options))
        stack.enter_context(model_health.ModelHealth(models, server.health))
        stoppable: shutdown_lib.Stoppable = server
        if options.rest is not None:
            rest = rest_server.RestServer(
                core,
                options.rest,
                server,
                keys=keys,
                metrics=stack.enter_context(_metrics(watched, board)),
                listeners=watched.listeners,
                page=_page(watched, options.rest),
                served=models,
                observer=watched.observer,
            )
            stoppable = stack.enter_context(rest)
            rest.start()
        server.start()
        on_running(server.port)
        options.shutdown.wait_and_stop(stoppable, termination)


def _watched(
    core: server_core.ServerCore,
    models: served_models.ServedModels,
    rest: rest_server.Options | None,
    log: access_log.AccessLog | None,
) -> monitoring.Monitoring:
    return monitoring.Monitoring(
        core,
        models,
        counts_calls=rest is not None,
        keeps_errors=rest is not None and rest.has_web_page,
        log=log,
    )


def _page(
    watched: monitoring.Monitoring, rest: rest_server.Options
) -> web_page.WebPage | None:
    if not rest.has_web_page:
        return None
    return web_page.WebPage(watched.page_state(rest.num_processes))


def _tls(
    options: Options,
) -> contextlib.AbstractContextManager[options_lib.TlsOptions | None]:
    if options.ssl is None:
        return contextlib.nullcontext()
    return ssl_files.tls_options(options.ssl)


def _keys(
    options: Options,
) -> contextlib.AbstractContextManager[api_keys.ApiKeys | None]:
    if not options.api_key_file:
        return contextlib.nullcontext()
    return api_keys.ApiKeys(options.api_key_file)


def _log(
    options: Options,
) -> contextlib.AbstractContextManager[access_log.AccessLog | None]:
    if options.log is None:
        return contextlib.nullcontext()
    return access_log.AccessLog(options.log)


@contextlib.contextmanager
def _metrics(
    watched: monitoring.Monitoring, board: worker_board.WorkerBoard | None
) -> Iterator[Callable[[], bytes]]:
    """Yields what returns the metrics of all processes."""
    if board is None:
        yield lambda: metric_families.text(
            [*watched.families(), *metrics_rounds.of_workers(1, 1)]
        )
        return
    with worker_metrics.WorkerMetrics(board, watched.families) as metrics:
        yield metrics.page


def _server(
    services: Sequence[call.Service],
    options: Options,
    rpc_options: options_lib.Options,
) -> server_lib.Server:
    try:
        return server_lib.Server(options.addresses, services, rpc_options)
    except errors.UnavailableError as error:
        raise errors.UnavailableError(
            "--port must be a free port, --host an address of this machine, "
            "and --grpc_socket_path the path of a socket that nobody else "
            f"uses; {error}"
        ) from None


def _services(
    core: server_core.ServerCore,
    served: served_models.ServedModels,
    options: Options,
    watched: monitoring.Monitoring,
) -> Sequence[call.Service]:
    services = [
        prediction_service.PredictionService(
            core,
            watched.listeners,
            answers_as_content=options.answers_as_content,
        ).service(),
        model_service.ModelService(served, watched.families).service(),
    ]
    if options.can_be_profiled:
        services.append(profiler_service.ProfilerService().service())
    return services


def _rpc_options(
    options: Options,
    tls: options_lib.TlsOptions | None,
    keys: api_keys.ApiKeys | None,
    watched: monitoring.Monitoring,
) -> options_lib.Options:
    return channel_arguments.applied(
        options.channel_arguments,
        options_lib.Options(
            num_threads=2 * (os.cpu_count() or 1),
            max_concurrent_calls=options.max_concurrent_calls,
            max_request_bytes=options.max_request_bytes,
            tls=tls,
            access=keys,
            observer=watched.observer,
            starts_serving=False,
            reuse_port=options.reuse_port,
            # Several servers of TensorFlow Serving may be given one path.
            takes_over_sockets=True,
            heartbeat=options.heartbeat,
        ),
    )
