"""Serves an export of mnist_export over gRPC, in batches.

Usage: mnist_inference --port=9000 /tmp/mnist_model/00000001

Answers MnistService.Classify (see mnist_inference.proto), the standard health
service and reflection until SIGTERM or Ctrl-C; then it refuses new calls,
finishes those that it has, and exits with 0.

This is the simple server: each call blocks a thread until its batch is done.
"""

import os
from collections.abc import Sequence

from absl import app, flags, logging

from tensorflow_serving.batching import batch_queue, shared_batch_scheduler
from tensorflow_serving.example import mnist_service
from tensorflow_serving.rpc import server as server_lib
from tensorflow_serving.servables.tensorflow import (
    session_bundle_config_pb2,
    session_bundle_factory,
)
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
    "max_batch_size",
    batch_queue.QueueOptions.max_batch_size,
    "The most images in a batch.",
    lower_bound=1,
)
_BATCH_TIMEOUT_MICROS = flags.DEFINE_integer(
    "batch_timeout_micros",
    batch_queue.QueueOptions.batch_timeout_micros,
    "How long the first image of a batch waits for others; 0: not at all.",
    lower_bound=0,
)
_MAX_ENQUEUED_BATCHES = flags.DEFINE_integer(
    "max_enqueued_batches",
    batch_queue.QueueOptions.max_enqueued_batches,
    "How many batches may wait for a batch thread.",
    lower_bound=1,
)
_NUM_BATCH_THREADS = flags.DEFINE_integer(
    "num_batch_threads",
    shared_batch_scheduler.Options.num_batch_threads,
    "How many batches run at the same time.",
    lower_bound=1,
)
_SHUTDOWN_GRACE_SECONDS = flags.DEFINE_float(
    "shutdown_grace_seconds",
    30.0,
    "How long calls that run may take to finish after SIGTERM or Ctrl-C.",
    lower_bound=0.0,
)


def _num_batches() -> int:
    """Returns how many batches may run or wait."""
    return int(_NUM_BATCH_THREADS.value + _MAX_ENQUEUED_BATCHES.value)


def _num_threads() -> int:
    """Returns how many calls may run: as many as fit in those batches.

    More calls wait in the gRPC server.
    """
    if not _ENABLE_BATCHING.value:
        return 2 * (os.cpu_count() or 1)
    return int(_MAX_BATCH_SIZE.value * _num_batches())


def _config() -> session_bundle_config_pb2.SessionBundleConfig:
    config = session_bundle_config_pb2.SessionBundleConfig()
    if _ENABLE_BATCHING.value:
        batching = config.batching_parameters
        batching.thread_pool_name.value = "mnist_service_batch_threads"
        batching.max_batch_size.value = _MAX_BATCH_SIZE.value
        batching.batch_timeout_micros.value = _BATCH_TIMEOUT_MICROS.value
        # Room for every call that has a thread, also while small batches run:
        # what has begun is never refused.
        batching.max_enqueued_batches.value = _num_batches()
        batching.num_batch_threads.value = _NUM_BATCH_THREADS.value
    return config


def _listen(service: server_lib.Service) -> server_lib.Server:
    try:
        return server_lib.Server(
            f"0.0.0.0:{_PORT.value}", [service], num_threads=_num_threads()
        )
    except errors.UnavailableError as error:
        raise errors.UnavailableError(
            f"--port must be a free port, or 0 to pick one; got {_PORT.value} "
            f"({error})"
        ) from None


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 2:
        raise app.UsageError(
            "the folder of a version, such as /tmp/mnist_model/00000001, must "
            f"be the one argument; got {argv[1:]}"
        )
    with (
        session_bundle_factory.SessionBundleFactory.create(
            _config()
        ) as factory,
        factory.create_session_bundle(argv[1]) as bundle,
        _listen(mnist_service.MnistService(bundle).service()) as server,
    ):
        termination = signals.Termination()
        server.start()
        print(f"Running... listening on 0.0.0.0:{server.port}", flush=True)
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


if __name__ == "__main__":
    program.run(main)
