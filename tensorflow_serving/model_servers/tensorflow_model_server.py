"""Serves TensorFlow models over gRPC, as TensorFlow Serving does.

Usage:
    tensorflow_model_server --model_name=m --model_base_path=/models/m

serves the newest version in /models/m, a folder such as 00000001 with a
SavedModel or a session bundle, to any client of TensorFlow Serving; a new
version takes over when it is loaded. For several models, and for other versions
than the newest one, give a --model_config_file.
"""

import contextlib
import functools
import importlib.metadata
import os
import sys
from collections.abc import Sequence

from absl import flags

from tensorflow_serving.model_servers import (
    check,
    config_poller,
    flags_without_effect,
    model_server_flags,
    options,
    rest_api_flags,
    server,
    supervision,
    warm_up_flags,
)
from tensorflow_serving.rpc import worker
from tensorflow_serving.util import errors, program, signals

flags.adopt_module_key_flags(model_server_flags)
flags.adopt_module_key_flags(rest_api_flags)
flags.adopt_module_key_flags(warm_up_flags)
flags.adopt_module_key_flags(flags_without_effect)

# A thread that needs the interpreter while a load runs Python waits this long.
_SWITCH_SECONDS = 1e-4


def _say_running(server_options: server.Options, port: int) -> None:
    for address in server_options.addresses:
        shown = _shown(address, port)
        print(f"Running gRPC ModelServer, listening on {shown}", flush=True)
    if rest := server_options.rest:
        shown = _shown(rest.address, port)
        print(f"Exporting HTTP/REST API at {shown}", flush=True)


def _shown(address: str, port: int) -> str:
    if address.endswith(":0"):
        address = f"{address[:-1]}{port}"
    return f"0.0.0.0{address}" if address.startswith(":") else address


def main(argv: Sequence[str]) -> int:
    """Runs the program; see the module docstring."""
    if len(argv) > 1:
        raise errors.InvalidArgumentError(
            f"arguments must be flags only; got {argv[1:]}"
        )
    if model_server_flags.VERSION.value:
        print("TensorFlow ModelServer: 0.1")
        print(f"TensorFlow Library: {importlib.metadata.version('tensorflow')}")
        return 0
    this_worker = worker.Worker.from_environment()
    if this_worker is None:
        flags_without_effect.warn()
    if model_server_flags.CHECK.value:
        return check.run(model_server_flags.CHECK.value)
    termination = signals.Termination(ignores_the_next=this_worker is not None)
    termination.call_on_hangup(lambda: None)  # until it has a meaning
    if this_worker is None and model_server_flags.NUM_WORKERS.value > 1:
        return supervision.supervise(termination, _say_running)
    _serve(this_worker, termination)
    return 0


def _serve(
    this_worker: worker.Worker | None, termination: signals.Termination
) -> None:
    """Serves in this process until a signal comes."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    os.environ.setdefault("TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD", "1")
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
        )


def _running(
    this_worker: worker.Worker | None, server_options: server.Options, port: int
) -> None:
    if this_worker is None:
        _say_running(server_options, port)
    else:
        this_worker.ready()


if __name__ == "__main__":
    program.run(main)
