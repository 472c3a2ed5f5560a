"""Serves an export of mnist_export over gRPC, in batches.

Usage: mnist_inference --port=9000 /tmp/mnist_model/00000001

Answers MnistService.Classify (see mnist_inference.proto), the standard health
service and reflection until SIGTERM or Ctrl-C; then it refuses new calls,
finishes those that it has, and exits with 0.

No call blocks a thread. A call whose caller leaves, or whose deadline passes,
leaves the queue; a call that finds the queue full gets UNAVAILABLE at once.
"""

import contextlib
from collections.abc import Sequence
from typing import cast

from absl import app, flags

from tensorflow_serving.batching import batching_session
from tensorflow_serving.example import (
    mnist_batching_flags,
    mnist_classifier,
    mnist_server,
    mnist_service,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import shared_port, supervisor, worker
from tensorflow_serving.servables.tensorflow import (
    session_bundle_config_pb2,
    session_bundle_factory,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.util import program, signals

_ENABLE_BATCHING = flags.DEFINE_bool(
    "enable_batching", True, "Whether to run concurrent calls as batches."
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    1,
    "How many processes serve on the port, each with a copy of the model.",
    lower_bound=1,
)
flags.adopt_module_key_flags(mnist_batching_flags)
flags.adopt_module_key_flags(mnist_server)


def _config() -> session_bundle_config_pb2.SessionBundleConfig:
    config = mnist_classifier.session_bundle_config()
    if _ENABLE_BATCHING.value:
        config.batching_parameters.CopyFrom(
            mnist_batching_flags.batching_parameters()
        )
    return config


def _service(
    bundle: session_bundle.SessionBundle[session.Session],
) -> call_lib.Service:
    if not _ENABLE_BATCHING.value:
        return mnist_service.MnistService(bundle).service()
    return mnist_service.AsyncMnistService.of_bundle(
        cast(
            session_bundle.SessionBundle[batching_session.BatchingSession],
            bundle,
        )
    ).service()


def _serve(export_dir: str, this_worker: worker.Worker | None) -> None:
    """Serves in this process until a signal comes."""
    with contextlib.ExitStack() as stack:
        if this_worker:
            stack.enter_context(this_worker)
        termination = signals.Termination(
            ignores_the_next=this_worker is not None
        )
        factory = stack.enter_context(
            session_bundle_factory.SessionBundleFactory.create(_config())
        )
        bundle = stack.enter_context(factory.create_session_bundle(export_dir))

        def say_running(port: int) -> None:
            if this_worker:
                this_worker.ready()
            else:
                mnist_server.say_running(port)

        mnist_server.serve(
            _service(bundle),
            termination,
            say_running,
            reuse_port=this_worker is not None,
        )


def _supervise() -> int:
    """Keeps processes that serve until a signal; returns the exit code."""
    termination = signals.Termination()
    with contextlib.ExitStack() as stack:
        with mnist_server.port_named():
            port = stack.enter_context(
                shared_port.SharedPort(f"0.0.0.0:{mnist_server.PORT.value}")
            ).port
        workers = stack.enter_context(
            supervisor.Supervisor(
                supervisor.own_command([f"--port={port}"]),
                # The server sends no heartbeats.
                supervisor.Options(
                    _NUM_WORKERS.value, heartbeat_timeout_seconds=0
                ),
                termination,
            )
        )
        return workers.run(
            lambda: mnist_server.say_running(port),
            mnist_server.SHUTDOWN_GRACE_SECONDS.value,
        )


def main(argv: Sequence[str]) -> int:
    """Runs the program; see the module docstring."""
    if len(argv) != 2:
        raise app.UsageError(
            "the folder of a version, such as /tmp/mnist_model/00000001, must "
            f"be the one argument; got {argv[1:]}"
        )
    this_worker = worker.Worker.from_environment()
    if _NUM_WORKERS.value > 1 and not this_worker:
        return _supervise()
    _serve(argv[1], this_worker)
    return 0


if __name__ == "__main__":
    program.run(main)
