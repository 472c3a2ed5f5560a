"""PredictionService: runs models of a ServerCore, without a thread for a call.

1. A call is read and checked as it comes, and joins a CallGroup: the calls that
   came together and ask a version for the same thing.
2. When no other call is at hand, the server (WireLane._turn_rounds) calls
   _take_arrived(), and runs the CallRound: all calls of a signature go to its
   queue in one go.
3. Those that ran together come back to their group together, or at the end of
   the round; so do their replies; see call_timing for what a caller can ask for
   with them.

What is the same for calls of a group is looked up once: for Predict nearly all
of a call, as clients repeat themselves; see tensor_map.Form.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Final

from google.protobuf import message

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    inference_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2,
    regression_pb2,
)
from tensorflow_serving.model_servers import (
    call_events,
    call_group,
    server_core,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.servables.tensorflow import (
    classify,
    get_model_metadata,
    inference,
    multi_inference,
    predict,
    regress,
)
from tensorflow_serving.util import errors

_SERVICE = prediction_service_pb2.DESCRIPTOR.services_by_name[
    "PredictionService"
]

_Begin = Callable[[inference.Version, Any], inference.Inference]

_GRPC: Final = "GRPC"


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


@dataclasses.dataclass(frozen=True)
class _Method:
    """A method of the service that runs a model."""

    name: str
    request_class: type[message.Message]
    begin: _Begin
    find_spec: Callable[[Any], model_pb2.ModelSpec] = _spec


_METHODS: Final = (
    _Method(
        "Classify", classification_pb2.ClassificationRequest, classify.begin
    ),
    _Method(
        "MultiInference",
        inference_pb2.MultiInferenceRequest,
        multi_inference.begin,
        _spec_of_first_task,
    ),
    _Method("Regress", regression_pb2.RegressionRequest, regress.begin),
)


class PredictionService:
    """Implements the service of the protocol.

    When a caller leaves, its call leaves the queue of its signature.
    """

    def __init__(
        self,
        core: server_core.ServerCore,
        listeners: call_events.Listeners = call_events.NO_LISTENERS,
        *,
        answers_as_content: bool = False,
    ) -> None:
        """Takes a core, which the caller closes after the server.

        Args:
          core: The models.
          listeners: Get the ends of calls.
          answers_as_content: Whether Predict returns tensor_content instead of
            the field of each type.
        """
        self._core = core
        self._listeners = listeners
        self._predict = _Method(
            "Predict",
            predict_pb2.PredictRequest,
            functools.partial(predict.begin, as_content=answers_as_content),
        )
        # All are used only by the thread of the server that begins calls. The
        # groups that wait for _take_arrived(), and those of them that calls of
        # the same form may join.
        self._groups: list[call_group.CallGroup] = []
        self._group_of_form: dict[predict.Form, call_group.CallGroup] = {}
        # The last one, which may have something left to do.
        self._round = call_group.CallRound()

    def service(self) -> call_lib.Service:
        """Returns the service for a server."""
        return call_lib.Service(
            _SERVICE,
            methods={"GetModelMetadata": self.get_model_metadata},
            async_methods={
                "Predict": self._begin_predict,
                **{
                    method.name: functools.partial(self._begin, method)
                    for method in _METHODS
                },
            },
            when_idle=self._take_arrived,
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
                inference.Version.of_handle(handle), request
            )

    def _begin_predict(self, call: call_lib.Call) -> None:
        """Begins a call; what it raises is the answer."""
        spec = None
        try:
            request = predict.REQUESTS.decode(call.request)
            group = self._group_of_form.get(request.form)
            if group is not None:
                group.add(call, request.arrays)
                return
            spec = _spec(request.form.rest)
            group = self._open(self._predict, spec, request, call)
        except errors.ServingError as error:
            self._report_refused(self._predict, spec, call, error)
            raise
        if group.is_shared:
            self._group_of_form[request.form] = group

    def _begin(self, method: _Method, call: call_lib.Call) -> None:
        """Begins a call; what it raises is the answer."""
        spec = None
        try:
            request = call_lib.parse(method.request_class, call.request)
            spec = method.find_spec(request)
            self._open(method, spec, request, call)
        except errors.ServingError as error:
            self._report_refused(method, spec, call, error)
            raise

    def _open(
        self,
        method: _Method,
        spec: model_pb2.ModelSpec,
        request: Any,
        call: call_lib.Call,
    ) -> call_group.CallGroup:
        """Opens a group with its first call, on the version that it names."""
        handle = self._core.handle(spec)
        try:
            version = inference.Version.of_handle(handle)
            begun = method.begin(version, request)
            subject = call_events.Subject.of_call(
                _GRPC, method.name, version, spec
            )
            reporter = call_events.Reporter(self._listeners, subject)
            group = call_group.CallGroup(
                handle,
                begun,
                call,
                reporter,
                limit=self._core.call_limits.find(version.name),
                recorder=self._core.recording.recorders.find(subject),
            )
        except BaseException:
            handle.close()
            raise
        self._groups.append(group)
        return group

    def _report_refused(
        self,
        method: _Method,
        spec: model_pb2.ModelSpec | None,
        call: call_lib.Call,
        error: errors.ServingError,
    ) -> None:
        refused = call_events.Refused.of_call(
            _GRPC,
            method.name,
            spec,
            self._core.model_names,
            metadata=call.metadata,
        )
        self._listeners.refused(refused, error)

    def _take_arrived(self) -> call_group.CallRound:
        """Returns a round with the calls that came; later calls do not join."""
        groups, self._groups = self._groups, []
        self._group_of_form.clear()
        self._round = call_group.CallRound(self._round)
        self._round.add_groups(groups)
        return self._round
