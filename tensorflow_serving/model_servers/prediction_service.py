"""PredictionService: runs models of a ServerCore, without a thread for a call.

1. A call is read and checked as it comes, and joins a group: the calls that
   came together and ask a version for the same thing. The group holds on to its
   version until all of them have ended.
2. When no other call is at hand, the server calls _schedule(): all calls of a
   signature go to its queue in one go.
3. Those that ran together come back to their group together, and so do their
   replies; see call_timing for what a caller can ask for with them.

What is the same for calls of a group is looked up once: for Predict nearly all
of a call, as clients repeat themselves; see tensor_map.Form.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf import message

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_pb2,
    prediction_service_pb2,
    regression_pb2,
)
from tensorflow_serving.batching import (
    batched_function,
    run_timing,
)
from tensorflow_serving.core import servable_handle
from tensorflow_serving.model_servers import server_core
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.servables.tensorflow import (
    call_timing,
    classify,
    get_model_metadata,
    inference,
    multi_inference,
    predict,
    regress,
    served_model,
)
from tensorflow_serving.util import bugs, errors

_SERVICE = prediction_service_pb2.DESCRIPTOR.services_by_name[
    "PredictionService"
]

_Begin = Callable[[inference.Version, Any], inference.Inference]
_Handle = servable_handle.ServableHandle[served_model.ServedModel]
_Tasks = list[batched_function.FunctionTask]


class _Group:
    """Calls that share an inference; the caller of their tasks.

    Calls are added on one thread, before they are scheduled, and end on any.
    """

    def __init__(
        self,
        handle: _Handle,
        begun: inference.Inference,
        first_call: call_lib.Call,
    ) -> None:
        """Takes over the handle, if the inputs of the first call fit.

        Raises:
          InvalidArgumentError: They do not. Permanent.
        """
        self._handle = handle
        self._inference = begun
        self.queue = begun.queue
        # Whether further calls of the same form may be added.
        self.is_shared = begun.is_shared
        inputs = begun.function.to_arrays(begun.inputs)
        self._tasks: _Tasks = []
        self._lock = threading.Lock()
        # How many tasks have not ended. Guarded by _lock.
        self._num_left = 0
        self.add(first_call, inputs)

    def add(
        self, call: call_lib.Call, inputs: Sequence[npt.NDArray[Any]]
    ) -> None:
        """Adds a call whose inputs have the dtypes and shapes of the first."""
        task = batched_function.FunctionTask(
            self._inference.function, inputs, self, call.deadline, call
        )
        call.on_cancelled = functools.partial(self.queue.cancel, task)
        self._tasks.append(task)

    def take_tasks(self) -> _Tasks:
        """Returns the tasks of the callers that still wait; they must run."""
        tasks, self._tasks = self._tasks, []
        tasks = [task for task in tasks if task.context.is_active]
        self._num_left = len(tasks)
        if not tasks:
            self._handle.close()
        return tasks

    def succeed(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """See batched_function.Caller."""
        try:
            responses = self._inference.respond(outputs, len(tasks))
            calls: list[call_lib.Call] = [task.context for task in tasks]
            if call_timing.is_wanted_by_any([each.metadata for each in calls]):
                _reply_with_timing(tasks, responses, timing)
            else:
                call_lib.reply_all(
                    calls,
                    call_lib.Rows(b"", responses)
                    if isinstance(responses, np.ndarray)
                    else responses,
                )
        except Exception as error:
            self.fail(tasks, bugs.as_serving_error("making a response", error))
        else:
            self._end(len(tasks))

    def fail(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        error: errors.ServingError,
    ) -> None:
        """See batched_function.Caller."""
        for task in tasks:
            task.context.fail(error)
        self._end(len(tasks))

    def _end(self, num_tasks: int) -> None:
        with self._lock:
            self._num_left -= num_tasks
            is_over = not self._num_left
        if is_over:
            self._handle.close()


def _reply_with_timing(
    tasks: Sequence[batched_function.FunctionTask],
    responses: inference.Responses,
    timing: run_timing.RunTiming,
) -> None:
    """Answers calls, with their timing if their callers ask for it."""
    for task, response in zip(tasks, responses, strict=True):
        call: call_lib.Call = task.context
        call.reply(
            bytes(response),
            call_timing.trailing_metadata(task, timing)
            if call_timing.is_wanted(call.metadata)
            else (),
        )


class PredictionService:
    """Implements the service of the protocol.

    When a caller leaves, its call leaves the queue of its signature.
    """

    def __init__(
        self,
        core: server_core.ServerCore,
        *,
        answers_as_content: bool = False,
    ) -> None:
        """Takes a core, which the caller closes after the server.

        Args:
          core: The models.
          answers_as_content: Whether Predict returns tensor_content instead of
            the field of each type.
        """
        self._core = core
        self._predict = functools.partial(
            predict.begin, as_content=answers_as_content
        )
        # All are used only by the thread of the server that begins calls. The
        # groups that wait for _schedule(), and those of them that calls of the
        # same form may join.
        self._groups: list[_Group] = []
        self._group_of_form: dict[predict.Form, _Group] = {}
        # Queues to come back to.
        self._busy: set[served_model.Queue] = set()

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

    def _begin_predict(self, call: call_lib.Call) -> None:
        """Begins a call; what it raises is the answer."""
        request = predict.REQUESTS.decode(call.request)
        group = self._group_of_form.get(request.form)
        if group is not None:
            group.add(call, request.arrays)
            return
        spec = _spec(request.form.rest)
        group = self._open(spec, self._predict, request, call)
        if group.is_shared:
            self._group_of_form[request.form] = group

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
        request = call_lib.parse(request_class, call.request)
        self._open(find_spec(request), begin, request, call)

    def _open(
        self,
        spec: model_pb2.ModelSpec,
        begin: _Begin,
        request: Any,
        call: call_lib.Call,
    ) -> _Group:
        """Opens a group with its first call, on the version that it names."""
        handle = self._core.handle(spec)
        try:
            group = _Group(handle, begin(_version(handle), request), call)
        except BaseException:
            handle.close()
            raise
        self._groups.append(group)
        return group

    def _schedule(self) -> bool:
        """Schedules the calls that came; returns whether to come back soon."""
        arrived = self._take_arrived()
        for queue in self._busy.difference(arrived):
            arrived[queue] = []
        self._busy = {
            queue
            for queue, tasks in arrived.items()
            if queue.schedule_all(tasks)
        }
        return bool(self._busy)

    def _take_arrived(self) -> dict[served_model.Queue, _Tasks]:
        """Returns the tasks of the calls that came; later calls do not join."""
        groups, self._groups = self._groups, []
        self._group_of_form.clear()
        arrived: dict[served_model.Queue, _Tasks] = {}
        for group in groups:
            arrived.setdefault(group.queue, []).extend(group.take_tasks())
        return arrived


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
