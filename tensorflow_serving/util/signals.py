"""The signals that end a program, and an end that nothing can hold up.

Example:
    termination = signals.Termination()
    termination.end_within(grace_seconds + 2)
    with termination.ending_at_once():
        ...load, and whatever else may hang...
    ...serve...
    logging.info("Stopping because of %s", termination.wait())
    ...finish what was begun...
"""

import contextlib
import ctypes
import faulthandler
import math
import os
import select
import signal
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Final

_TERMINATION: Final = (signal.SIGINT, signal.SIGTERM)
# In the pipe: have the watcher look at the state again.
_LOOK: Final = b"\0"

_STDERR: Final = 2
_INIT_PID: Final = 1

# How much later the second and the third way to end a process come, each for
# the case that the one before hangs.
_FALLBACK_SECONDS: Final = 0.5
# How long the line about an end at once may take to be written.
_WRITE_SECONDS: Final = 1.0
# Eleven days: more than this, some timers refuse.
_MAX_SECONDS: Final = 1e6


class Termination:
    """SIGTERM and Ctrl-C, once this object exists.

    The first of them is for wait(); within ending_at_once() it ends the process
    with exit code 0 instead. The next one ends the process as if nobody had
    handled it, wherever the process is.

    A thread of its own reads the signals, so that they count while the main
    thread hangs in a system call or in a library. It is a daemon on purpose: it
    guards the process to its last moment, while the interpreter waits for
    other threads, too. Only a call into C that keeps the interpreter to itself
    can stop it; then, too, the second signal of one kind ends the process, and
    so does a deadline that end_within() set before.

    Make it in the main thread, once in a program. Thread-safe, but for wait(),
    wait_or_woken(), call_on_hangup() and close(), which are for the main
    thread.
    """

    def __init__(self, *, ignores_the_next: bool = False) -> None:
        """Takes over both signals.

        Args:
          ignores_the_next: True in a process that somebody else ends if it
            takes too long, and that may get the first signal twice: from there,
            and with its group.
        """
        self._ignores_the_next = ignores_the_next
        self._lock = threading.Lock()
        # A signal came, or wake() was called. Wakes wait(), wait_or_woken().
        self._news = threading.Condition(self._lock)
        # The first signal; guarded by _lock.
        self._first: signal.Signals | None = None
        self._is_woken = False  # guarded by _lock
        self._ends_at_once = False  # guarded by _lock
        # Both guarded by _lock; the deadline is set after the first signal.
        self._end_seconds: float | None = None
        self._exit_code = 1  # of an end by the deadline; guarded by _lock
        self._deadline: float | None = None
        self._is_closed = False  # guarded by _lock
        # Called for SIGHUP. Guarded by _lock.
        self._on_hangup: Callable[[], None] = _do_nothing
        # The system writes to it, whichever thread a signal comes to. A Python
        # handler alone would run only when the main thread next runs Python.
        self._received, self._wakeup = os.pipe()
        os.set_blocking(self._wakeup, False)
        self._watcher = threading.Thread(
            target=self._watch, name="termination", daemon=True
        )
        self._watcher.start()
        signal.set_wakeup_fd(self._wakeup)
        self._take_over()

    def wait(self) -> str:
        """Blocks until a signal came; returns the name of the first one."""
        name = None
        while name is None:
            name = self.wait_or_woken(None)
        return name

    def wait_or_woken(self, timeout_seconds: float | None) -> str | None:
        """Blocks until a signal came, wake() was called, or the time is over.

        Args:
          timeout_seconds: None for any length of time.

        Returns:
          The name of the first signal, once there was one; None otherwise.
        """
        with self._lock:
            self._news.wait_for(
                lambda: self._first is not None or self._is_woken,
                timeout_seconds,
            )
            self._is_woken = False
            first = self._first
        if first is None:
            return None
        if self._next_is_fatal() and os.getpid() != _INIT_PID:
            for each in _TERMINATION:
                signal.signal(each, signal.SIG_DFL)
        return first.name

    def wake(self) -> None:
        """Ends wait_or_woken(), now or when it is next called.

        Does not block.
        """
        with self._lock:
            self._is_woken = True
            self._news.notify_all()

    @contextlib.contextmanager
    def ending_at_once(self) -> Iterator[None]:
        """Has the first signal end the process, with exit code 0.

        For a start, in which there is nothing to finish and much that hangs. A
        signal that came before counts as well.
        """
        with self._lock:
            self._ends_at_once = True
            self._end_at_once_if_signalled()
        try:
            yield
        finally:
            with self._lock:
                self._ends_at_once = False

    def end_within(self, seconds: float, *, exit_code: int = 1) -> None:
        """Limits how long the process may go on after the first signal.

        What is left by then is ended, after the stacks of all threads and a
        line that says why. The time counts from the signal; from now, if there
        was one already. The last call wins.

        There are three ways, as each of them may hang:

        1. The thread of this object. It needs the interpreter.
        2. Half a second later, a thread of faulthandler, which needs nothing
           but a standard error that can be written. Its line is "Timeout".
        3. Half a second after that, SIGALRM, whose default action needs
           nothing. It writes nothing. (The system spares process 1 from it.)

        Args:
          seconds: How long.
          exit_code: The code of the first way; 0 if what is left by then is no
            loss. The second way has 1.
        """
        with self._lock:
            self._end_seconds = min(max(0.0, seconds), _MAX_SECONDS)
            self._exit_code = exit_code
            self._arm_if_signalled()
        self._have_watcher_look()

    def call_on_hangup(self, function: Callable[[], None]) -> None:
        """Has each SIGHUP call a function instead of ending the process.

        Args:
          function: Runs on the thread of this object, so it must not block. The
            last one wins.
        """
        with self._lock:
            self._on_hangup = function
        previous = signal.signal(signal.SIGHUP, _ignore)
        self._previous.setdefault(signal.SIGHUP, previous)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])

    def close(self) -> None:
        """Gives the signals back, and removes the deadline. Idempotent.

        For a process that goes on; at its end it is better not called.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        signal.set_wakeup_fd(-1)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._have_watcher_look()
        self._watcher.join()
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.close(self._received)
        os.close(self._wakeup)

    def _take_over(self) -> None:
        """Sets the handlers; see _make_one_shot()."""
        self._previous = {
            number: signal.getsignal(number)
            for number in (*_TERMINATION, signal.SIGALRM)
        }
        for number in _TERMINATION:
            signal.signal(number, _ignore)
            if self._next_is_fatal() and os.getpid() != _INIT_PID:
                _make_one_shot(number)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        # Whoever started this process may have blocked them.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._previous)

    def _next_is_fatal(self) -> bool:
        return not self._ignores_the_next

    def _watch(self) -> None:
        """Reads signals, on a thread; ends the process when it is time."""
        poller = select.poll()
        poller.register(self._received, select.POLLIN)
        while True:
            with self._lock:
                if self._is_closed:
                    return
                deadline = self._deadline
            if deadline is None:
                poller.poll()
            else:
                left = max(0.0, deadline - time.monotonic())
                if not poller.poll(math.ceil(1000 * left)):
                    self._end_late()
                    continue
            for number in os.read(self._received, 4096):
                if number in _TERMINATION:
                    self._handle(signal.Signals(number))
                elif number == signal.SIGHUP:
                    self._hang_up()

    def _handle(self, number: signal.Signals) -> None:
        with self._lock:
            if self._first is None:
                self._first = number
                self._arm_if_signalled()
                self._end_at_once_if_signalled()
                self._news.notify_all()
                return
        if self._next_is_fatal():
            _end_by(number)

    def _hang_up(self) -> None:
        with self._lock:
            function = self._on_hangup
        function()

    def _arm_if_signalled(self) -> None:
        """Has the process end in time; needs the lock. See end_within()."""
        if self._first is None or self._end_seconds is None:
            return
        self._deadline = time.monotonic() + self._end_seconds
        signal.setitimer(
            signal.ITIMER_REAL, self._end_seconds + 2 * _FALLBACK_SECONDS
        )
        with contextlib.suppress(RuntimeError):  # there may be no more threads
            faulthandler.dump_traceback_later(
                self._end_seconds + _FALLBACK_SECONDS, exit=True, file=_STDERR
            )

    def _end_at_once_if_signalled(self) -> None:
        """Ends the process; needs the lock, so that no start is finished."""
        if self._first is None or not self._ends_at_once:
            return
        # If the line cannot be written.
        signal.setitimer(signal.ITIMER_REAL, _WRITE_SECONDS)
        _write(f"Stopping because of {self._first.name}, during the start")
        os._exit(0)

    def _end_late(self) -> None:
        """Ends the process unless the deadline was extended since it passed."""
        with self._lock:
            if self._is_closed or self._first is None:
                return
            if self._deadline is None or time.monotonic() < self._deadline:
                return
            name, seconds = self._first.name, self._end_seconds
            exit_code = self._exit_code
        faulthandler.dump_traceback(_STDERR, all_threads=True)
        _write(
            f"The end must take at most {seconds:g} s after {name}; ending the "
            "process with what its threads do above"
        )
        os._exit(exit_code)

    def _have_watcher_look(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it will look anyway
            os.write(self._wakeup, _LOOK)


def _do_nothing() -> None:
    """Does nothing."""


def _ignore(number: int, frame: types.FrameType | None) -> None:
    """Does nothing; the signal is in the pipe already."""


def _write(line: str) -> None:
    """Writes to standard error, past every lock of a logger."""
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{line}\n".encode())


def _make_one_shot(number: signal.Signals) -> None:
    """Has the system itself set the default action when the signal comes.

    So the next one ends a process whose interpreter is stuck, too. Python has
    no access to this option of sigaction(), but the C library has a function
    for it (where it has none, the thread of Termination does it alone).
    """
    library = ctypes.CDLL(None)
    install = getattr(library, "sysv_signal", library.signal)
    for function in (library.signal, install):
        function.argtypes = (ctypes.c_int, ctypes.c_void_p)
        function.restype = ctypes.c_void_p
    # The handler of Python, which writes to the pipe.
    handler = library.signal(number, None)
    install(number, handler)


def _end_by(number: signal.Signals) -> None:
    """Ends the process by the default action of a signal, on any thread."""
    library = ctypes.CDLL(None)
    library.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    library.signal(number, None)
    signal.pthread_kill(threading.get_ident(), number)
    # The first process of a container is not ended by default actions.
    os._exit(128 + number)
