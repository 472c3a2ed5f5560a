"""PredictionService: runs models of a ServerCore, without a thread for a call.

A call is parsed and checked when it comes, waits in the queue of its signature,
and holds on to its version until it is answered.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
from absl import logging
from google.protobuf import message

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_pb2,
    prediction_service_pb2,
    regression_pb2,
)
from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.core import servable_handle
from tensorflow_serving.model_servers import server_core
from tensorflow_serving.rpc import blocking_methods
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.servables.tensorflow import (
    classify,
    get_model_metadata,
    inference,
    multi_inference,
    predict,
    regress,
    served_model,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_SERVICE = prediction_service_pb2.DESCRIPTOR.services_by_name[
    "PredictionService"
]

# How long calls of quick models run before the server looks for other calls.
_ROUND_SECONDS = 0.001

_Begin = Callable[[inference.Version, Any], inference.Inference]
_Handle = servable_handle.ServableHandle[served_model.ServedModel]
_Queue = tuple[served_model.ServedModel, str]


@dataclasses.dataclass(frozen=True)
class _Pending:
    """A call that waits for its outputs."""

    call: call_lib.Call
    handle: _Handle
    inference: inference.Inference


class PredictionService:
    """Implements the service of the protocol.

    Calls that come together are scheduled together, each in the queue of its
    signature. When a caller leaves, its call leaves the queue.
    """

    def __init__(
        self,
        core: server_core.ServerCore,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
    ) -> None:
        """Takes a core, which the caller closes after the server."""
        self._core = core
        self._clock = clock
        # Both are used only by the thread of the server that begins calls.
        self._arrived: dict[_Queue, list[batched_function.FunctionTask]] = {}
        self._busy: set[_Queue] = set()

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(
            _SERVICE,
            methods={"GetModelMetadata": self.get_model_metadata},
            async_methods={
                "Classify": self._method(
                    classification_pb2.ClassificationRequest, classify.begin
                ),
                "MultiInference": functools.partial(
                    self._begin,
                    inference_pb2.MultiInferenceRequest,
                    _spec_of_first_task,
                    multi_inference.begin,
                ),
                "Predict": self._begin_predict,
                "Regress": self._method(
                    regression_pb2.RegressionRequest, regress.begin
                ),
            },
            # Calls of _begin() are scheduled by this, when no other call is at
            # hand.
            when_idle=self._schedule,
        )

    def get_model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns the signatures of a model.

        Raises:
          InvalidArgumentError: The request asks for something else. Permanent.
          NotFoundError, UnavailableError: See ServerCore.handle().
        """
        spec = _spec(request)
        get_model_metadata.require_fields(request)
        with self._core.handle(spec) as handle:
            return get_model_metadata.get_model_metadata(
                _version(handle), request
            )

    def succeed(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """See batched_function.Caller."""
        answered: list[call_lib.Call] = []
        responses: list[bytes] = []
        for task, own_outputs in batched_function.rows_of(tasks, outputs):
            pending: _Pending = task.context
            try:
                response = pending.inference.respond(own_outputs)
            except errors.ServingError as error:
                pending.call.fail(error)
            except Exception:
                logging.exception("Making a response failed")
                pending.call.fail(
                    errors.InternalError(
                        "making the response failed; see the log"
                    )
                )
            else:
                answered.append(pending.call)
                responses.append(call_lib.to_bytes(response))
        if answered:
            call_lib.reply_all(answered, responses)
        for task in tasks:
            task.context.handle.close()

    def fail(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        error: errors.ServingError,
    ) -> None:
        """See batched_function.Caller."""
        for task in tasks:
            pending: _Pending = task.context
            with pending.handle:
                pending.call.fail(error)

    def _begin_predict(self, call: call_lib.Call) -> None:
        decoded = predict.REQUESTS.decode(call.request)
        handle = self._core.handle(_spec(decoded.rest))
        self._begin_on(
            handle,
            call,
            lambda version: predict.begin(
                version, decoded.rest, decoded.tensors
            ),
        )

    def _method(
        self, request_class: type[message.Message], begin: _Begin
    ) -> call_lib.AsyncMethod:
        return functools.partial(self._begin, request_class, _spec, begin)

    def _begin(
        self,
        request_class: type[message.Message],
        find_spec: Callable[[Any], model_pb2.ModelSpec],
        begin: _Begin,
        call: call_lib.Call,
    ) -> None:
        """Begins a call; what it raises is the answer."""
        request = blocking_methods.parse(request_class, call.request)
        handle = self._core.handle(find_spec(request))
        self._begin_on(handle, call, lambda version: begin(version, request))

    def _begin_on(
        self,
        handle: _Handle,
        call: call_lib.Call,
        begin: Callable[[inference.Version], inference.Inference],
    ) -> None:
        """Begins a call on a version, whose handle belongs to it then."""
        try:
            begun = begin(_version(handle))
            task = begun.function.task(
                begun.inputs,
                self,
                call.deadline,
                context=_Pending(call, handle, begun),
            )
        except BaseException:
            handle.close()
            raise
        call.on_cancelled = functools.partial(
            begun.model.cancel, begun.signature_name, task
        )
        queue = begun.model, begun.signature_name
        self._arrived.setdefault(queue, []).append(task)

    def _schedule(self) -> bool:
        """Schedules the calls that came; returns whether to come back soon.

        Without batching a queue has a batch for each call. Those of a quick
        model run here; some of them at a time, so that their replies go out
        together.
        """
        deadline = self._clock.now() + _ROUND_SECONDS
        arrived, self._arrived = self._arrived, {}
        while True:
            for queue in self._busy.difference(arrived):
                arrived[queue] = []
            self._busy = {
                queue
                for queue, tasks in arrived.items()
                if _schedule(queue, tasks)
            }
            if not self._busy or self._clock.now() >= deadline:
                return bool(self._busy)
            arrived = {}


def _schedule(
    queue: _Queue, tasks: Sequence[batched_function.FunctionTask]
) -> bool:
    """Schedules calls of a queue; see ServedModel.schedule()."""
    model, signature_name = queue
    return model.schedule(
        signature_name,
        [task for task in tasks if task.context.call.is_active],
    )


def _spec(request: Any) -> model_pb2.ModelSpec:
    """Returns the model that a request names.

    Raises:
      InvalidArgumentError: It names none. Permanent.
    """
    if not request.HasField("model_spec"):
        raise errors.InvalidArgumentError("Missing ModelSpec")
    spec: model_pb2.ModelSpec = request.model_spec
    return spec


def _spec_of_first_task(
    request: inference_pb2.MultiInferenceRequest,
) -> model_pb2.ModelSpec:
    if not request.tasks:
        raise errors.InvalidArgumentError(
            "tasks must be at least one; got none"
        )
    return _spec(request.tasks[0])


def _version(handle: _Handle) -> inference.Version:
    return inference.Version(handle.id.name, handle.id.version, handle.servable)
