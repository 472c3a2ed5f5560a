"""Worker processes that serve together, and the process that keeps them.

Example:
    this_worker = worker.Worker.from_environment()
    if this_worker is None:
        with (
            shared_port.SharedPort("0.0.0.0:9000") as port,
            supervisor.Supervisor(
                supervisor.own_command([f"--port={port.port}"]), num_workers=4
            ) as workers,
        ):
            termination = signals.Termination()
            ...say that it listens...
            termination.wait()
            workers.stop(grace_seconds=30)
    else:
        ...serve on the port; see worker.py...
"""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from absl import logging

from tensorflow_serving.rpc import backoff as backoff_lib
from tensorflow_serving.rpc import worker
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

# How long a worker may take to exit, once the time for its calls is over.
_EXIT_SECONDS = 5.0


def own_command(extra_flags: Sequence[str]) -> list[str]:
    """Returns the command that started this program, with more flags.

    They come after those that were given, and so win over them.
    """
    # Of the interpreter: what Bazel runs is a program that starts another one.
    given = sys.orig_argv[1:]
    end_of_flags = given.index("--") if "--" in given else len(given)
    return [
        sys.executable,
        *given[:end_of_flags],
        *extra_flags,
        *given[end_of_flags:],
    ]


@dataclasses.dataclass(eq=False)
class _Run:
    """One process, from its start to its end; guarded by its supervisor."""

    process: subprocess.Popen[bytes]
    ready_time: float | None = None

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal to a process that was not waited for.

        SIGKILL is for the processes that it started, too. What has ended keeps
        its process id until somebody waits for it, so nobody else is hit.
        """
        if number == signal.SIGKILL:
            os.killpg(self.process.pid, number)
        else:
            os.kill(self.process.pid, number)


class Supervisor:
    """Keeps a number of worker processes of one program running.

    A worker that ends, by itself or by a signal, is started again: after 0.1 s,
    twice as long each time and 30 s at most, and without that past once it was
    ready for a minute. A worker that hangs is not noticed here; each answers
    for itself through its health service.

    Workers have the standard output and error of the supervisor, and a session
    of their own each: Ctrl-C in a terminal is for the supervisor alone, which
    then stops them. They end by themselves if it is killed, provided that they
    use worker.Worker as a context manager.

    A context manager that starts the workers, and stops them without grace.
    Thread-safe.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        num_workers: int,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Starts nothing yet.

        Args:
          command: The program and its arguments; see own_command(). It must use
            worker.Worker.
          num_workers: How many processes of it run; at least 1.
          clock: For the delays of restarts, and the grace of a stop.

        Raises:
          InvalidArgumentError: num_workers is too small.
        """
        errors.require_at_least(1, num_workers=num_workers)
        self._command = list(command)
        self._clock = clock
        self._lock = threading.Lock()
        # A worker became ready or ended, a thread ended, or a stop began. Wakes
        # start(), wait_until_ready(), stop(), and threads that are about to
        # restart a worker.
        self._news = threading.Condition(self._lock)
        self._runs: set[_Run] = set()  # guarded by _lock
        # How the first worker ended that was not ready; guarded by _lock.
        self._first_failure: str | None = None
        # What the workers were told to end with; guarded by _lock.
        self._stop_signal: signal.Signals | None = None
        # Whether no worker that was ready failed to drain; guarded by _lock.
        self._is_clean = True
        # Each keeps one worker running.
        self._threads = [
            threading.Thread(target=self._keep_worker, name=f"worker_{number}")
            for number in range(num_workers)
        ]
        self._num_running_threads = 0  # guarded by _lock

    def start(self) -> None:
        """Starts the workers; returns once all are ready. Call it once.

        If it raises, no worker is left.

        Raises:
          CancelledError: stop() was called in the meantime.
          FailedPreconditionError: A worker ended before it was ready, or the
            command cannot be run. Permanent.
        """
        try:
            with self._lock:
                for thread in self._threads:
                    thread.start()
                    self._num_running_threads += 1
                self._news.wait_for(
                    lambda: (
                        self._are_ready()
                        or self._first_failure is not None
                        or self._stop_signal is not None
                    )
                )
                self._check_no_stop()
                if self._first_failure is not None:
                    raise errors.FailedPreconditionError(
                        f"worker must become ready; got {self._first_failure}"
                    )
        except BaseException:  # as well as Ctrl-C
            self.stop(0)
            raise

    def wait_until_ready(self) -> None:
        """Returns once all workers are ready, such as after a restart.

        Raises:
          CancelledError: There is a stop. Permanent.
        """
        with self._lock:
            self._news.wait_for(
                lambda: self._are_ready() or self._stop_signal is not None
            )
            self._check_no_stop()

    def stop(self, grace_seconds: float) -> bool:
        """Stops the workers; returns whether all drained. Idempotent.

        Sends SIGTERM to the workers and waits for their end. What is left 5 s
        after the grace, in which workers finish their calls, is killed. True if
        each worker that was ready ended with exit code 0.
        """
        with self._lock:
            if self._stop_signal is None:
                self._send_stop_signal(signal.SIGTERM)
            deadline = self._clock.now() + grace_seconds + _EXIT_SECONDS
            while self._num_running_threads and self._clock.now() < deadline:
                self._clock.wait_until(self._news, deadline)
            if self._num_running_threads:
                self._send_stop_signal(signal.SIGKILL)
            self._news.wait_for(lambda: not self._num_running_threads)
            is_clean = self._is_clean
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        return is_clean

    def __enter__(self) -> "Supervisor":
        """Starts the workers; returns itself."""
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops without grace."""
        self.stop(0)

    def _are_ready(self) -> bool:
        """Whether all workers are; needs the lock."""
        num_ready = sum(run.ready_time is not None for run in self._runs)
        return num_ready == len(self._threads)

    def _check_no_stop(self) -> None:
        """Raises CancelledError if there is a stop; needs the lock."""
        if self._stop_signal is not None:
            raise errors.CancelledError(
                "workers must become ready; got a stop before"
            )

    def _send_stop_signal(self, number: signal.Signals) -> None:
        """Sends a signal to all workers, and to those to come; needs the lock.

        Never SIGTERM twice: the second one would end a worker that drains.
        """
        self._stop_signal = number
        for run in self._runs:
            run.send_signal(number)
        self._news.notify_all()

    def _keep_worker(self) -> None:
        """Runs one worker after the other, on a thread, until the stop."""
        backoff = backoff_lib.Backoff()
        try:
            while self._waits_to_restart(
                backoff.delay_seconds(self._run_worker())
            ):
                pass
        finally:
            with self._lock:
                self._num_running_threads -= 1
                self._news.notify_all()

    def _waits_to_restart(self, delay_seconds: float) -> bool:
        """Returns True after that time, or False as soon as there is a stop."""
        with self._lock:
            deadline = self._clock.now() + delay_seconds
            while self._stop_signal is None and self._clock.now() < deadline:
                self._clock.wait_until(self._news, deadline)
            return self._stop_signal is None

    def _run_worker(self) -> float:
        """Runs a process to its end; returns how many seconds it was ready."""
        try:
            process, ours = _spawn(self._command)
        except OSError as error:
            logging.error("No worker could be started: %s", error)
            self._fail(str(error))
            return 0.0
        run = _Run(process)
        with ours:
            self._begin(run)
            if ours.recv(1):
                self._set_ready(run)
            # Leaves the process id to the process, until _end().
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return self._end(run)

    def _begin(self, run: _Run) -> None:
        with self._lock:
            self._runs.add(run)
            if self._stop_signal is not None:
                run.send_signal(self._stop_signal)

    def _set_ready(self, run: _Run) -> None:
        with self._lock:
            run.ready_time = self._clock.now()
            self._news.notify_all()

    def _end(self, run: _Run) -> float:
        """Returns how many seconds the process was ready."""
        with self._lock:
            self._runs.remove(run)
            end = _describe(run.process.wait())
            is_stopping = self._stop_signal is not None
            ready_seconds = 0.0
            if run.ready_time is not None:
                ready_seconds = self._clock.now() - run.ready_time
                if is_stopping and run.process.returncode:
                    self._is_clean = False
        log = logging.info if is_stopping else logging.warning
        log("Worker %d ended with %s", run.process.pid, end)
        if run.ready_time is None:
            self._fail(end)
        return ready_seconds

    def _fail(self, reason: str) -> None:
        """Notes that a worker ended before it was ready."""
        with self._lock:
            self._first_failure = self._first_failure or reason
            self._news.notify_all()


def _spawn(
    command: Sequence[str | os.PathLike[str]],
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts a worker; returns it and the supervisor's end of its socket.

    A new program and not a mere fork: of the threads of gRPC and TensorFlow, a
    fork would have the locks but not the threads that hold them.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                env={
                    **os.environ,
                    worker.SOCKET_VARIABLE: str(theirs.fileno()),
                },
                pass_fds=[theirs.fileno()],
                # Ctrl-C would come in addition to the supervisor's SIGTERM,
                # and the second signal ends a worker that drains.
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
    return process, ours


def _describe(returncode: int) -> str:
    """Returns how a process ended, for people."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:  # a real-time signal
        return f"signal {-returncode}"
