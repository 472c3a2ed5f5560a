"""A worker that does what a test says, and its supervisor.

Usage: puppet_worker PORT

Connects to a port of this machine, on which the test listens, and sends its
process id. Then it does what the lines that it reads say; see _obey(). It sends
SIGTERM or SIGINT when it was sent that signal, and ends only when it is told
to, or when the connection ends: with the test, so that it outlives none.

Without a supervisor it is one itself, of two workers.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading

from tensorflow_serving.rpc import supervisor, worker
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
        """Does what it is told, until the end of the process."""
        try:
            with contextlib.suppress(OSError):
                for line in self._connection.makefile():
                    self._obey(*line.split())
        finally:
            os._exit(1)

    def _obey(self, order: str, *arguments: str) -> None:
        if order == "ready":
            self._worker.ready()
        elif order == "exit":
            os._exit(int(arguments[0]))
        elif order == "print":
            print(*arguments, flush=True)
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
    this_worker = worker.Worker.from_environment()
    if this_worker is not None:
        _work(this_worker, int(sys.argv[1]))
        return
    with supervisor.Supervisor(
        supervisor.own_command([]), num_workers=2
    ) as workers:
        # Before the test hears that it may send a signal.
        termination = signals.Termination()
        print("ready", flush=True)
        termination.wait()
        sys.exit(0 if workers.stop(grace_seconds=60) else 1)


if __name__ == "__main__":
    main()
