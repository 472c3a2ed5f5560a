"""One process of a worker, as its supervisor sees it."""

import os
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Mapping, Sequence

from tensorflow_serving.rpc import heartbeats, worker


class WorkerProcess:
    """A process of a worker, from its start to its end.

    Not thread-safe: its supervisor guards it, except for read() and
    wait_for_end(), which block and are for one thread.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        descriptors: Mapping[str, int] = types.MappingProxyType({}),
    ) -> None:
        """Starts the process.

        Args:
          command: The program and its arguments.
          descriptors: What it inherits, by the environment variable that says
            so.

        Raises:
          OSError: The command cannot be run.
        """
        self._process, self._socket = _spawn(command, descriptors)
        # When it was ready, by the clock of the supervisor, and from then on.
        self.ready_time: float | None = None
        self.heartbeats: heartbeats.Heartbeats | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def read(self) -> bytes:
        """Waits for what the worker sends; nothing if it closed the socket."""
        try:
            return self._socket.recv(4096)
        except OSError:
            return b""

    def wait_for_end(self) -> None:
        """Returns once the process has ended; its id remains its own."""
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def reap(self) -> int:
        """Forgets a process that has ended; returns its exit code.

        A negative one is a signal, as in subprocess.
        """
        self._socket.close()
        return self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal; not to be called after reap().

        SIGKILL is for the processes that it started, too. What has ended keeps
        its process id until it is reaped, so nobody else is hit.
        """
        if number == signal.SIGKILL:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)


def own_command(extra_flags: Sequence[str]) -> list[str]:
    """Returns the command that started this program, with more flags.

    They come after those that were given, and so win over them.
    """
    # The command of the interpreter: what Bazel runs is a program that starts
    # another one.
    given = sys.orig_argv[1:]
    end_of_flags = given.index("--") if "--" in given else len(given)
    return [
        sys.executable,
        *given[:end_of_flags],
        *extra_flags,
        *given[end_of_flags:],
    ]


def describe(exit_code: int) -> str:
    """Returns how a process ended, for people."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return signal.Signals(-exit_code).name
    except ValueError:  # a real-time signal
        return f"signal {-exit_code}"


def _spawn(
    command: Sequence[str | os.PathLike[str]],
    descriptors: Mapping[str, int],
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts a worker; returns it and the supervisor's end of its socket.

    A new program and not a mere fork, which would have the locks of this
    process but not the threads that hold them.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        inherited = {**descriptors, worker.SOCKET_VARIABLE: theirs.fileno()}
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    **{name: str(fd) for name, fd in inherited.items()},
                },
                pass_fds=list(inherited.values()),
                # Ctrl-C would come in addition to the supervisor's SIGTERM,
                # and the second signal ends a worker that drains.
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    return process, ours
