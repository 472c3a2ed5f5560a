"""Serves the newest version of a model over gRPC, in batches, as it changes.

Usage: mnist_inference_2 --port=9000 /tmp/monitored

where mnist_export, or a copy of what it made, puts a folder for each version.
A new version is loaded while the old one serves; when it can answer it takes
over, and the old one is unloaded. If the newest one is removed, the one before
takes over in the same way. A version that is broken, or not complete yet, takes
nobody's place; the log says what became of each.

The server listens once there is a version, and answers as mnist_inference does:
MnistService.Classify, health and reflection until SIGTERM or Ctrl-C; then it
refuses new calls, finishes those that it has, and exits with 0.
"""

import contextlib
import os
from collections.abc import Sequence

from absl import app, flags, logging

from tensorflow_serving.example import (
    mnist_batches,
    mnist_batching_flags,
    mnist_newest_version,
    mnist_server,
    mnist_server_flags,
    mnist_versions,
)
from tensorflow_serving.rpc import server_flags, shutdown
from tensorflow_serving.servables.tensorflow import process_tuning
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
    storage_path_manager,
    version_check,
)
from tensorflow_serving.util import (
    errors,
    program,
    signals,
)

_FILE_SYSTEM_POLL_WAIT_SECONDS = flags.DEFINE_float(
    "file_system_poll_wait_seconds",
    1.0,
    "How often to look for new versions; 0: only at the start.",
    lower_bound=0.0,
)
flags.adopt_module_key_flags(mnist_batching_flags)
flags.adopt_module_key_flags(mnist_server_flags)

_SERVABLE_NAME = "default"


def _monitored(
    argv: Sequence[str],
) -> file_system_storage_path_source.ServableToMonitor:
    """Returns what the argument names, checked; storage may hang in it."""
    if len(argv) != 2:
        raise app.UsageError(
            "BASE_PATH, the folder that versions are put in, such as "
            f"/tmp/monitored, must be the one argument; got {argv[1:]}"
        )
    if not os.path.isdir(argv[1]):
        raise errors.NotFoundError(
            "BASE_PATH must be a folder that is there and that versions are "
            f"put in, such as /tmp/monitored; got {argv[1]}"
        )
    return file_system_storage_path_source.ServableToMonitor(
        _SERVABLE_NAME, argv[1], version_check=version_check.session_bundle
    )


def _leave_loads(versions: storage_path_manager.StoragePathManager) -> None:
    """Ends the process if a version is being loaded.

    That may take minutes and cannot be interrupted, and nobody waits for it.
    """
    if versions.is_loading:
        logging.info("Leaving a version that is being loaded")
        shutdown.leave(0)


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    termination = signals.Termination()
    termination.end_within(server_flags.shutdown().max_seconds)
    process_tuning.tune()
    scheduler_options = mnist_batching_flags.scheduler_options()
    with contextlib.ExitStack() as stack:
        with termination.ending_at_once():
            versions = stack.enter_context(
                mnist_versions.serving(
                    _monitored(argv),
                    file_system_poll_wait_seconds=(
                        _FILE_SYSTEM_POLL_WAIT_SECONDS.value
                    ),
                    max_batch_size=scheduler_options.queue.batch_size_limit,
                )
            )
        name = versions.wait_until_available(termination)
        if name is not None:
            logging.info("Stopping because of %s", name)
            shutdown.end_soon(termination)
            _leave_loads(versions)
            return
        service = stack.enter_context(
            mnist_batches.serving(
                mnist_newest_version.NewestVersion(
                    versions.manager, _SERVABLE_NAME
                ).classify,
                [mnist_batches.SCORES, mnist_batches.VERSION],
                scheduler_options,
            )
        )
        mnist_server.serve(service, termination)
        _leave_loads(versions)


if __name__ == "__main__":
    program.run(main)
