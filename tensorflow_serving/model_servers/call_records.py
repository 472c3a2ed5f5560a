"""Records of calls that succeeded: what was asked, and what came back.

Example:
    recorders = call_records.Recorders([request_log, warm_up_recording])
    recorder = recorders.find(subject)
    if recorder is not None:
        recorder.succeeded(len(calls), lambda index: ...)

Calls of which nobody takes records cost nothing: there is no recorder for them,
which is known before they run.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from absl import logging

from tensorflow_serving.model_servers import call_events


@dataclasses.dataclass(frozen=True, slots=True)
class Messages:
    """The request and the response of a call, serialized."""

    request: bytes
    response: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A call that succeeded."""

    subject: call_events.Subject
    # About what the messages take.
    num_bytes: int
    # Makes them, on the thread that writes them.
    messages: Callable[[], Messages]
    # When the call ended, in seconds since 1970.
    end_time: float = dataclasses.field(default_factory=time.time)

    @classmethod
    def of_messages(
        cls, subject: call_events.Subject, messages: Messages
    ) -> "Record":
        """Returns the record of a call whose messages are there already."""
        num_bytes = len(messages.request) + len(messages.response)
        return cls(subject, num_bytes, lambda: messages)


class Recorder(Protocol):
    """Takes records of some of the calls of a subject.

    Its method is called on the threads that answer calls, so it must be quick.
    Thread-safe.
    """

    def succeeded(
        self, num_calls: int, record: Callable[[int], Record]
    ) -> None:
        """Gets calls that ended together.

        Args:
          num_calls: How many there are.
          record: Makes the record of one of them. Only to be called before this
            method returns.
        """


class Source(Protocol):
    """Has recorders for some subjects. Thread-safe."""

    def find(self, subject: call_events.Subject) -> Recorder | None:
        """Returns who takes records of calls that come now; None for nobody."""


class Recorders:
    """Several sources as one, whose faults harm no call. Thread-safe."""

    def __init__(self, sources: Sequence[Source] = ()) -> None:
        """Takes the sources, perhaps none."""
        self._sources = tuple(sources)

    def find(self, subject: call_events.Subject) -> Recorder | None:
        """See Source."""
        found: tuple[Recorder, ...] = ()
        for source in self._sources:
            recorder = source.find(subject)
            if recorder is not None:
                found += (recorder,)
        return _Several(found) if found else None


NO_RECORDERS: Final = Recorders()


@dataclasses.dataclass(frozen=True, slots=True)
class _Several:
    """The recorders of a subject."""

    recorders: Sequence[Recorder]

    def succeeded(
        self, num_calls: int, record: Callable[[int], Record]
    ) -> None:
        """See Recorder."""
        for each in self.recorders:
            try:
                each.succeeded(num_calls, record)
            except Exception:
                logging.exception("Calls could not be recorded; going on")
