"""A run of a model that requests ask for, from inputs to responses."""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.batching import (
    batched_function,
    run_timing,
)
from tensorflow_serving.core import servable_handle
from tensorflow_serving.servables.tensorflow import (
    served_model,
    signature_defs,
)
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2
from tensorflow_serving.util import errors

# How many names of signatures an error text lists.
_MAX_NAMES_IN_TEXT: Final = 20

Outputs = Sequence[npt.NDArray[Any]]
# Serialized responses; those of one size perhaps as the rows of an array.
Responses = Sequence[bytes] | npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Version:
    """A version of a model, while a request holds on to it."""

    name: str
    number: int
    model: served_model.ServedModel

    @classmethod
    def of_handle(
        cls, handle: servable_handle.ServableHandle[served_model.ServedModel]
    ) -> Self:
        """Returns the version of a handle, to be used while that is open."""
        return cls(handle.id.name, handle.id.version, handle.servable)

    def spec(self, signature_name: str = "") -> model_pb2.ModelSpec:
        """Returns what a response says about who answered."""
        spec = model_pb2.ModelSpec(
            name=self.name, signature_name=signature_name
        )
        spec.version.value = self.number
        return spec

    def signature_def(self, name: str) -> meta_graph_pb2.SignatureDef:
        """Returns the signature of a name; see signature_name().

        Raises:
          InvalidArgumentError: There is none; the text says which there are.
            Permanent.
        """
        definition = self.model.signature_defs.get(name)
        if definition is not None:
            return definition
        names = signature_defs.names_for_callers(self.model.signature_defs)
        raise errors.InvalidArgumentError(
            f'Serving signature key "{name}" not found; the model has '
            f"{names[:_MAX_NAMES_IN_TEXT]}"
        )


@dataclasses.dataclass(frozen=True)
class Inference:
    """A call of a function of a model, and how its outputs become a response.

    Raises errors of util/errors.py with the codes that clients of TensorFlow
    Serving know.
    """

    # The queue of the signature, in which the call waits.
    queue: served_model.Queue
    function: batched_function.BatchedFunction
    # A value for each feed of the function.
    inputs: Sequence[npt.ArrayLike]
    # Makes the responses of some calls of the outputs of the function, in which
    # each has as many rows. A call that does not share the inference is alone.
    respond: Callable[[Outputs, int], Responses]
    # Whether it is that of all requests of the same form; then the inputs are
    # the tensors of a request.
    is_shared: bool = False

    def run(self) -> bytes:
        """Returns the serialized response, once the call had its turn.

        For callers with a thread to spare; servers schedule the call.
        """
        future: concurrent.futures.Future[Outputs] = concurrent.futures.Future()
        task = self.function.task(self.inputs, _Future(future))
        self.queue.schedule_all([task])
        return bytes(self.respond(future.result(), 1)[0])


class _Future:
    """The caller of one task, which sets a future at its end."""

    def __init__(self, future: concurrent.futures.Future[Outputs]) -> None:
        self._future = future

    def succeed(
        self,
        tasks: batched_function.Tasks,
        outputs: Outputs,
        timing: run_timing.RunTiming,
    ) -> None:
        """See batched_function.Caller."""
        self._future.set_result(outputs)

    def fail(
        self,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """See batched_function.Caller."""
        if not self._future.done():
            self._future.set_exception(error)


def signature_name(name: str) -> str:
    """Returns the name of the signature that a request means."""
    return name or signature_defs.DEFAULT_NAME
