"""The ends of calls, for those that count them or write them down.

Example:
    listeners = call_events.Listeners([metrics, log])
    PredictionService(core, listeners)
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Protocol, TypeVar

from absl import logging
from typing_extensions import Self

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.servables.tensorflow import inference
from tensorflow_serving.util import errors

T = TypeVar("T")


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

    @classmethod
    def of_call(
        cls,
        entrypoint: str,
        method: str,
        version: inference.Version,
        spec: model_pb2.ModelSpec,
    ) -> Self:
        """Returns the subject of calls that name a signature of a version."""
        return cls(
            entrypoint,
            method,
            version.name,
            version.number,
            inference.signature_name(spec.signature_name),
        )

    def spec(self) -> model_pb2.ModelSpec:
        """Returns the subject as responses and refusals name it."""
        spec = model_pb2.ModelSpec(
            name=self.model, signature_name=self.signature
        )
        spec.version.value = self.version
        return spec


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """A call that was refused before it could wait for its turn."""

    entrypoint: str
    method: str
    # Empty if the call names none, or one that is not served.
    model: str
    # The model as the call names it; None if it names none.
    spec: model_pb2.ModelSpec | None = None
    # The metadata of a call of gRPC.
    metadata: call_lib.Metadata = ()

    @classmethod
    def of_call(
        cls,
        entrypoint: str,
        method: str,
        spec: model_pb2.ModelSpec | None,
        served: Collection[str],
        *,
        metadata: call_lib.Metadata = (),
    ) -> Self:
        """Returns a call that names a model, perhaps one of those served.

        Names of other models are up to callers: there may be any number.
        """
        name = "" if spec is None or spec.name not in served else spec.name
        return cls(entrypoint, method, name, spec, metadata)


class Listener(Protocol):
    """Gets the ends of calls, on the threads that end them.

    Calls that end together come together, so that each costs little. Methods
    must be quick. Thread-safe.
    """

    def succeeded(
        self,
        subject: Subject,
        tasks: batched_function.Tasks,
        timing: run_timing.RunTiming,
    ) -> None:
        """Gets calls that ran together, once they are answered."""

    def failed(
        self,
        subject: Subject,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """Gets calls that ended with an error, alone or together."""

    def refused(self, call: Refused, error: errors.ServingError) -> None:
        """Gets a call that never had a turn."""


def report_to_each(receivers: Iterable[T], report: Callable[[T], None]) -> None:
    """Reports calls to several receivers, whose faults harm no call."""
    for each in receivers:
        try:
            report(each)
        except Exception:
            logging.exception("Recording calls failed; going on")


class Listeners:
    """Several listeners as one, whose faults harm no call. Thread-safe."""

    def __init__(self, listeners: Sequence[Listener] = ()) -> None:
        """Takes the listeners, perhaps none."""
        self._listeners = tuple(listeners)

    def succeeded(
        self,
        subject: Subject,
        tasks: batched_function.Tasks,
        timing: run_timing.RunTiming,
    ) -> None:
        """See Listener."""
        report_to_each(
            self._listeners, lambda each: each.succeeded(subject, tasks, timing)
        )

    def failed(
        self,
        subject: Subject,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """See Listener."""
        report_to_each(
            self._listeners, lambda each: each.failed(subject, tasks, error)
        )

    def refused(self, call: Refused, error: errors.ServingError) -> None:
        """See Listener."""
        report_to_each(self._listeners, lambda each: each.refused(call, error))


NO_LISTENERS: Final = Listeners()


@dataclasses.dataclass(frozen=True, slots=True)
class Reporter:
    """Reports the ends of the calls of one subject."""

    listeners: Listeners
    subject: Subject

    def succeeded(
        self, tasks: batched_function.Tasks, timing: run_timing.RunTiming
    ) -> None:
        """See Listener."""
        self.listeners.succeeded(self.subject, tasks, timing)

    def failed(
        self, tasks: batched_function.Tasks, error: errors.ServingError
    ) -> None:
        """See Listener."""
        self.listeners.failed(self.subject, tasks, error)

    def refused(
        self, error: errors.ServingError, metadata: call_lib.Metadata
    ) -> None:
        """See Listener."""
        subject = self.subject
        self.listeners.refused(
            Refused(
                subject.entrypoint,
                subject.method,
                subject.model,
                subject.spec(),
                metadata,
            ),
            error,
        )
