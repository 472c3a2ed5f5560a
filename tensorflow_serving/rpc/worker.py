"""The side of a worker process that a supervisor keeps; see supervisor.py.

Example:
    termination = signals.Termination(ignores_the_next=True)
    termination.end_within(32)
    with this_worker:
        with termination.ending_at_once():
            ...load...
        with ...a server on the shared port... as server:
            server.start()
            this_worker.ready()
            ...call this_worker.heartbeat() each second...
            termination.wait()
            server.stop(grace_seconds=30)

A worker has a socket to its supervisor. It sends a byte when it is ready, and
one for each heartbeat; the supervisor sends nothing, and the end of the socket
is the end of the supervisor, however it came about.
"""

import contextlib
import ctypes
import faulthandler
import os
import select
import signal
import socket
import threading
from typing import Final

from absl import logging

from tensorflow_serving.util import errors

# The environment variable with the descriptor of a worker's socket.
SOCKET_VARIABLE: Final = "TENSORFLOW_SERVING_WORKER_SOCKET"

# The bytes that a worker sends.
READY: Final = b"R"
HEARTBEAT: Final = b"H"

# See prctl(2).
_PR_SET_PDEATHSIG: Final = 1
_NO_SIGNAL: Final = 0
# The signal that the system sends to a ready worker when its supervisor ends.
# Its number, 12, is also for how many seconds the worker may run no Python
# then: as many as a supervisor gives to one that sends no heartbeat.
ALONE_SIGNAL: Final = signal.SIGUSR2

_STDERR: Final = 2


class Worker:
    """The worker's side: reports its state, and ends with the supervisor.

    As a context manager, around all that the process does, it makes sure that
    the process does not outlive its supervisor, even one that is ended by
    kill -9:

    - Until it is ready, the system kills it at that moment. It has nothing to
      finish, and may hang in a load that does not let any Python run.
    - From then on it drains: it sends SIGTERM to itself. What limits the time
      for that is signals.Termination.end_within(), as after any SIGTERM. If
      nobody sets that limit, or the worker hangs so that no Python runs to do
      so, it has 12 s; then SIGALRM ends it.

    It also has SIGABRT write the stacks of all threads to standard error; the
    supervisor sends that to a worker whose heartbeats stop.

    Thread-safe.
    """

    def __init__(
        self, end: socket.socket, alone_signal: signal.Signals = ALONE_SIGNAL
    ) -> None:
        """Takes over the socket to the supervisor; see from_environment().

        Args:
          end: This side of the socket.
          alone_signal: The signal for ALONE_SIGNAL; tests have less time.
        """
        self._socket = end
        self._alone_signal = alone_signal
        # Have the thread look at the two events. Not for other processes.
        self._looks, self._look = socket.socketpair()
        self._is_ready = threading.Event()
        self._is_closed = threading.Event()
        # The thread has begun to watch.
        self._watches = threading.Event()
        # The thread has seen that the worker is ready, or has ended.
        self._may_drain = threading.Event()
        self._thread = threading.Thread(
            target=self._watch_supervisor, name="watch_supervisor"
        )

    @classmethod
    def from_environment(
        cls, alone_signal: signal.Signals = ALONE_SIGNAL
    ) -> "Worker | None":
        """Returns the worker that this process is; None without a supervisor.

        To be called once, before other processes are started: they are no
        workers.

        Raises:
          FailedPreconditionError: See inherited_socket(). Permanent.
        """
        if SOCKET_VARIABLE not in os.environ:
            return None
        return cls(inherited_socket(SOCKET_VARIABLE), alone_signal)

    def ready(self) -> None:
        """Notifies the supervisor that this worker serves. Idempotent."""
        self._is_ready.set()
        if self._thread.is_alive():
            self._have_thread_look()
            # Before there are calls that would be lost with the process.
            self._may_drain.wait()
        self._send(READY)

    def heartbeat(self) -> None:
        """Notifies the supervisor that this worker still works.

        To be called about once a second by the thread that does it, so that a
        worker is restarted when that thread hangs. Does not block.
        """
        self._send(HEARTBEAT)

    def close(self) -> None:
        """Watches the supervisor no longer. Idempotent."""
        if self._is_closed.is_set():
            return
        self._is_closed.set()
        self._have_thread_look()
        if self._thread.ident is not None:
            self._thread.join()
        for each in (self._socket, self._looks, self._look):
            each.close()

    def __enter__(self) -> "Worker":
        """Begins to watch the supervisor; returns itself."""
        faulthandler.enable(_STDERR)
        _set_alarm_on(self._alone_signal)
        self._thread.start()
        self._watches.wait()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the worker."""
        self.close()

    def _send(self, message: bytes) -> None:
        # Without a supervisor, the worker is about to end anyway; and one that
        # does not read has enough to read.
        with contextlib.suppress(OSError):
            self._socket.send(message, socket.MSG_DONTWAIT)

    def _have_thread_look(self) -> None:
        self._look.send(b"\0")

    def _watch_supervisor(self) -> None:
        try:
            if self._is_alone():
                self._end_alone()
        finally:
            self._may_drain.set()

    def _end_alone(self) -> None:
        """Does what the system does at the end of the supervisor, and drains.

        The supervisor closes its socket before its end. If that takes a while,
        the signal of the system would never come, as this thread ends before;
        or it would set the alarm again, after signals.Termination has set it.
        """
        _set_parent_death_signal(_NO_SIGNAL)
        if not self._may_drain.is_set():
            os.kill(os.getpid(), signal.SIGKILL)
        logging.warning("The supervisor is gone; stopping")
        ctypes.CDLL(None).alarm(self._alone_signal)
        os.kill(os.getpid(), signal.SIGTERM)

    def _is_alone(self) -> bool:
        """Waits; returns True without a supervisor, and False when closed."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        poller.register(self._looks, select.POLLIN)
        # Before the first look at the socket: the supervisor may have ended.
        _set_parent_death_signal(signal.SIGKILL)
        self._watches.set()
        while not self._is_closed.is_set():
            descriptors = {fd for fd, _ in poller.poll()}
            if self._looks.fileno() in descriptors:
                self._looks.recv(4096)
                if self._is_ready.is_set():
                    _set_parent_death_signal(self._alone_signal)
                    self._may_drain.set()
            elif self._socket.fileno() in descriptors:
                return True
        return False


def inherited_socket(variable: str) -> socket.socket:
    """Returns a socket from the supervisor of this process; once.

    Args:
      variable: The environment variable with its descriptor.

    Raises:
      FailedPreconditionError: There is none, or whatever stands between the
        supervisor and this process keeps it back. Permanent.
    """
    fd = os.environ.pop(variable, "none")
    try:
        end = socket.socket(fileno=int(fd))
    except (OSError, ValueError):
        raise errors.FailedPreconditionError(
            f"{variable} must be the socket of a supervisor; got {fd}"
        ) from None
    # Programs that this process starts must not inherit it.
    end.set_inheritable(False)
    return end


def _set_parent_death_signal(number: int) -> None:
    """Sets what the system sends to this process at the end of its parent.

    The setting is one of the calling thread, and goes with it. The parent is
    the thread that started this process: one of the supervisor's, which waits
    for this process to end.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _set_alarm_on(number: signal.Signals) -> None:
    """Has a signal set an alarm, without Python, in as many seconds.

    A handler gets the number of its signal, and alarm() of the C library takes
    seconds: it can be the handler. Python may be stuck for good by then. If it
    is not, signals.Termination sets the same timer anew.
    """
    library = ctypes.CDLL(None)
    library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    library.signal.restype = ctypes.c_void_p
    library.signal(number, ctypes.cast(library.alarm, ctypes.c_void_p))
