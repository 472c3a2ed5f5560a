"""Serves TensorFlow models over gRPC, as TensorFlow Serving does.

Usage:
    tensorflow_model_server --model_name=m --model_base_path=/models/m

serves the newest version in /models/m, a folder such as 00000001 with a
SavedModel or a session bundle, to any client of TensorFlow Serving; a new
version takes over when it is loaded. For several models, and for other versions
than the newest one, give a --model_config_file.
"""

# ruff: noqa: E402 (some of the program has to run before the imports)

import gc
import signal

# Imports make what stays. To search it for garbage would take a tenth of their
# time; program.run() has the search begin.
gc.disable()
# A reload may follow a restart at once, and would end the process while it
# imports the rest. It waits until call_on_hangup() is there.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])

import importlib.metadata
from collections.abc import Sequence

from absl import flags

from tensorflow_serving.model_servers import (
    access_flags,
    access_log_flags,
    check,
    flags_without_effect,
    keys_in_clear,
    model_server_flags,
    recording_flags,
    rest_api_flags,
    server_version,
    serving_process,
    supervision,
    warm_up_flags,
)
from tensorflow_serving.rpc import worker
from tensorflow_serving.util import errors, program, signals

flags.adopt_module_key_flags(model_server_flags)
flags.adopt_module_key_flags(rest_api_flags)
flags.adopt_module_key_flags(recording_flags)
flags.adopt_module_key_flags(access_flags)
flags.adopt_module_key_flags(access_log_flags)
flags.adopt_module_key_flags(warm_up_flags)
flags.adopt_module_key_flags(flags_without_effect)


def main(argv: Sequence[str]) -> int:
    """Runs the program; see the module docstring."""
    if len(argv) > 1:
        raise errors.InvalidArgumentError(
            f"arguments must be flags only; got {argv[1:]}"
        )
    if model_server_flags.VERSION.value:
        print(f"TensorFlow ModelServer: {server_version.VERSION}")
        print(f"TensorFlow Library: {importlib.metadata.version('tensorflow')}")
        return 0
    this_worker = worker.Worker.from_environment()
    if this_worker is None:
        flags_without_effect.warn()
        keys_in_clear.warn()
    if model_server_flags.CHECK.value:
        return check.run(model_server_flags.CHECK.value)
    termination = signals.Termination(ignores_the_next=this_worker is not None)
    termination.call_on_hangup(lambda: None)  # until it has a meaning
    if this_worker is None and model_server_flags.NUM_WORKERS.value > 1:
        return supervision.supervise(termination, serving_process.say_running)
    serving_process.serve(this_worker, termination)
    return 0


if __name__ == "__main__":
    program.run(main)
