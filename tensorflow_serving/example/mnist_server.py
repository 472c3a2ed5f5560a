"""What the servers of MnistService have in common: flags, and their lives.

Example:
    flags.adopt_module_key_flags(mnist_server)  # shows them in --help
    mnist_server.serve(service, signals.Termination())
"""

import contextlib
import os
from collections.abc import Callable, Iterator

from absl import flags, logging

from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.util import errors, signals

PORT = flags.DEFINE_integer(
    "port",
    0,
    "Port to listen on; 0 picks a free one and prints it.",
    lower_bound=0,
    upper_bound=65535,
)
MAX_CONCURRENT_CALLS = flags.DEFINE_integer(
    "max_concurrent_calls",
    0,
    "How many calls may be without an answer at the same time; more are "
    "refused with RESOURCE_EXHAUSTED. 0: any number.",
    lower_bound=0,
)
SHUTDOWN_GRACE_SECONDS = flags.DEFINE_float(
    "shutdown_grace_seconds",
    30.0,
    "How long calls that run may take to finish after SIGTERM or Ctrl-C.",
    lower_bound=0.0,
)


@contextlib.contextmanager
def port_named() -> Iterator[None]:
    """Adds the flag to the error of a port that is in use."""
    try:
        yield
    except errors.UnavailableError as error:
        raise errors.UnavailableError(
            f"--port must be a free port, or 0 to pick one; got {PORT.value} "
            f"({error})"
        ) from None


def say_running(port: int) -> None:
    """Prints that the server can be called."""
    print(f"Running... listening on 0.0.0.0:{port}", flush=True)


def serve(
    service: call_lib.Service,
    termination: signals.Termination,
    on_running: Callable[[int], None] = say_running,
    *,
    reuse_port: bool = False,
) -> None:
    """Serves until a signal comes, then finishes the calls that it has.

    If they take longer than --shutdown_grace_seconds, the process ends here,
    with 0.

    Args:
      service: What to serve, beside health and reflection.
      termination: Waits for the signal.
      on_running: Called with the port once calls are answered.
      reuse_port: Whether other processes may listen on the port.

    Raises:
      UnavailableError: The port is in use; the text names the flag.
    """
    options = server_lib.Options(
        num_threads=2 * (os.cpu_count() or 1),
        max_concurrent_calls=MAX_CONCURRENT_CALLS.value,
        reuse_port=reuse_port,
    )
    with port_named():
        server = server_lib.Server(f"0.0.0.0:{PORT.value}", [service], options)
    with server:
        server.start()
        on_running(server.port)
        logging.info("Stopping because of %s", termination.wait())
        if not server.stop(SHUTDOWN_GRACE_SECONDS.value):
            logging.warning(
                "Calls must finish within --shutdown_grace_seconds=%g; leaving "
                "those that did not",
                SHUTDOWN_GRACE_SECONDS.value,
            )
            # Their threads would keep the process, for as long as they like.
            os._exit(0)
        logging.info("Stopped")
