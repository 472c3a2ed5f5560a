"""A server as a process of its own, from its start to its clean end."""

import os
import re
import signal
import subprocess
from collections.abc import Sequence

from tensorflow_serving.util import errors

_LISTENING = re.compile(r"listening on \S+:(\d+)")


class ServerProcess:
    """Runs a server program that prints "listening on HOST:PORT".

    with ServerProcess([binary, "--port=0", export_dir]) as server:
        channel = grpc.insecure_channel(server.address)

    Its standard error goes where that of this process goes. A context manager
    that kills a server that still runs.
    """

    def __init__(self, command: Sequence[str | os.PathLike[str]]) -> None:
        """Starts the program; returns once it listens.

        Raises:
          FailedPreconditionError: It ended without listening.
        """
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := _LISTENING.search(line):
                self.port = int(match[1])
                return
        self._process.stdout.close()
        raise errors.FailedPreconditionError(
            "server must listen; got exit code "
            f"{self._process.wait()}: {' '.join(map(str, command))}"
        )

    @property
    def address(self) -> str:
        """Host and port for a client on this machine."""
        return f"localhost:{self.port}"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Waits for the end; returns the exit code, negative for a signal."""
        return self._process.wait()

    def stop(self) -> int:
        """Sends SIGTERM and waits for the end; returns the exit code."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def __enter__(self) -> "ServerProcess":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Kills the server if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
