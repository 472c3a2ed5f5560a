"""A server as a separate process, from its start to its clean end."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from typing_extensions import Self

from tensorflow_serving.util import errors

_LISTENING = re.compile(
    r"listening on (?:unix:(?P<path>\S+)|\S+:(?P<port>\d+))"
)

# Longer than anything that a test waits for.
_LOG_SECONDS = 60.0


class ServerProcess:
    """Runs a server program that prints "listening on HOST:PORT".

    with ServerProcess([binary, "--port=0", export_dir]) as server:
        channel = grpc.insecure_channel(server.address)

    Its standard error goes where that of this process goes. With collects_log
    its lines can be waited for as well:

        with ServerProcess(command, collects_log=True) as server:
            num_lines = server.wait_for_log("version: 1} is AVAILABLE")
            server.wait_for_log("version: 1} is END", num_lines)

    A context manager that kills a server that still runs.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        collects_log: bool = False,
        on_log_line: Callable[[str], object] | None = None,
        waits: bool = True,
    ) -> None:
        """Starts the program.

        Args:
          command: The program and its arguments.
          collects_log: Whether to keep the lines of its standard error.
          on_log_line: Takes each of them, with its end, on a thread; by default
            they are passed on. Needs collects_log.
          waits: Whether to return once it listens. If not, call
            wait_until_listening() for that.

        Raises:
          FailedPreconditionError: It ended without listening.
        """
        self._command = command
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if collects_log else None,
            text=True,
            # A log may quote what is no text.
            errors="replace",
        )
        self._log = _Log(self._process, on_log_line) if collects_log else None
        self._port: int | None = None
        self._socket_path = ""
        if not waits:
            return
        try:
            self.wait_until_listening()
        except BaseException:
            self.__exit__()
            raise

    def wait_until_listening(self) -> None:
        """Returns once the server has said so.

        Raises:
          FailedPreconditionError: It ended before.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := _LISTENING.search(line):
                self._port = int(match["port"] or 0)
                self._socket_path = match["path"] or ""
                return
        raise errors.FailedPreconditionError(
            "server must listen; got exit code "
            f"{self._process.wait()}: {' '.join(map(str, self._command))}"
        )

    @property
    def port(self) -> int:
        """Where the server listens."""
        assert self._port is not None, "the server must listen"
        return self._port

    @property
    def address(self) -> str:
        """Host and port for a client on this machine, or a UNIX socket."""
        if self._socket_path:
            return f"unix:{self._socket_path}"
        return f"localhost:{self.port}"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def child_pids(self) -> list[int]:
        """Returns the process ids of its children, such as its workers."""
        tasks = pathlib.Path(f"/proc/{self.pid}/task")
        children: list[int] = []
        for path in tasks.glob("*/children"):
            # Threads come and go meanwhile.
            with contextlib.suppress(OSError):
                children.extend(map(int, path.read_text().split()))
        return children

    @property
    def log_lines(self) -> Sequence[str]:
        """The lines that the server has logged so far; needs collects_log."""
        assert self._log is not None
        return self._log.lines()

    def wait_for_log(self, pattern: str, start: int = 0) -> int:
        """Waits until a line of the log matches; needs collects_log.

        Args:
          pattern: A regular expression, for any part of the line.
          start: How many of the first lines do not count.

        Returns:
          The number of lines up to that one: the start for what comes later.

        Raises:
          DeadlineExceededError: There is none within a minute.
          FailedPreconditionError: The log has ended.
        """
        assert self._log is not None
        return self._log.wait_for(pattern, start)

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

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Kills the server if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._log is not None:
            self._log.close()
        assert self._process.stdout is not None
        self._process.stdout.close()


class _Log:
    """The lines of the standard error of a process, which it hands on.

    Thread-safe.
    """

    def __init__(
        self,
        process: subprocess.Popen[str],
        on_line: Callable[[str], object] | None,
    ) -> None:
        """Starts to read, on a thread that ends with the process."""
        assert process.stderr is not None
        self._file = process.stderr
        self._on_line = on_line or sys.stderr.write
        self._lock = threading.Lock()
        # There is one more line, or the end. Wakes wait_for().
        self._news = threading.Condition(self._lock)
        # Both guarded by _lock.
        self._lines: list[str] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._read, name="log")
        self._thread.start()

    def lines(self) -> Sequence[str]:
        """Returns those that have come so far."""
        with self._lock:
            return tuple(self._lines)

    def wait_for(self, pattern: str, start: int) -> int:
        """See ServerProcess.wait_for_log()."""
        deadline = time.monotonic() + _LOG_SECONDS
        number = start
        with self._lock:
            while True:
                for line in self._lines[number:]:
                    number += 1
                    if re.search(pattern, line):
                        return number
                error = (
                    f"log must have a line like {pattern!r} after line "
                    f"{start}; got {len(self._lines)} lines"
                )
                if self._is_over:
                    raise errors.FailedPreconditionError(f"{error} and the end")
                if time.monotonic() >= deadline:
                    raise errors.DeadlineExceededError(error)
                self._news.wait(deadline - time.monotonic())

    def close(self) -> None:
        """Reads to the end, which the process must have come to."""
        self._thread.join()
        self._file.close()

    def _read(self) -> None:
        for line in self._file:
            self._on_line(line)
            with self._lock:
                self._lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._lock:
            self._is_over = True
            self._news.notify_all()
