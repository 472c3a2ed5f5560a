"""A server of versions, in a process whose log and memory are watched."""

import contextlib
import os
import signal
from collections.abc import Sequence

from tensorflow_serving.benchmarks import process_watcher, version_log
from tensorflow_serving.core import servable
from tensorflow_serving.test_util import server_process

# The servable that MnistService asks.
SERVABLE_NAME = "default"

# In the runfiles, beside this package.
_SERVER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    "example",
    "mnist_inference_2",
)


def mnist_inference_2(
    base_path: str, poll_seconds: float, flags: Sequence[str] = ()
) -> list[str]:
    """Returns the command that serves a folder of versions."""
    return [
        _SERVER,
        "--port=0",
        f"--file_system_poll_wait_seconds={poll_seconds}",
        *flags,
        base_path,
    ]


def version_id(version: int) -> servable.ServableId:
    """Returns the id that the log has for a version of the served model."""
    return servable.ServableId(SERVABLE_NAME, version)


class WatchedServer:
    """Runs a server program from its start to its end.

    A context manager that kills it. Not thread-safe, but for the log.
    """

    def __init__(
        self,
        command: Sequence[str],
        log_path: str | None,
        log: version_log.VersionLog | None = None,
    ) -> None:
        """Starts the program; returns once it listens.

        Args:
          command: The program and its arguments.
          log_path: A file that its log is appended to; None for nowhere.
          log: What takes its lines; a new one by default.

        Raises:
          FailedPreconditionError: It ended without listening.
        """
        self.log = log or version_log.VersionLog()
        with contextlib.ExitStack() as stack:
            self._log_file = (
                stack.enter_context(open(log_path, "a", encoding="utf-8"))
                if log_path
                else None
            )
            self._process = stack.enter_context(
                server_process.ServerProcess(
                    command, collects_log=True, on_log_line=self._take
                )
            )
            self._stack = stack.pop_all()
        self._watcher = process_watcher.ProcessWatcher(self._process.pid)

    @property
    def address(self) -> str:
        """Host and port for a client on this machine."""
        return f"127.0.0.1:{self._process.port}"

    def resident_bytes(self) -> int:
        """Returns how much memory it takes now."""
        return self._watcher.usage().resident_bytes

    def kill(self) -> None:
        """Ends it with SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def __enter__(self) -> "WatchedServer":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Kills the server if it still runs."""
        self._stack.close()

    def _take(self, line: str) -> None:
        """Runs on the thread that reads the log."""
        self.log.take(line)
        if self._log_file is not None:
            self._log_file.write(line)
            self._log_file.flush()
