"""Serves an export of mnist_export over gRPC, in batches.

Usage: mnist_inference --port=9000 /tmp/mnist_model/00000001

Answers MnistService.Classify (see mnist_inference.proto), the standard health
service and reflection until SIGTERM or Ctrl-C; then it refuses new calls,
finishes those that it has, and exits with 0. With --num_workers, this process
keeps others that do so.

No call blocks a thread. A call whose caller leaves, or whose deadline passes,
leaves the queue; a call that finds the queue full gets UNAVAILABLE at once.
"""

import contextlib
import gc
from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.example import mnist_batching_flags, mnist_server_flags
from tensorflow_serving.rpc import (
    server_flags,
    shared_port,
    supervisor,
    worker,
    worker_process,
)
from tensorflow_serving.util import program, signals

_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    1,
    "How many processes serve on the port, each with a copy of the model.",
    lower_bound=1,
)
_ENABLE_BATCHING = flags.DEFINE_bool(
    "enable_batching", True, "Whether to run concurrent calls as batches."
)
flags.adopt_module_key_flags(mnist_batching_flags)
flags.adopt_module_key_flags(mnist_server_flags)


def main(argv: Sequence[str]) -> int:
    """Runs the program; see the module docstring."""
    export_dir = _export_dir(argv[1:])
    this_worker = worker.Worker.from_environment()
    if this_worker is None and _NUM_WORKERS.value > 1:
        return _supervise()
    _serve(export_dir, this_worker)
    return 0


def _supervise() -> int:
    """Runs worker processes until a signal arrives; returns the exit code.

    This process never imports what serves, which takes ten times the memory of
    all the rest.
    """
    termination = signals.Termination()
    with contextlib.ExitStack() as stack:
        with mnist_server_flags.port_named():
            port = stack.enter_context(
                shared_port.SharedPort(
                    server_flags.address(mnist_server_flags.PORT.value)
                )
            ).port
        workers = stack.enter_context(
            supervisor.Supervisor(
                worker_process.own_command([f"--port={port}"]),
                _supervisor_options(),
                termination,
            )
        )
        return workers.run(
            lambda: mnist_server_flags.say_running(port),
            server_flags.shutdown().seconds_with_calls,
        )


def _supervisor_options() -> supervisor.Options:
    if mnist_server_flags.RPC_LANE.value == "grpcio":
        # It does not prove that it answers calls.
        return supervisor.Options(
            _NUM_WORKERS.value, heartbeat_timeout_seconds=0
        )
    return supervisor.Options(_NUM_WORKERS.value)


def _serve(export_dir: str, this_worker: worker.Worker | None) -> None:
    """Serves in this process until a signal comes."""
    termination = signals.Termination(ignores_the_next=this_worker is not None)
    with this_worker or contextlib.nullcontext():
        with termination.ending_at_once():
            # Late: a supervisor does without it, and signals end the import.
            from tensorflow_serving.example import mnist_static_server

            gc.freeze()  # see program.run()
        mnist_static_server.serve(
            export_dir,
            termination,
            this_worker,
            enables_batching=_ENABLE_BATCHING.value,
        )


def _export_dir(arguments: Sequence[str]) -> str:
    """Returns the one argument, checked."""
    if len(arguments) != 1:
        raise app.UsageError(
            "the folder of a version, such as /tmp/mnist_model/00000001, must "
            f"be the one argument; got {list(arguments)}"
        )
    return arguments[0]


if __name__ == "__main__":
    program.run(main)
