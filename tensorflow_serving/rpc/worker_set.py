"""The processes of all workers that run at a time."""

import signal
from collections.abc import Iterator

from tensorflow_serving.rpc import heartbeats, orphans, worker, worker_process


class WorkerSet:
    """The processes of a supervisor's workers, from their start to their end.

    Not thread-safe: the supervisor guards it with its lock. Nothing blocks, but
    for remove(), until its process has ended. The time comes from the caller,
    in seconds.
    """

    def __init__(self, heartbeat_timeout_seconds: float) -> None:
        """Begins with none.

        Args:
          heartbeat_timeout_seconds: How long a worker that is ready may be
            silent; 0: any time.
        """
        self._heartbeat_timeout_seconds = heartbeat_timeout_seconds
        self._processes: set[worker_process.WorkerProcess] = set()
        # How many are being started: they may run without being in the set.
        self._num_starting = 0

    def __len__(self) -> int:
        """Returns how many processes run."""
        return len(self._processes)

    @property
    def num_ready(self) -> int:
        """How many of them are ready."""
        return sum(each.heartbeats is not None for each in self._processes)

    def begin_start(self) -> None:
        """Says that a process is about to be started."""
        self._num_starting += 1

    def end_start(self, process: worker_process.WorkerProcess | None) -> None:
        """Adds what was started; None if that failed."""
        self._num_starting -= 1
        if process is not None:
            self._processes.add(process)

    def remove(self, process: worker_process.WorkerProcess) -> int:
        """Removes a process that has ended; returns its exit code."""
        self._processes.remove(process)
        return process.reap()

    def receive(
        self, process: worker_process.WorkerProcess, message: bytes, now: float
    ) -> bool:
        """Takes what a process sends; returns whether it has become ready."""
        if process.heartbeats is not None:
            process.heartbeats.record(now)
            return False
        if worker.READY not in message:
            return False
        process.ready_time = now
        process.heartbeats = heartbeats.Heartbeats(
            self._heartbeat_timeout_seconds, now
        )
        return True

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal to each process."""
        for process in self._processes:
            process.send_signal(number)

    def send_to_one(self, number: signal.Signals) -> bool:
        """Sends a signal to a process that is ready; returns whether one is."""
        for process in self._processes:
            if process.heartbeats is not None:
                process.send_signal(number)
                return True
        return False

    def end_silent(self, now: float) -> Iterator[str]:
        """Sends signals to those that are silent; yields lines for the log."""
        for process in self._processes:
            if process.heartbeats is None:
                continue
            due = process.heartbeats.signal_due(now)
            if due is not None:
                process.send_signal(due)
                yield (
                    f"Worker {process.pid} must send a heartbeat every "
                    f"{self._heartbeat_timeout_seconds:g} s; sending it "
                    f"{due.name}"
                )

    def next_silence(self) -> float | None:
        """Returns when end_silent() has to be called; None: not yet."""
        deadlines = [
            each.heartbeats.deadline
            for each in self._processes
            if each.heartbeats is not None
        ]
        return min(
            (each for each in deadlines if each is not None), default=None
        )

    def forgive_silence(self, now: float) -> None:
        """Restarts the time in which each process must send a heartbeat."""
        for process in self._processes:
            if process.heartbeats is not None:
                process.heartbeats.record(now)

    def reap_orphans(self) -> Iterator[str]:
        """Waits for orphans that have ended; yields lines for the log."""
        if orphans.come_here() and not self._num_starting:
            for pid in orphans.reap({each.pid for each in self._processes}):
                yield f"Process {pid}, which had lost its parent, has ended"
