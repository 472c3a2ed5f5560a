"""A run of a model that a request asks for, from inputs to a response."""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
from google.protobuf import message

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.servables.tensorflow import (
    served_model,
    signature_defs,
)
from tensorflow_serving.util import errors

Outputs = Sequence[npt.NDArray[Any]]
Response = message.Message | bytes


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of a model, while a request holds on to it."""

    name: str
    number: int
    model: served_model.ServedModel

    def spec(self, signature_name: str = "") -> model_pb2.ModelSpec:
        """Returns what a response says about who answered."""
        spec = model_pb2.ModelSpec(
            name=self.name, signature_name=signature_name
        )
        spec.version.value = self.number
        return spec


@dataclasses.dataclass(frozen=True)
class Inference:
    """A call of a function of a model, and how its outputs become a response.

    Raises errors of util/errors.py with the codes that clients of TensorFlow
    Serving know.
    """

    model: served_model.ServedModel
    # The signature in whose queue the call waits.
    signature_name: str
    function: batched_function.BatchedFunction
    # A value for each feed of the function.
    inputs: Sequence[npt.ArrayLike]
    # Makes the response of the outputs of the function, serialized or not.
    respond: Callable[[Outputs], Response]

    def run(self) -> Response:
        """Returns the response, once the call had its turn.

        For callers with a thread to spare; servers schedule the call.
        """
        future: concurrent.futures.Future[Outputs] = concurrent.futures.Future()
        task = self.function.task(self.inputs, _Future(future))
        self.model.schedule(self.signature_name, [task])
        return self.respond(future.result())


class _Future:
    """The caller of one task, which sets a future at its end."""

    def __init__(self, future: concurrent.futures.Future[Outputs]) -> None:
        self._future = future

    def succeed(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        outputs: Outputs,
        timing: run_timing.RunTiming,
    ) -> None:
        """See batched_function.Caller."""
        self._future.set_result(outputs)

    def fail(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        error: errors.ServingError,
    ) -> None:
        """See batched_function.Caller."""
        if not self._future.done():
            self._future.set_exception(error)


def signature_name(name: str) -> str:
    """Returns the name of the signature that a request means."""
    return name or signature_defs.DEFAULT_NAME
