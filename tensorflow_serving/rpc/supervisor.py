"""Worker processes that serve together, and the process that keeps them.

Example:
    this_worker = worker.Worker.from_environment()
    if this_worker is None:
        termination = signals.Termination()
        with (
            shared_port.SharedPort("0.0.0.0:9000") as port,
            supervisor.Supervisor(
                worker_process.own_command([f"--port={port.port}"]),
                supervisor.Options(num_workers=4),
                termination,
            ) as workers,
        ):
            return workers.run(lambda: ...say that it listens..., 30)
    ...serve on the port; see worker.py...
"""

import contextlib
import dataclasses
import functools
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from absl import logging

from tensorflow_serving.rpc import backoff as backoff_lib
from tensorflow_serving.rpc import (
    board_hub,
    orphans,
    worker_process,
    worker_set,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, signals

# How long a worker may take to exit, once the time for its calls is over: a
# little longer than it takes one to notice by itself that it hangs.
_EXIT_SECONDS: Final = 2.5
# How long the supervisor may take after that.
_OWN_EXIT_SECONDS: Final = 1.0
# A supervisor that wakes up later than this did not run, and may have missed
# heartbeats: the whole container was paused.
_LATE_SECONDS: Final = 1.0
# How often processes are looked for that nobody waits for.
_ORPHANS_SECONDS: Final = 10.0


@dataclasses.dataclass(frozen=True)
class Options:
    """How a supervisor keeps its workers.

    Attributes:
      num_workers: How many processes run; at least 1.
      heartbeat_timeout_seconds: How long a worker that is ready may be silent
        before it counts as one that hangs; 0: any time, for workers that send
        no heartbeats.
      max_failed_restarts: After so many restarts of a worker in a row in which
        it did not become ready, the supervisor gives up; at least 1.
    """

    num_workers: int
    heartbeat_timeout_seconds: float = 10.0
    max_failed_restarts: int = 5

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1,
            num_workers=self.num_workers,
            max_failed_restarts=self.max_failed_restarts,
        )
        errors.require_at_least(
            0, heartbeat_timeout_seconds=self.heartbeat_timeout_seconds
        )


class Supervisor:
    """Keeps a number of worker processes of one program running.

    A worker that ends, by itself or by a signal, is started again: after 0.1 s,
    twice as long each time and 30 s at most, and without that past once it was
    ready for a minute. One that is ready and then silent for too long is ended
    first, by SIGABRT, for which it writes its stacks, and SIGKILL 2 s later.
    One that loads may be silent.

    The supervisor gives up, and stops all workers, when one of them is not
    ready at the start, or after Options.max_failed_restarts. It logs each
    change of the number of workers that are ready.

    Workers have the standard output and error of the supervisor, and a session
    of their own each: Ctrl-C in a terminal is for the supervisor alone, which
    then stops them. They end by themselves if it is killed, provided that they
    use worker.Worker as a context manager.

    As process 1 of a container it also waits for orphans; the program must have
    no other children then.

    A context manager that stops the workers without grace. Thread-safe, but for
    start(), wait() and run(), which are for one thread.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        options: Options,
        termination: signals.Termination,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        *,
        board: board_hub.BoardHub | None = None,
    ) -> None:
        """Starts nothing yet; to be called in the main thread.

        Args:
          command: The program and its arguments, which must use worker.Worker;
            see worker_process.own_command().
          options: How to keep the workers.
          termination: Its signals end start() and wait(); nobody else may wait
            for it meanwhile.
          clock: Times heartbeats, the delays of restarts, and the grace of a
            stop.
          board: The other end of worker_board; None for workers without.
        """
        if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
            # Whoever started this process ignored it; then the system forgets
            # how workers ended.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._command = list(command)
        self._options = options
        self._termination = termination
        self._clock = clock
        self._board = board
        self._lock = threading.Lock()
        # A worker was started, became ready or ended, a thread ended, the
        # supervisor gave up, or a stop began. Wakes wait_until_ready(), stop(),
        # threads that are about to restart a worker, and the one that waits for
        # heartbeats; _notify() wakes start() and wait() as well.
        self._news = threading.Condition(self._lock)
        # Guarded by _lock.
        self._workers = worker_set.WorkerSet(options.heartbeat_timeout_seconds)
        self._was_ready = False  # guarded by _lock
        # Why it gave up; guarded by _lock.
        self._failure: str | None = None
        # The signal that was sent to the workers to end them; guarded by _lock.
        self._stop_signal: signal.Signals | None = None
        # Whether each worker drained, and none was killed; guarded by _lock.
        self._is_clean = True
        self._threads = self._make_threads()
        self._num_running_threads = 0  # guarded by _lock

    def run(self, on_ready: Callable[[], None], grace_seconds: float) -> int:
        """Keeps workers until a signal comes, and stops them.

        Args:
          on_ready: Called when all workers are ready.
          grace_seconds: See stop().

        Returns:
          The exit code for the program: 0 if all workers drained, 1 if not.

        Raises:
          FailedPreconditionError: The supervisor gave up. Permanent.
        """
        self._termination.end_within(
            grace_seconds + _EXIT_SECONDS + _OWN_EXIT_SECONDS
        )
        try:
            self._start()
            on_ready()
            logging.info("Stopping because of %s", self.wait())
        except errors.CancelledError as error:
            logging.info("Stopping during the start: %s", error)
        finally:
            is_clean = self.stop(grace_seconds)
            logging.info("Stopped")
        return 0 if is_clean else 1

    def start(self) -> None:
        """Starts the workers; returns once all are ready. Call it once.

        If it raises, no worker is left.

        Raises:
          CancelledError: There was a signal, or stop() was called.
          FailedPreconditionError: A worker ended before it was ready, or the
            command cannot be run. Permanent.
        """
        try:
            self._start()
        except BaseException:
            self.stop(0)
            raise

    def wait(self) -> str:
        """Blocks until a signal comes; returns its name.

        Raises:
          FailedPreconditionError: The supervisor gave up. Permanent.
        """
        name = None
        while name is None:
            with self._lock:
                self._check_no_failure()
            name = self._termination.wait_or_woken(None)
        return name

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

        Sends SIGTERM to the workers and waits for their end. What is left 2.5 s
        after the grace, in which workers finish their calls, is killed. True if
        each worker that was ready ended with exit code 0, and none was killed.
        """
        with self._lock:
            if self._stop_signal is None:
                self._send_stop_signal(signal.SIGTERM)
            deadline = self._clock.now() + grace_seconds + _EXIT_SECONDS
            while self._num_running_threads and self._clock.now() < deadline:
                self._clock.wait_until(self._news, deadline)
            if self._num_running_threads:
                self._is_clean = self._is_clean and not len(self._workers)
                self._send_stop_signal(signal.SIGKILL)
            self._news.wait_for(lambda: not self._num_running_threads)
            is_clean = self._is_clean
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        return is_clean

    def send_to_one(self, number: signal.Signals) -> bool:
        """Sends a signal to a worker that is ready; returns whether one is."""
        with self._lock:
            return self._workers.send_to_one(number)

    def __enter__(self) -> "Supervisor":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stops without grace."""
        self.stop(0)

    def _start(self) -> None:
        """See start(); leaves workers behind if it raises."""
        with self._lock:
            for thread in self._threads:
                thread.start()
                self._num_running_threads += 1
        name = None
        while name is None:
            with self._lock:
                self._check_no_stop()
                self._check_no_failure()
                if self._are_ready():
                    self._was_ready = True
                    return
            name = self._termination.wait_or_woken(None)
        raise errors.CancelledError(
            f"The server got {name} before its workers were ready."
        )

    def _are_ready(self) -> bool:
        """Whether all workers are; needs the lock."""
        return self._workers.num_ready == self._options.num_workers

    def _check_no_stop(self) -> None:
        """Raises CancelledError if there is a stop; needs the lock."""
        if self._stop_signal is not None:
            raise errors.CancelledError(
                "The server was stopped before its workers were ready."
            )

    def _check_no_failure(self) -> None:
        """Raises FailedPreconditionError if it gave up; needs the lock."""
        if self._failure is not None:
            raise errors.FailedPreconditionError(self._failure)

    def _notify(self) -> None:
        """Wakes whoever waits for news; needs the lock."""
        self._news.notify_all()
        self._termination.wake()

    def _send_stop_signal(self, number: signal.Signals) -> None:
        """Sends a signal to all workers, and to those to come; needs the lock.

        Never SIGTERM twice: the second one would end a worker that drains.
        """
        self._stop_signal = number
        self._workers.send_signal(number)
        self._notify()

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._failure = self._failure or reason
            self._notify()

    def _make_threads(self) -> list[threading.Thread]:
        """Returns one for each worker, and one that waits for heartbeats."""
        works: dict[str, Callable[[], None]] = {
            f"worker_{number}": functools.partial(self._keep_worker, number)
            for number in range(self._options.num_workers)
        }
        works["heartbeats"] = self._wait_for_heartbeats
        return [
            threading.Thread(target=self._run_thread, args=[work], name=name)
            for name, work in works.items()
        ]

    def _run_thread(self, work: Callable[[], None]) -> None:
        """Does the work of a thread; the supervisor cannot go on without it."""
        try:
            work()
        except BaseException as error:
            logging.exception("A thread of the supervisor failed")
            self._give_up(f"supervisor must keep its threads; got {error!r}")
        finally:
            with self._lock:
                self._num_running_threads -= 1
                self._notify()

    def _keep_worker(self, number: int) -> None:
        """Runs one worker after the other until the stop."""
        backoff = backoff_lib.Backoff()
        num_failures = 0
        while True:
            with self._descriptors(number) as descriptors:
                ready_seconds, end = self._run_worker(descriptors)
            num_failures = 0 if ready_seconds is not None else num_failures + 1
            if num_failures:
                self._give_up_if_hopeless(num_failures, end)
            if not self._waits_to_restart(
                backoff.delay_seconds(ready_seconds or 0.0)
            ):
                return

    def _give_up_if_hopeless(self, num_failures: int, end: str) -> None:
        """Gives up at the start at once, and later after some restarts."""
        with self._lock:
            was_ready = self._was_ready
        if not was_ready:
            self._give_up(f"worker must become ready; got {end}")
        elif num_failures >= self._options.max_failed_restarts:
            self._give_up(
                f"worker must become ready within {num_failures} restarts; got "
                f"{end} at the last one"
            )

    def _waits_to_restart(self, delay_seconds: float) -> bool:
        """Returns True after that time, or False as soon as it is over."""

        def is_over() -> bool:
            return self._stop_signal is not None or self._failure is not None

        with self._lock:
            deadline = self._clock.now() + delay_seconds
            while not is_over() and self._clock.now() < deadline:
                self._clock.wait_until(self._news, deadline)
            return not is_over()

    def _descriptors(
        self, number: int
    ) -> contextlib.AbstractContextManager[Mapping[str, int]]:
        """Returns what a process inherits, beside its socket."""
        if self._board is None:
            return contextlib.nullcontext({})
        return self._board.connected(number)

    def _run_worker(
        self, descriptors: Mapping[str, int]
    ) -> tuple[float | None, str]:
        """Runs a process to its end.

        Returns:
          How many seconds it was ready, None if it was not, and how it ended.
        """
        with self._lock:
            self._workers.begin_start()
        process = None
        try:
            process = worker_process.WorkerProcess(self._command, descriptors)
        except OSError as error:
            logging.error("No worker could be started: %s", error)
            return None, str(error)
        finally:
            self._begin(process)
        try:
            while message := process.read():
                self._receive(process, message)
            process.wait_for_end()
        except BaseException:
            # Nobody else would see it end.
            with self._lock:
                process.send_signal(signal.SIGKILL)
            raise
        finally:
            result = self._end(process)
        return result

    def _begin(self, process: worker_process.WorkerProcess | None) -> None:
        """Takes over a process, or None if it could not be started."""
        with self._lock:
            self._workers.end_start(process)
            if process is not None and self._stop_signal is not None:
                process.send_signal(self._stop_signal)
            self._notify()

    def _receive(
        self, process: worker_process.WorkerProcess, message: bytes
    ) -> None:
        with self._lock:
            if not self._workers.receive(process, message, self._clock.now()):
                return
            num_ready = self._workers.num_ready
            self._notify()
        self._log_ready(num_ready)

    def _end(
        self, process: worker_process.WorkerProcess
    ) -> tuple[float | None, str]:
        """See _run_worker()."""
        with self._lock:
            exit_code = self._workers.remove(process)
            end = worker_process.describe(exit_code)
            is_stopping = self._stop_signal is not None
            ready_seconds = None
            if process.ready_time is not None:
                ready_seconds = self._clock.now() - process.ready_time
                if is_stopping and exit_code:
                    self._is_clean = False
            num_ready = self._workers.num_ready
            self._notify()
        log = logging.info if is_stopping else logging.warning
        log("Worker %d ended with %s", process.pid, end)
        if ready_seconds is not None:
            self._log_ready(num_ready)
        return ready_seconds, end

    def _log_ready(self, num_ready: int) -> None:
        logging.info(
            "%d of %d workers are ready", num_ready, self._options.num_workers
        )

    def _wait_for_heartbeats(self) -> None:
        """Ends workers that are silent, and reaps orphans, until the stop."""
        while True:
            with self._lock:
                if self._stop_signal is not None:
                    return
                lines = [
                    *self._workers.end_silent(self._clock.now()),
                    *self._workers.reap_orphans(),
                ]
                if not lines:
                    self._wait_for_silence()
            for line in lines:
                logging.warning("%s", line)

    def _wait_for_silence(self) -> None:
        """Waits for news, or until a worker may be silent; needs the lock."""
        deadline = self._workers.next_silence()
        if orphans.come_here():
            soon = self._clock.now() + _ORPHANS_SECONDS
            deadline = soon if deadline is None else min(deadline, soon)
        self._clock.wait_until(self._news, deadline)
        now = self._clock.now()
        if deadline is not None and now > deadline + _LATE_SECONDS:
            self._workers.forgive_silence(now)
