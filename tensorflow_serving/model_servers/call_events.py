"""The ends of calls, for those that count them or write them down.

Example:
    listeners = call_events.Listeners([metrics, log])
    PredictionService(core, listeners)
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

from absl import logging

from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.util import errors

Tasks = Sequence[batched_function.FunctionTask]


@dataclasses.dataclass(frozen=True, slots=True)
class Subject:
    """The signature that calls are for, and the way they came in."""

    # "GRPC" or "REST".
    entrypoint: str
    # Such as "Predict".
    method: str
    model: str
    version: int
    signature: str


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A call that was refused before it could wait for its turn."""

    entrypoint: str
    method: str
    # Empty if the call names none, or one that is not served.
    model: str


class Listener(Protocol):
    """Gets the ends of calls, on the threads that end them.

    Calls that end together come together, so that each costs little. Methods
    must be quick. Thread-safe.
    """

    def succeeded(
        self, subject: Subject, tasks: Tasks, timing: run_timing.RunTiming
    ) -> None:
        """Gets calls that ran together, once they are answered."""

    def failed(
        self, subject: Subject, tasks: Tasks, error: errors.ServingError
    ) -> None:
        """Gets calls that ended with an error, alone or together."""

    def refused(self, call: Refused, error: errors.ServingError) -> None:
        """Gets a call that never had a turn."""


class Listeners:
    """Several listeners as one, whose faults harm no call. Thread-safe."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        """Takes the listeners, perhaps none."""
        self._listeners = tuple(listeners)

    def succeeded(
        self, subject: Subject, tasks: Tasks, timing: run_timing.RunTiming
    ) -> None:
        """See Listener."""
        for each in self._listeners:
            try:
                each.succeeded(subject, tasks, timing)
            except Exception:
                logging.exception("Recording calls failed; going on")

    def failed(
        self, subject: Subject, tasks: Tasks, error: errors.ServingError
    ) -> None:
        """See Listener."""
        for each in self._listeners:
            try:
                each.failed(subject, tasks, error)
            except Exception:
                logging.exception("Recording calls failed; going on")

    def refused(self, call: Refused, error: errors.ServingError) -> None:
        """See Listener."""
        for each in self._listeners:
            try:
                each.refused(call, error)
            except Exception:
                logging.exception("Recording calls failed; going on")


@dataclasses.dataclass(frozen=True, slots=True)
class Reporter:
    """Reports the ends of the calls of one subject."""

    listeners: Listeners
    subject: Subject

    def succeeded(self, tasks: Tasks, timing: run_timing.RunTiming) -> None:
        """See Listener."""
        self.listeners.succeeded(self.subject, tasks, timing)

    def failed(self, tasks: Tasks, error: errors.ServingError) -> None:
        """See Listener."""
        self.listeners.failed(self.subject, tasks, error)
