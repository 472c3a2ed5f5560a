"""A model with random weights, in a server of its own."""

import contextlib
import os
import shlex
import tempfile

from tensorflow_serving.benchmarks import (
    loads,
    models,
    process_watcher,
    reference_model,
    results,
    workload,
)
from tensorflow_serving.test_util import server_process

_NUM_IMAGES = 100

# In the runfiles, beside this package.
_SERVER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    "example",
    "mnist_inference",
)


class ServedModel:
    """Exports a model, asks it for the right answers, and serves it.

    A context manager that stops the server and removes the export. Not
    thread-safe.
    """

    def __init__(
        self, model: str, server_flags: str, in_process_seconds: float
    ) -> None:
        """Starts the server.

        Args:
          model: One of models.NAMES.
          server_flags: Of mnist_inference, such as "--max_batch_size=64".
          in_process_seconds: How long to measure each batch size without a
            server, before there is one; 0: not at all.

        Raises:
          FailedPreconditionError: The server does not start.
        """
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="serving_benchmark_")
            )
            version_dir = models.export(
                model, os.path.join(self._folder, "model")
            )
            images = workload.random_images(_NUM_IMAGES, seed=0)
            with reference_model.ReferenceModel(version_dir) as reference:
                self.workload = workload.Workload(
                    images, reference.scores(images)
                )
                # Images a second, by batch size.
                self.in_process = (
                    reference.images_per_second(images[0], in_process_seconds)
                    if in_process_seconds
                    else {}
                )
            self._server = stack.enter_context(
                server_process.ServerProcess(
                    [
                        _SERVER,
                        "--port=0",
                        *shlex.split(server_flags),
                        version_dir,
                    ]
                )
            )
            # The answers of the workload, for other processes.
            self.workload_path = self._write_files()
            self._stack = stack.pop_all()
        self.watcher = process_watcher.ProcessWatcher(self._server.pid)

    @property
    def target(self) -> loads.Target:
        """Where loads go."""
        return loads.Target(
            name=results.OURS,
            address=f"127.0.0.1:{self._server.port}",
            method=workload.CLASSIFY,
            body_path=os.path.join(self._folder, "body"),
            framed_answer_bytes=self.workload.framed_answer_bytes,
        )

    def __enter__(self) -> "ServedModel":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Ends the server and removes the files."""
        self._stack.close()

    def _write_files(self) -> str:
        with open(os.path.join(self._folder, "body"), "wb") as file:
            file.write(workload.framed(self.workload.requests[0]))
        path = os.path.join(self._folder, "workload")
        self.workload.save(path)
        return path
