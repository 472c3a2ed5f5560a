"""The life of a server of MnistService, from its port to its end.

Example:
    mnist_server.serve(service, signals.Termination())
"""

import os
from collections.abc import Callable
from typing import Final

from tensorflow_serving.example import mnist_server_flags
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import grpcio_lane, lane, server_flags, wire_lane
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import signals

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

    See Shutdown.wait_and_stop() for the end.

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
        max_concurrent_calls=server_flags.MAX_CONCURRENT_CALLS.value,
        tls=mnist_server_flags.tls_options(),
        reuse_port=reuse_port,
        heartbeat=heartbeat,
    )
    shutdown = server_flags.shutdown()
    termination.end_within(shutdown.max_seconds)
    with mnist_server_flags.port_named():
        server = server_lib.Server(
            server_flags.address(mnist_server_flags.PORT.value),
            [service],
            options,
            _LANES[mnist_server_flags.RPC_LANE.value],
        )
    with server:
        server.start()
        on_running(server.port)
        shutdown.wait_and_stop(server, termination)
