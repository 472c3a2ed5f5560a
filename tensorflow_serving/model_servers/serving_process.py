"""A process of the model server that serves, alone or beside others.

Example:
    serving_process.serve(None, signals.Termination())
"""

import contextlib
import functools

from tensorflow_serving.model_servers import (
    config_poller,
    options,
    server,
    supervision,
)
from tensorflow_serving.rpc import worker
from tensorflow_serving.servables.tensorflow import process_tuning
from tensorflow_serving.util import program, signals


def serve(
    this_worker: worker.Worker | None, termination: signals.Termination
) -> None:
    """Serves what the flags say, until a signal comes.

    Args:
      this_worker: The worker that this process is; None if it is alone.
      termination: Waits for the signal.

    Raises:
      ServingError: A flag is not what it should be, or an address is in use.
    """
    process_tuning.tune()
    with contextlib.ExitStack() as stack:
        with termination.ending_at_once():
            member = (
                supervision.join(this_worker, stack)
                if this_worker
                else supervision.alone(stack)
            )
        poller = stack.enter_context(
            config_poller.ConfigPoller(
                member.models, options.changed_models, member.poll_seconds
            )
        )
        termination.call_on_hangup(poller.poll_soon)
        server.serve(
            member.core,
            member.options,
            termination,
            functools.partial(_running, this_worker, member.options),
            served=member.models,
            board=member.board,
        )


def say_running(server_options: server.Options, port: int) -> None:
    """Prints where the server can be called.

    Args:
      server_options: The addresses of the server, and whether it has REST.
      port: The one that was picked, where the options leave it open.
    """
    for address in server_options.addresses:
        shown = _shown(address, port)
        program.say(f"Running gRPC ModelServer, listening on {shown}")
    if rest := server_options.rest:
        shown = _shown(rest.address, port)
        program.say(f"Exporting HTTP/REST API at {shown}")


def _running(
    this_worker: worker.Worker | None, server_options: server.Options, port: int
) -> None:
    if this_worker is None:
        say_running(server_options, port)
    else:
        this_worker.ready()


def _shown(address: str, port: int) -> str:
    if address.endswith(":0"):
        address = f"{address[:-1]}{port}"
    return f"0.0.0.0{address}" if address.startswith(":") else address
