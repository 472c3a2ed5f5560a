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
import re
import sys
from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.example import mnist_server_flags
from tensorflow_serving.rpc import shared_port, supervisor, worker
from tensorflow_serving.util import errors, program, signals

_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    1,
    "How many processes serve on the port, each with a copy of the model.",
    lower_bound=1,
)
flags.adopt_module_key_flags(mnist_server_flags)

_HELP = re.compile(r"--?(help|helpfull|helpshort|helpxml|\?)(=.*)?")


def main() -> None:
    """Runs the program; see the module docstring."""
    try:
        this_worker = worker.Worker.from_environment()
    except errors.FailedPreconditionError as error:
        sys.exit(f"ERROR: {error}")
    arguments = None if this_worker else _arguments_for_workers()
    if arguments is None:
        _serve(this_worker)
    else:
        _supervise(arguments)


def _arguments_for_workers() -> Sequence[str] | None:
    """Returns the arguments if other processes are to serve; otherwise None.

    This process then never imports what serves, which takes ten times the
    memory of all the rest. The flags that it does not know are among the
    arguments; workers check them. Help is for all flags.
    """
    try:
        arguments = flags.FLAGS(sys.argv, known_only=True)[1:]
    except flags.Error:  # reported when all flags are known
        return None
    if (
        _NUM_WORKERS.value == 1
        or flags.FLAGS.only_check_args
        or any(map(_HELP.fullmatch, arguments))
    ):
        return None
    return arguments


def _supervise(arguments: Sequence[str]) -> None:
    """Keeps processes that serve until a signal comes."""

    def keep_workers(argv: Sequence[str]) -> int:
        if not any(each.startswith("-") for each in arguments):
            _export_dir(arguments)
        termination = signals.Termination()
        with contextlib.ExitStack() as stack:
            with mnist_server_flags.port_named():
                port = stack.enter_context(
                    shared_port.SharedPort(mnist_server_flags.address())
                ).port
            workers = stack.enter_context(
                supervisor.Supervisor(
                    supervisor.own_command([f"--port={port}"]),
                    _supervisor_options(),
                    termination,
                )
            )
            return workers.run(
                lambda: mnist_server_flags.say_running(port),
                mnist_server_flags.DRAIN_DELAY_SECONDS.value
                + mnist_server_flags.SHUTDOWN_GRACE_SECONDS.value,
            )

    # The flags that are known have their values.
    del sys.argv[1:]
    program.run(keep_workers)


def _supervisor_options() -> supervisor.Options:
    if mnist_server_flags.RPC_LANE.value == "grpcio":
        # It does not prove that it answers calls.
        return supervisor.Options(
            _NUM_WORKERS.value, heartbeat_timeout_seconds=0
        )
    return supervisor.Options(_NUM_WORKERS.value)


def _serve(this_worker: worker.Worker | None) -> None:
    """Serves in this process until a signal comes."""
    termination = signals.Termination(ignores_the_next=this_worker is not None)
    with this_worker or contextlib.nullcontext():
        with termination.ending_at_once():
            # Late, for the sake of a supervisor, and of a signal meanwhile.
            from tensorflow_serving.example import mnist_static_server

        def serve(argv: Sequence[str]) -> None:
            mnist_static_server.serve(
                _export_dir(argv[1:]), termination, this_worker
            )

        flags.adopt_module_key_flags(mnist_static_server)
        flags.FLAGS.unparse_flags()
        program.run(serve)


def _export_dir(arguments: Sequence[str]) -> str:
    """Returns the one argument, checked."""
    if len(arguments) != 1:
        raise app.UsageError(
            "the folder of a version, such as /tmp/mnist_model/00000001, must "
            f"be the one argument; got {list(arguments)}"
        )
    return arguments[0]


if __name__ == "__main__":
    main()
