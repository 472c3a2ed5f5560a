"""The life of a server of MnistService, from its port to its end.

Example:
    mnist_server.serve(service, signals.Termination())
"""

import os
from collections.abc import Callable
from typing import Final

from absl import logging

from tensorflow_serving.example import mnist_server_flags
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import grpcio_lane, lane, wire_lane
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import background_log, signals

_LANES: Final[dict[str, type[lane.Lane]]] = {
    "wire": wire_lane.WireLane,
    "grpcio": grpcio_lane.GrpcioLane,
}


def serve(
    service: call_lib.Service,
    termination: signals.Termination,
    on_running: Callable[[int], None] = mnist_server_flags.say_running,
    *,
    reuse_port: bool = False,
    heartbeat: Callable[[], None] | None = None,
) -> None:
    """Serves until a signal comes, then finishes the calls that it has.

    If they take longer than --shutdown_grace_seconds, the process ends here,
    with 1. Otherwise the caller has two seconds for what is left to do; see
    end_soon().

    Args:
      service: What to serve, beside health and reflection.
      termination: Waits for the signal.
      on_running: Called with the port once calls are answered.
      reuse_port: Whether other processes may listen on the port.
      heartbeat: Called about once a second as long as calls are answered.

    Raises:
      UnavailableError: The address cannot be taken; the text names the flags.
      InvalidArgumentError: A file of --ssl_* is not what it should be.
    """
    options = server_lib.Options(
        num_threads=2 * (os.cpu_count() or 1),
        max_concurrent_calls=mnist_server_flags.MAX_CONCURRENT_CALLS.value,
        tls=mnist_server_flags.tls_options(),
        reuse_port=reuse_port,
        heartbeat=heartbeat,
    )
    termination.end_within(mnist_server_flags.max_seconds_to_end())
    with mnist_server_flags.port_named():
        server = server_lib.Server(
            mnist_server_flags.address(),
            [service],
            options,
            _LANES[mnist_server_flags.RPC_LANE.value],
        )
    with server:
        server.start()
        on_running(server.port)
        logging.info("Stopping because of %s", termination.wait())
        _stop(server)
        end_soon(termination)


def end_soon(termination: signals.Termination) -> None:
    """Ends the process in two seconds, with 0; for one without calls.

    Nobody waits for what is left. Storage may hang in it, or a model.
    """
    termination.end_within(mnist_server_flags.EXIT_SECONDS, exit_code=0)


def _stop(server: server_lib.Server) -> None:
    grace_seconds = mnist_server_flags.SHUTDOWN_GRACE_SECONDS.value
    if not server.stop(
        grace_seconds,
        drain_delay_seconds=mnist_server_flags.DRAIN_DELAY_SECONDS.value,
    ):
        logging.warning(
            "Calls must finish within --shutdown_grace_seconds=%g; leaving "
            "those that did not",
            grace_seconds,
        )
        background_log.flush()
        # Their threads would keep the process, for as long as they like.
        os._exit(1)
    logging.info("Stopped")
