"""A server of ours in a process of its own: where it is, and what it takes."""

import contextlib
import os
import tempfile
from collections.abc import Sequence

from tensorflow_serving.benchmarks import loads, workload
from tensorflow_serving.rpc import message_frame
from tensorflow_serving.test_util import (
    held_port,
    process_watcher,
    server_process,
)

# The name of our server in tables.
OURS = "ours"


def program(package: str, name: str) -> str:
    """Returns the path of a program in the runfiles."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(folder, package, name)


class Served:
    """A process that serves a model.

    with Served([program("example", "mnist_inference"), path], work) as server:
        h2load.run(server.target, load)

    A context manager that kills the process. Not thread-safe.
    """

    def __init__(
        self,
        command: Sequence[str],
        work: workload.Work,
        log_path: str | None = None,
    ) -> None:
        """Starts the program on a free port; returns once it listens.

        Args:
          command: The program and its arguments, without a port.
          work: The requests that it gets and the right answers.
          log_path: A file that the log is appended to; None for nowhere.

        Raises:
          FailedPreconditionError: The program ended without listening.
        """
        self.work = work
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(tempfile.TemporaryDirectory())
            # The model server takes 0 for no port.
            port = stack.enter_context(held_port.hold())
            log = stack.enter_context(
                open(log_path or os.devnull, "a", encoding="utf-8", buffering=1)
            )
            self._process = stack.enter_context(
                server_process.ServerProcess(
                    [command[0], f"--port={port}", *command[1:]],
                    collects_log=True,
                    on_log_line=log.write,
                )
            )
            self._stack = stack.pop_all()
        self.target = self.target_of(OURS, work)
        self._watcher = process_watcher.ProcessWatcher(self._process.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def usage(self) -> process_watcher.Usage:
        """Returns what the server and its children took so far."""
        return self._watcher.usage()

    def target_of(self, name: str, work: workload.Work) -> loads.Target:
        """Returns this server, asked the first request of some work.

        Args:
          name: How tables call it, in a file name as well.
          work: The requests.
        """
        body_path = os.path.join(self._folder, f"{name} body")
        with open(body_path, "wb") as file:
            file.write(message_frame.frame(work.requests[0]))
        return loads.Target(
            name=name,
            address=f"127.0.0.1:{self._process.port}",
            method=work.method,
            body_path=body_path,
            framed_answer_bytes=work.framed_answer_bytes,
        )

    def wait_for_log(self, pattern: str) -> int:
        """See ServerProcess.wait_for_log()."""
        return self._process.wait_for_log(pattern)

    def __enter__(self) -> "Served":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Kills the server and removes the files."""
        self._stack.close()
