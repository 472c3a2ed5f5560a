"""A worker that does what a test says, and its supervisor.

Usage: puppet_worker PORT [HEARTBEAT_TIMEOUT_SECONDS]

Connects to a port of this machine, on which the test listens, and sends its
process id. Then it does what the lines that it reads say; see _obey(). It sends
SIGTERM or SIGINT when it got that signal, and ends only when a line says so, or
when the connection ends: with the test, so that it outlives none.

Without a supervisor it is one itself, of two workers, which by default may be
silent.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading

from absl import logging

from tensorflow_serving.rpc import supervisor, worker, worker_process
from tensorflow_serving.util import signals

_IS_WORKER = """
from tensorflow_serving.rpc import worker
print(worker.Worker.from_environment() is not None)
"""


class _Puppet:
    """A worker and its connection to the test."""

    def __init__(self, this_worker: worker.Worker, port: int) -> None:
        self._worker = this_worker
        self._connection = socket.create_connection(("127.0.0.1", port))
        self.send(str(os.getpid()))

    def send(self, line: str) -> None:
        """Sends a line to the test, if it still listens."""
        with contextlib.suppress(OSError):
            self._connection.sendall(f"{line}\n".encode())

    def obey(self) -> None:
        """Follows orders until the end of the process."""
        try:
            with contextlib.suppress(OSError):
                for line in self._connection.makefile():
                    self._obey(*line.split())
        finally:
            os._exit(1)

    def _obey(self, order: str, *arguments: str) -> None:
        if order == "ready":
            self._worker.ready()
        elif order == "heartbeat":
            self._worker.heartbeat()
        elif order == "exit":
            os._exit(int(arguments[0]))
        elif order == "print":
            print(*arguments, flush=True)
        elif order == "hang":
            # No other thread runs Python once the test has read the line.
            sys.setswitchinterval(1000)
            self.send("hangs")
            _hang_with_interpreter()
        elif order == "leave_orphan":
            # Returns at the end of the orphan, which has its output.
            subprocess.run(["sh", "-c", "true &"], capture_output=True)
        elif order == "start_child":
            # The connection is open as long as it runs.
            subprocess.Popen(
                [sys.executable, "-c", "import signal; signal.pause()"],
                pass_fds=[self._connection.fileno()],
            )
        elif order == "is_child_a_worker":
            # With every descriptor that can be inherited.
            child = [sys.executable, "-c", _IS_WORKER]
            self.send(subprocess.check_output(child, text=True).strip())
        self.send("done")


def _hang_with_interpreter() -> None:
    """Waits for a lock that this thread holds, without running any Python."""
    library = ctypes.PyDLL(None)
    lock = ctypes.create_string_buffer(256)
    library.pthread_mutex_lock(lock)
    library.pthread_mutex_lock(lock)


def _work(this_worker: worker.Worker, port: int) -> None:
    with this_worker:
        termination = signals.Termination()
        puppet = _Puppet(this_worker, port)
        # Signals are for the main thread, and never keep it from ending.
        threading.Thread(target=puppet.obey).start()
        puppet.send(termination.wait())
        threading.Event().wait()


def main() -> None:
    """Runs the program; see the module docstring."""
    logging.set_verbosity(logging.INFO)
    logging.use_absl_handler()
    # Number 1: a worker that hangs ends a second after its supervisor.
    this_worker = worker.Worker.from_environment(signal.SIGHUP)
    if this_worker is not None:
        _work(this_worker, int(sys.argv[1]))
        return
    # Must come before the test learns that it may send a signal.
    termination = signals.Termination()
    timeout_seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    with supervisor.Supervisor(
        worker_process.own_command([]),
        supervisor.Options(2, heartbeat_timeout_seconds=timeout_seconds),
        termination,
    ) as workers:
        sys.exit(workers.run(lambda: print("ready", flush=True), 60))


if __name__ == "__main__":
    main()
