"""Serves TensorFlow models over gRPC, as TensorFlow Serving does.

Usage:
    tensorflow_model_server --model_name=m --model_base_path=/models/m

serves the newest version in /models/m, a folder such as 00000001 with a
SavedModel or a session bundle, to any client of TensorFlow Serving; a new
version takes over when it is loaded. For several models, and for other versions
than the newest one, give a --model_config_file.
"""

import contextlib
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
    server_core,
    warm_up_flags,
)
from tensorflow_serving.util import errors, program, signals

flags.adopt_module_key_flags(model_server_flags)
flags.adopt_module_key_flags(rest_api_flags)
flags.adopt_module_key_flags(warm_up_flags)
flags.adopt_module_key_flags(flags_without_effect)

# A thread that needs the interpreter while a load runs Python waits this long.
_SWITCH_SECONDS = 1e-4


def _say_running(server_options: server.Options) -> None:
    for address in server_options.addresses:
        shown = _shown(address)
        print(f"Running gRPC ModelServer, listening on {shown}", flush=True)
    if rest := server_options.rest:
        print(f"Exporting HTTP/REST API at {_shown(rest.address)}", flush=True)


def _shown(address: str) -> str:
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
    flags_without_effect.warn()
    if model_server_flags.CHECK.value:
        return check.run(model_server_flags.CHECK.value)
    termination = signals.Termination()
    termination.call_on_hangup(lambda: None)  # until it has a meaning
    sys.setswitchinterval(_SWITCH_SECONDS)
    os.environ.setdefault("TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD", "1")
    server_options = options.server_options()
    with contextlib.ExitStack() as stack:
        with termination.ending_at_once():
            core = stack.enter_context(
                server_core.ServerCore(options.core_options(), options.models())
            )
        poller = stack.enter_context(
            config_poller.ConfigPoller(
                core,
                options.changed_models,
                model_server_flags.MODEL_CONFIG_FILE_POLL_WAIT_SECONDS.value,
            )
        )
        termination.call_on_hangup(poller.poll_soon)
        server.serve(
            core,
            server_options,
            termination,
            lambda: _say_running(server_options),
        )
    return 0


if __name__ == "__main__":
    program.run(main)
