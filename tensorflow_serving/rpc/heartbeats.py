"""From the silence of a worker to the signals that end it."""

import signal
from typing import Final

# From SIGABRT, for which a worker writes its stacks, to SIGKILL.
ABORT_SECONDS: Final = 2.0


class Heartbeats:
    """The heartbeats of one worker, from when it is ready.

    A worker that is silent for too long is sent SIGABRT, and SIGKILL 2 s later:
    one that is stopped, or stuck in the system, gets only that.

    Not thread-safe. The time comes from the caller, in seconds.
    """

    def __init__(self, timeout_seconds: float, now: float) -> None:
        """Takes the first heartbeat.

        Args:
          timeout_seconds: How long a worker may be silent; 0: any time.
          now: The time.
        """
        self._timeout_seconds = timeout_seconds
        # When to send the next signal, and which; None: never.
        self._deadline: float | None = None
        self._next_signal: signal.Signals | None = signal.SIGABRT
        self.record(now)

    @property
    def deadline(self) -> float | None:
        """When signal_due() has a signal if no heartbeat comes; None: never."""
        return self._deadline

    def record(self, now: float) -> None:
        """Records a heartbeat, which comes too late after the first signal."""
        if self._timeout_seconds and self._next_signal is signal.SIGABRT:
            self._deadline = now + self._timeout_seconds

    def signal_due(self, now: float) -> signal.Signals | None:
        """Returns a signal that the worker is to be sent now, each one once."""
        if self._deadline is None or now < self._deadline:
            return None
        due = self._next_signal
        if due is signal.SIGABRT:
            self._next_signal = signal.SIGKILL
            self._deadline = now + ABORT_SECONDS
        else:
            self._next_signal = None
            self._deadline = None
        return due
