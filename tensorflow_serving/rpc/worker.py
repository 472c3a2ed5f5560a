"""The side of a worker process that a supervisor keeps; see supervisor.py.

Example:
    with this_worker, ...a server on the shared port... as server:
        termination = signals.Termination()
        server.start()
        this_worker.ready()
        termination.wait()
        server.stop(grace_seconds=30)

A worker has a socket to its supervisor. It sends one byte when it is ready; the
supervisor sends nothing, and the end of the socket is the end of the
supervisor, however it came about.
"""

import contextlib
import os
import signal
import socket
import threading
from typing import Final

from absl import logging

from tensorflow_serving.util import errors

# The environment variable with the descriptor of a worker's socket.
SOCKET_VARIABLE: Final = "TENSORFLOW_SERVING_WORKER_SOCKET"


class Worker:
    """The side of a worker process: says that it is ready; ends in time.

    As a context manager, around all that the process does, it sends SIGTERM to
    the own process when the supervisor is gone, even by kill -9: without one to
    restart and to stop it, a worker drains and ends like after any SIGTERM.

    Thread-safe.
    """

    def __init__(self, fd: int) -> None:
        """Takes over the socket to the supervisor; see from_environment().

        Raises:
          OSError: The descriptor is none of a socket.
        """
        self._socket = socket.socket(fileno=fd)
        # For this process alone: not for programs that it starts.
        self._socket.set_inheritable(False)
        # Written before the socket is shut down, which the thread sees.
        self._is_closed = False
        self._thread = threading.Thread(
            target=self._watch_supervisor, name="watch_supervisor"
        )

    @classmethod
    def from_environment(cls) -> "Worker | None":
        """Returns the worker that this process is; None without a supervisor.

        To be called once, before other processes are started: they are no
        workers.

        Raises:
          FailedPreconditionError: Whatever stands between the supervisor and
            this process keeps its socket back. Permanent.
        """
        fd = os.environ.pop(SOCKET_VARIABLE, None)
        if fd is None:
            return None
        try:
            return cls(int(fd))
        except (OSError, ValueError):
            raise errors.FailedPreconditionError(
                f"{SOCKET_VARIABLE} must be the socket of a supervisor; got "
                f"{fd}"
            ) from None

    def ready(self) -> None:
        """Tells the supervisor that this worker serves. Idempotent."""
        # Without a supervisor, the worker is about to end anyway.
        with contextlib.suppress(OSError):
            self._socket.send(b"R")

    def close(self) -> None:
        """Watches the supervisor no longer. Idempotent."""
        self._is_closed = True
        with contextlib.suppress(OSError):  # closed on the other side, or twice
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()

    def __enter__(self) -> "Worker":
        """Begins to watch the supervisor; returns itself."""
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the worker."""
        self.close()

    def _watch_supervisor(self) -> None:
        # An error as well when the supervisor has gone.
        with contextlib.suppress(OSError):
            self._socket.recv(1)
        if not self._is_closed:
            logging.warning("The supervisor is gone; stopping")
            os.kill(os.getpid(), signal.SIGTERM)
