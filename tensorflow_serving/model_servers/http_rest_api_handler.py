"""The REST API of TensorFlow Serving: requests of HTTP in, responses out.

The format: https://www.tensorflow.org/tfx/serving/api_rest. Beyond it there are
GET /v1/models and /v1/config, which list all models, /healthz, and /readyz with
/readyz/<model>.
"""

import asyncio
import contextlib
import dataclasses
import json
import math
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy.typing as npt
from google.protobuf import json_format, message

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    json_document,
    json_examples,
    json_responses,
    json_tensors,
    model_pb2,
    regression_pb2,
)
from tensorflow_serving.batching import (
    batched_function,
    run_timing,
)
from tensorflow_serving.core import servable
from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import (
    call_events,
    get_model_status,
    http_rest_api_paths,
    served_models,
    server_core,
)
from tensorflow_serving.servables.tensorflow import (
    classify,
    get_model_metadata,
    inference,
    regress,
    served_model,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_CORS_HEADERS: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}
_ORIGIN: Final = re.compile(r"https?://")
_RETRY_AFTER: Final = {"retry-after": "1"}
_RETRYABLE: Final = {429, 503}
_UNAVAILABLE: Final = 503
_READY_MODEL: Final = "/readyz/"
_SIGNATURE_DEF: Final = "signature_def"
_AVAILABLE: Final = servable.ManagerState.AVAILABLE
_REST: Final = "REST"

_Request = TypeVar("_Request")
# Returns what a path shows.
Page = Callable[[], messages.Response]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an HttpRestApiHandler."""

    # How long a call may wait and run; 0: any time.
    timeout_seconds: float = 30.0
    # Whether pages from other servers may call this one.
    enables_cors: bool = False


class HttpRestApiHandler:
    """Answers the requests of an HttpServer, on its event loop.

    Calls wait in the queues of their signatures, beside those of gRPC; none
    runs on the event loop.
    """

    def __init__(
        self,
        core: server_core.ServerCore,
        options: Options = Options(),
        listeners: call_events.Listeners = call_events.NO_LISTENERS,
        pages: Mapping[str, Page] | None = None,
        *,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        served: served_models.ServedModels | None = None,
    ) -> None:
        """Makes the API of some models.

        Args:
          core: The models to run; the caller closes it after the server.
          options: See Options.
          listeners: Get the ends of calls.
          pages: More of what can be got, by its path.
          clock: The one of the batching sessions.
          served: The models of all processes; None if this one is alone.
        """
        self._core = core
        self._listeners = listeners
        self._served = core if served is None else served
        self._options = options
        self._clock = clock
        # Whether the process is about to end; readiness tells.
        self.is_draining = False
        self._pages: Mapping[str, Page] = {
            "/healthz": self._alive,
            "/readyz": lambda: self._ready(self._served.model_names),
            "/v1/config": self._config,
            "/v1/models": self._list_models,
            **(pages or {}),
        }
        self._methods: Mapping[str, Callable[[_Call], Awaitable[bytes]]] = {
            "classify": self._classify,
            "predict": self._predict,
            "regress": self._regress,
        }

    async def answer(self, request: messages.Request) -> messages.Response:
        """Returns the response to a request, also if that is an error."""
        try:
            response = await self._answer(request)
        except errors.ServingError as error:
            response = error_response(error)
        if self._options.enables_cors:
            return dataclasses.replace(
                response, headers={**response.headers, **_CORS_HEADERS}
            )
        return response

    async def _answer(self, request: messages.Request) -> messages.Response:
        method, path = request.method, request.path
        if method == "OPTIONS":
            return _preflight(request)
        page = self._pages.get(path) if method == "GET" else None
        if page is not None:
            return page()
        if method == "GET" and path.startswith(_READY_MODEL):
            name = urllib.parse.unquote(path.removeprefix(_READY_MODEL))
            return self._ready([name])
        if not path.lower().startswith("/v1/"):
            raise errors.NotFoundError(f"Not found: {path}")
        target = http_rest_api_paths.parse(method, path)
        if target.method == http_rest_api_paths.STATUS:
            return _of_message(self._status(target.spec))
        if target.method == http_rest_api_paths.METADATA:
            return messages.Response(200, self._metadata(target.spec))
        return messages.Response(200, await self._run_model(target, request))

    async def _run_model(
        self, target: http_rest_api_paths.Target, request: messages.Request
    ) -> bytes:
        """Returns the response of a signature."""
        method = target.method.capitalize()
        caller = _Caller()
        try:
            document = json_document.parse(request.body)
            spec = target.spec
            spec.signature_name = json_document.signature_name(document)
            with self._core.handle(spec) as handle:
                version = inference.Version.of_handle(handle)
                subject = call_events.Subject.of_call(
                    _REST, method, version, spec
                )
                caller.reporter = call_events.Reporter(self._listeners, subject)
                call = _Call(version, spec, document, caller)
                return await self._methods[target.method](call)
        except errors.ServingError as error:
            if not caller.has_task:
                refused = call_events.Refused.of_call(
                    _REST, method, target.spec, self._core.model_names
                )
                self._listeners.refused(refused, error)
            raise

    async def _predict(self, call: "_Call") -> bytes:
        version = call.version
        name = inference.signature_name(call.spec.signature_name)
        definition = version.signature_def(name)
        form, tensors = json_tensors.tensors(
            call.document,
            {key: info.dtype for key, info in definition.inputs.items()},
        )
        keys = sorted(definition.outputs)
        outputs = await self._run(
            call.caller,
            version.model.queue(name),
            version.model.function(name, keys),
            [tensors[key] for key in sorted(definition.inputs)],
        )
        return json_responses.predictions(
            dict(zip(keys, outputs, strict=True)), form
        )

    async def _classify(self, call: "_Call") -> bytes:
        response = classification_pb2.ClassificationResponse.FromString(
            await self._run_on_examples(
                call, classification_pb2.ClassificationRequest, classify.begin
            )
        )
        return json_responses.classifications(response.result)

    async def _regress(self, call: "_Call") -> bytes:
        response = regression_pb2.RegressionResponse.FromString(
            await self._run_on_examples(
                call, regression_pb2.RegressionRequest, regress.begin
            )
        )
        return json_responses.regressions(response.result)

    async def _run_on_examples(
        self,
        call: "_Call",
        request_class: Callable[..., _Request],
        begin: Callable[[inference.Version, _Request], inference.Inference],
    ) -> bytes:
        """Returns the serialized response to the examples of a call."""
        begun = begin(
            call.version,
            request_class(
                model_spec=call.spec,
                input=json_examples.examples(call.document),
            ),
        )
        outputs = await self._run(
            call.caller, begun.queue, begun.function, begun.inputs
        )
        return bytes(begun.respond(outputs, 1)[0])

    async def _run(
        self,
        caller: "_Caller",
        queue: served_model.Queue,
        function: batched_function.BatchedFunction,
        inputs: Sequence[npt.ArrayLike],
    ) -> inference.Outputs:
        """Returns the outputs, once a batch thread has run the call."""
        seconds = self._options.timeout_seconds
        task = function.task(
            inputs, caller, self._clock.now() + seconds if seconds else math.inf
        )
        queue.schedule(task)
        caller.has_task = True
        try:
            return await caller.future
        except asyncio.CancelledError:
            queue.cancel(task)
            raise

    def _status(
        self, spec: model_pb2.ModelSpec
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return get_model_status.get_model_status(
            self._served,
            get_model_status_pb2.GetModelStatusRequest(model_spec=spec),
        )

    def _metadata(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=[_SIGNATURE_DEF]
        )
        with self._core.handle(spec) as handle:
            response = get_model_metadata.get_model_metadata(
                inference.Version.of_handle(handle), request
            )
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[_SIGNATURE_DEF].Unpack(signatures)
        # The layout of the original, which puts texts together.
        return (
            f'{{\n"model_spec":{_json(response.model_spec)},\n'
            f'"metadata": {{"{_SIGNATURE_DEF}": {_json(signatures)}}}\n}}\n'
        ).encode()

    def _list_models(self) -> messages.Response:
        return _of_values(
            {
                "models": [
                    {"name": name, **self._states(name)}
                    for name in sorted(self._served.model_names)
                ]
            }
        )

    def _config(self) -> messages.Response:
        """Lists the models as OpenVINO Model Server does."""
        return _of_values(
            {name: self._states(name) for name in self._served.model_names}
        )

    def _states(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json_format.MessageToDict(
            self._status(model_pb2.ModelSpec(name=name)),
            always_print_fields_with_no_presence=True,
        )
        return found

    def _alive(self) -> messages.Response:
        return messages.Response(200, b"ok\n", messages.TEXT)

    def _ready(self, names: Sequence[str]) -> messages.Response:
        """Tells whether models can be called, and of those that cannot why."""
        reasons = {
            name: reason for name in names if (reason := self._unready(name))
        }
        if self.is_draining:
            reasons[""] = "The server is stopping."
        body = json.dumps({"ready": not reasons, "reasons": reasons})
        return messages.Response(
            _UNAVAILABLE if reasons else 200, f"{body}\n".encode()
        )

    def _unready(self, name: str) -> str:
        """Returns why a model cannot be called; empty if it can."""
        try:
            states = self._served.states(name)
        except errors.NotFoundError as error:
            return str(error)
        if any(each.manager_state is _AVAILABLE for each in states.values()):
            return ""
        failures = [
            f"version {number}: {state.error}"
            for number, state in states.items()
            if state.error is not None
        ]
        return "; ".join(failures) or "no version is available yet"


@dataclasses.dataclass(frozen=True)
class _Call:
    """A call of a model, on the version that it names."""

    version: inference.Version
    spec: model_pb2.ModelSpec
    document: json_document.Document
    caller: "_Caller"


class _Caller:
    """The caller of one task, which sets a future of its event loop."""

    # Set before there is a task.
    reporter: call_events.Reporter

    def __init__(self) -> None:
        # Whether a queue has taken the task, and its end will come here.
        self.has_task = False
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[inference.Outputs] = (
            self._loop.create_future()
        )

    def succeed(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        outputs: inference.Outputs,
        timing: run_timing.RunTiming,
    ) -> None:
        """See batched_function.Caller."""
        ((_, own),) = batched_function.rows_of(tasks, outputs)
        self._call_soon(self._set_outputs, own)
        self.reporter.succeeded(tasks, timing)

    def fail(
        self,
        tasks: Sequence[batched_function.FunctionTask],
        error: errors.ServingError,
    ) -> None:
        """See batched_function.Caller."""
        self._call_soon(self._set_error, error)
        self.reporter.failed(tasks, error)

    def _call_soon(self, function: Callable[[Any], None], value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(function, value)

    def _set_outputs(self, outputs: inference.Outputs) -> None:
        if not self.future.done():
            self.future.set_result(outputs)

    def _set_error(self, error: errors.ServingError) -> None:
        if not self.future.done():
            self.future.set_exception(error)


def error_response(error: errors.ServingError) -> messages.Response:
    """Returns the response that tells of an error."""
    status = messages.status(error)
    return messages.Response(
        status,
        json_responses.error(errors.short_text(error)),
        headers=_RETRY_AFTER if status in _RETRYABLE else {},
    )


def _preflight(request: messages.Request) -> messages.Response:
    """Returns the answer to a browser that asks before it sends a request."""
    if not _ORIGIN.search(request.headers.get("origin", "")):
        raise errors.InvalidArgumentError(
            f"Malformed request: OPTIONS {request.path}"
        )
    return messages.Response(200, b"")


def _of_message(found: message.Message) -> messages.Response:
    return messages.Response(200, f"{_json(found)}\n".encode())


def _of_values(values: Mapping[str, Any]) -> messages.Response:
    return messages.Response(200, f"{json.dumps(values, indent=1)}\n".encode())


def _json(found: message.Message) -> str:
    text: str = json_format.MessageToJson(
        found,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=True,
        indent=1,
    )
    return text
