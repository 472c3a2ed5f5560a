"""A server of ours in a process of its own: where it is, and what it takes.

Programs show its two flags in --help:

    flags.adopt_module_key_flags(served)
"""

import contextlib
import os
import shlex
import tempfile
import threading
import urllib.request
from collections.abc import Iterator

from absl import flags

from tensorflow_serving.benchmarks import loads, workload
from tensorflow_serving.rpc import message_frame
from tensorflow_serving.test_util import (
    held_port,
    process_watcher,
)
from tensorflow_serving.util import server_process

_SCRAPE_SECONDS = 1.0

_FLAGS = flags.DEFINE_string(
    "server_flags", "", "Flags of the server, such as --max_batch_size=64."
)
_LOG = flags.DEFINE_string(
    "server_log", None, "The file that the server logs to; by default nowhere."
)


def path_of(program: str) -> str:
    """Returns the path of "folder/program" in the runfiles."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(folder, program)


class Served(server_process.ServerProcess):
    """A process that serves a model.

    with Served("example/mnist_inference", work, argument=path) as server:
        h2load.run(server.target, load)

    Not thread-safe.
    """

    def __init__(
        self,
        program: str,
        work: workload.Work,
        *own_flags: str,
        argument: str | None = None,
    ) -> None:
        """Starts the program on a free port; returns once it listens.

        Args:
          program: Its folder and its name.
          work: The requests that it gets and the right answers.
          *own_flags: Its flags, without a port.
          argument: What follows them.

        Raises:
          FailedPreconditionError: The program ended without listening.
        """
        self.work = work
        with contextlib.ExitStack() as stack:
            self._folder = stack.enter_context(tempfile.TemporaryDirectory())
            # The model server takes 0 for no port.
            port = stack.enter_context(held_port.hold())
            path = _LOG.value or os.devnull
            log = stack.enter_context(
                open(path, "a", encoding="utf-8", buffering=1)
            )
            self._stack = stack.pop_all()
        super().__init__(
            [
                path_of(program),
                f"--port={port}",
                *own_flags,
                *shlex.split(_FLAGS.value),
                *([argument] if argument else []),
            ],
            collects_log=True,
            on_log_line=log.write,
        )
        self.target = self.target_of("ours", work)
        self._watcher = process_watcher.ProcessWatcher(self.pid)

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
            address=f"127.0.0.1:{self.port}",
            method=work.method,
            body_path=body_path,
            framed_answer_bytes=work.framed_answer_bytes,
        )

    def __exit__(self, *exc_info: object) -> None:
        """Kills the server and removes the files."""
        super().__exit__()
        self._stack.close()


def model_server(work: workload.Work, *own_flags: str) -> Served:
    """Starts the model server, which soon sees new versions.

    Args:
      work: The requests that it gets and the right answers.
      *own_flags: Its flags, which say what models it has.
    """
    return Served(
        "model_servers/tensorflow_model_server",
        work,
        "--file_system_poll_wait_seconds=0.25",
        *own_flags,
    )


@contextlib.contextmanager
def serving(
    base_path: str, work: workload.Work, *more_flags: str
) -> Iterator[Served]:
    """Runs the model server of one model, named like its folder.

    Yields it once it has the model.

    Args:
      base_path: The folder of the model.
      work: The requests that it gets and the right answers.
      *more_flags: Further flags.
    """
    with model_server(
        work,
        f"--model_name={os.path.basename(base_path)}",
        f"--model_base_path={base_path}",
        *more_flags,
    ) as server:
        server.wait_for_log("is AVAILABLE")
        yield server


@contextlib.contextmanager
def scraping(page: str) -> Iterator[None]:
    """Reads a page each second in the with block; nothing if it is empty."""
    if not page:
        yield
        return
    is_over = threading.Event()

    def scrape() -> None:
        while True:
            with urllib.request.urlopen(page) as response:
                response.read()
            if is_over.wait(_SCRAPE_SECONDS):
                return

    thread = threading.Thread(target=scrape, name="scraper")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
