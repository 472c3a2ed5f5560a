"""Serves one model as mnist_inference_2 does, and loads another one beside it.

Usage: reloading_server --port=9000 BASE_PATH LARGE_BASE_PATH

Versions below LARGE_BASE_PATH are loaded and unloaded in the same process, and
nobody asks them. For reload_under_load.
"""

import contextlib
from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.example import (
    mnist_batches,
    mnist_batching_flags,
    mnist_newest_version,
    mnist_server,
    mnist_server_flags,
    mnist_versions,
)
from tensorflow_serving.servables.tensorflow import process_tuning
from tensorflow_serving.sources.storage_path import (
    file_system_storage_path_source,
)
from tensorflow_serving.util import program, signals

_FILE_SYSTEM_POLL_WAIT_SECONDS = flags.DEFINE_float(
    "file_system_poll_wait_seconds",
    1.0,
    "How often to look for new versions; 0: only at the start.",
    lower_bound=0.0,
)
flags.adopt_module_key_flags(mnist_batching_flags)
flags.adopt_module_key_flags(mnist_server_flags)

# The one that is asked comes first.
_SERVABLE_NAMES = ("default", "large")


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 3:
        raise app.UsageError(
            "BASE_PATH and LARGE_BASE_PATH must be the two arguments; got "
            f"{argv[1:]}"
        )
    termination = signals.Termination()
    process_tuning.tune()
    scheduler_options = mnist_batching_flags.scheduler_options()
    with contextlib.ExitStack() as stack:
        versions = stack.enter_context(
            mnist_versions.serving(
                *map(
                    file_system_storage_path_source.ServableToMonitor,
                    _SERVABLE_NAMES,
                    argv[1:],
                ),
                file_system_poll_wait_seconds=(
                    _FILE_SYSTEM_POLL_WAIT_SECONDS.value
                ),
                max_batch_size=scheduler_options.queue.batch_size_limit,
            )
        )
        if versions.wait_until_available(termination) is not None:
            return
        service = stack.enter_context(
            mnist_batches.serving(
                mnist_newest_version.NewestVersion(
                    versions.manager, _SERVABLE_NAMES[0]
                ).classify,
                [mnist_batches.SCORES, mnist_batches.VERSION],
                scheduler_options,
            )
        )
        mnist_server.serve(service, termination)


if __name__ == "__main__":
    program.run(main)
