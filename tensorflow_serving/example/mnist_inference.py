"""Serves an export of mnist_export over gRPC, in batches.

Usage: mnist_inference --port=9000 /tmp/mnist_model/00000001

Answers MnistService.Classify (see mnist_inference.proto), the standard health
service and reflection until SIGTERM or Ctrl-C; then it refuses new calls,
finishes those that it has, and exits with 0.

No call blocks a thread. A call whose caller leaves, or whose deadline passes,
leaves the queue; a call that finds the queue full gets UNAVAILABLE at once.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import cast

from absl import app, flags, logging

from tensorflow_serving.batching import (
    batch_queue,
    batching_session,
    shared_batch_scheduler,
)
from tensorflow_serving.example import mnist_service
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.rpc import shared_port, supervisor, worker
from tensorflow_serving.servables.tensorflow import (
    session_bundle_config_pb2,
    session_bundle_factory,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.util import errors, program, signals

_PORT = flags.DEFINE_integer(
    "port",
    0,
    "Port to listen on; 0 picks a free one and prints it.",
    lower_bound=0,
    upper_bound=65535,
)
_ENABLE_BATCHING = flags.DEFINE_bool(
    "enable_batching", True, "Whether to run concurrent calls as batches."
)
_MAX_BATCH_SIZE = flags.DEFINE_integer(
    "max_batch_size", 64, "The most images in a batch.", lower_bound=1
)
_BATCH_TIMEOUT_MICROS = flags.DEFINE_integer(
    "batch_timeout_micros",
    batch_queue.QueueOptions.batch_timeout_micros,
    "How long the first image of a batch waits for others; 0: not at all.",
    lower_bound=0,
)
_IDLE_MEANS_GO = flags.DEFINE_bool(
    "idle_means_go",
    True,
    "Whether a batch thread with nothing else to do takes what waits, instead "
    "of waiting for --batch_timeout_micros.",
)
_MAX_ENQUEUED_BATCHES = flags.DEFINE_integer(
    "max_enqueued_batches",
    64,
    "How many batches may wait for a batch thread; calls beyond that are "
    "refused with UNAVAILABLE.",
    lower_bound=1,
)
_NUM_BATCH_THREADS = flags.DEFINE_integer(
    "num_batch_threads",
    shared_batch_scheduler.Options.num_batch_threads,
    "How many batches run at the same time.",
    lower_bound=1,
)
_MAX_CONCURRENT_CALLS = flags.DEFINE_integer(
    "max_concurrent_calls",
    0,
    "How many calls may be without an answer at the same time; more are "
    "refused with RESOURCE_EXHAUSTED. 0: any number.",
    lower_bound=0,
)
_NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    1,
    "How many processes serve on the port, each with a copy of the model.",
    lower_bound=1,
)
_SHUTDOWN_GRACE_SECONDS = flags.DEFINE_float(
    "shutdown_grace_seconds",
    30.0,
    "How long calls that run may take to finish after SIGTERM or Ctrl-C.",
    lower_bound=0.0,
)


def _config() -> session_bundle_config_pb2.SessionBundleConfig:
    config = session_bundle_config_pb2.SessionBundleConfig()
    # A thread hand-over for each operation takes longer than a small model.
    config.session_config.experimental.executor_type = (
        "SINGLE_THREADED_EXECUTOR"
    )
    if _ENABLE_BATCHING.value:
        batching = config.batching_parameters
        batching.thread_pool_name.value = "mnist_service_batch_threads"
        batching.max_batch_size.value = _MAX_BATCH_SIZE.value
        batching.batch_timeout_micros.value = _BATCH_TIMEOUT_MICROS.value
        batching.idle_means_go.value = _IDLE_MEANS_GO.value
        # Also so that nobody sees an error that is about the image of another.
        batching.rerun_failed_batches.value = True
        batching.max_enqueued_batches.value = _MAX_ENQUEUED_BATCHES.value
        batching.num_batch_threads.value = _NUM_BATCH_THREADS.value
    return config


def _service(
    bundle: session_bundle.SessionBundle[session.Session],
) -> call_lib.Service:
    if not _ENABLE_BATCHING.value:
        return mnist_service.MnistService(bundle).service()
    return mnist_service.AsyncMnistService(
        cast(
            session_bundle.SessionBundle[batching_session.BatchingSession],
            bundle,
        )
    ).service()


@contextlib.contextmanager
def _port_named() -> Iterator[None]:
    """Adds the flag to the error of a port that is in use."""
    try:
        yield
    except errors.UnavailableError as error:
        raise errors.UnavailableError(
            f"--port must be a free port, or 0 to pick one; got {_PORT.value} "
            f"({error})"
        ) from None


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
        with _port_named():
            server = stack.enter_context(
                server_lib.Server(
                    f"0.0.0.0:{_PORT.value}",
                    [_service(bundle)],
                    server_lib.Options(
                        num_threads=2 * (os.cpu_count() or 1),
                        max_concurrent_calls=_MAX_CONCURRENT_CALLS.value,
                        reuse_port=this_worker is not None,
                    ),
                )
            )
        server.start()
        if this_worker:
            this_worker.ready()
        else:
            _say_running(server.port)
        logging.info("Stopping because of %s", termination.wait())
        if not server.stop(_SHUTDOWN_GRACE_SECONDS.value):
            logging.warning(
                "Calls must finish within --shutdown_grace_seconds=%g; leaving "
                "those that did not",
                _SHUTDOWN_GRACE_SECONDS.value,
            )
            # Their threads would keep the process, for as long as they like.
            os._exit(0)
        logging.info("Stopped")


def _supervise() -> None:
    """Keeps processes that serve until a signal comes."""
    with contextlib.ExitStack() as stack:
        with _port_named():
            port = stack.enter_context(
                shared_port.SharedPort(f"0.0.0.0:{_PORT.value}")
            ).port
        termination = signals.Termination()
        workers = stack.enter_context(
            supervisor.Supervisor(
                supervisor.own_command([f"--port={port}"]), _NUM_WORKERS.value
            )
        )
        _say_running(port)
        logging.info("Stopping because of %s", termination.wait())
        workers.stop(_SHUTDOWN_GRACE_SECONDS.value)
        logging.info("Stopped")


def _say_running(port: int) -> None:
    print(f"Running... listening on 0.0.0.0:{port}", flush=True)


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 2:
        raise app.UsageError(
            "the folder of a version, such as /tmp/mnist_model/00000001, must "
            f"be the one argument; got {argv[1:]}"
        )
    this_worker = worker.Worker.from_environment()
    if _NUM_WORKERS.value > 1 and not this_worker:
        _supervise()
    else:
        _serve(argv[1], this_worker)


if __name__ == "__main__":
    program.run(main)
