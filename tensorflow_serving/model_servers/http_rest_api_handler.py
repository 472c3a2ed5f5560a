"""The REST API of TensorFlow Serving: requests of HTTP in, responses out.

The format: https://www.tensorflow.org/tfx/serving/api_rest. Beyond it there are
the pages of status_pages.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import numpy.typing as npt
from google.protobuf import json_format, message

from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    json_responses,
    model_pb2,
    regression_pb2,
)
from tensorflow_serving.batching import batched_function
from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import (
    call_events,
    call_records,
    get_model_status,
    http_rest_api_paths,
    rest_caller,
    rest_json,
    rest_records,
    rest_rounds,
    served_models,
    server_core,
    status_pages,
)
from tensorflow_serving.servables.tensorflow import (
    call_timing,
    classify,
    get_model_metadata,
    inference,
    regress,
    served_model,
)
from tensorflow_serving.util import bugs, errors
from tensorflow_serving.util import clock as clock_lib

_CORS_HEADERS: Final = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}
_CORS_HEADERS_WITH_KEYS: Final = {
    **_CORS_HEADERS,
    "access-control-allow-headers": "Content-Type, Authorization",
}
_ORIGIN: Final = re.compile(r"https?://")
_RETRY_AFTER: Final = {"retry-after": "1"}
_HEADERS_OF_ERRORS: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"www-authenticate": "Bearer"},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
_SIGNATURE_DEF: Final = "signature_def"
_REST: Final = "REST"
# How much longer than its bytes the text of a number is, about.
_TEXT_PER_BYTE: Final = 4

_Request = TypeVar("_Request", bound=message.Message)
# Returns what makes the answer to a path, if there is something.
FindPage = Callable[[str], Callable[[], messages.Response] | None]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of an HttpRestApiHandler."""

    # How long a call may wait and run; 0: any time.
    timeout_seconds: float = 30.0
    # Whether pages from other servers may call this one.
    enables_cors: bool = False
    # Whether callers need keys, which such pages must be able to send.
    asks_for_keys: bool = False


class HttpRestApiHandler:
    """Answers the requests of an HttpServer, on its event loop.

    Calls wait in the queues of their signatures, beside those of gRPC; none
    runs on the event loop.
    """

    def __init__(
        self,
        core: server_core.ServerCore,
        rounds: rest_rounds.RestRounds,
        options: Options = Options(),
        listeners: call_events.Listeners = call_events.NO_LISTENERS,
        find_page: FindPage = lambda path: None,
        *,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        served: served_models.ServedModels | None = None,
    ) -> None:
        """Makes the API of some models.

        Args:
          core: The models to run; the caller closes it after the server.
          rounds: Take the tasks of calls from the event loop to queues.
          options: See Options.
          listeners: Get the ends of calls.
          find_page: Finds more of what can be got, which is made on a thread.
          clock: The one of the batching sessions.
          served: The models of all processes; None if this one is alone.
        """
        self._core = core
        self._rounds = rounds
        self._listeners = listeners
        self._served = core if served is None else served
        self._options = options
        self._clock = clock
        self._status_pages = status_pages.StatusPages(self._served)
        self._find_page = find_page
        # One page at a time: however many ask, calls have the other CPUs.
        self._pages = concurrent.futures.ThreadPoolExecutor(1, "pages")
        self._json = rest_json.RestJson(options.timeout_seconds)
        self._methods: Mapping[str, Callable[[_Call], Awaitable[bytes]]] = {
            "classify": self._classify,
            "predict": self._predict,
            "regress": self._regress,
        }

    def drain(self) -> None:
        """Says from now on that the process is about to end."""
        self._status_pages.is_draining = True

    def close(self) -> None:
        """Ends what it has started; after the HttpServer. Idempotent."""
        self._json.close()
        self._pages.shutdown(cancel_futures=True)

    async def answer(self, request: messages.Request) -> messages.Response:
        """Returns the response to a request, also if that is an error."""
        try:
            return self._readable(await self._answer(request))
        except errors.ServingError as error:
            request.notes.keep(error)
            return self.error_response(error)

    def error_response(self, error: errors.ServingError) -> messages.Response:
        """Returns the response that tells of an error."""
        status = messages.status(error)
        return self._readable(
            messages.Response(
                status,
                json_responses.error(errors.short_text(error)),
                headers=_HEADERS_OF_ERRORS.get(status, {}),
            )
        )

    def _readable(self, response: messages.Response) -> messages.Response:
        """Lets pages from other servers read a response, if they may."""
        if not self._options.enables_cors:
            return response
        headers = (
            _CORS_HEADERS_WITH_KEYS
            if self._options.asks_for_keys
            else _CORS_HEADERS
        )
        return dataclasses.replace(
            response, headers={**response.headers, **headers}
        )

    async def _answer(self, request: messages.Request) -> messages.Response:
        method, path = request.method, request.path
        if method == "OPTIONS":
            return _preflight(request)
        is_api = path.lower().startswith("/v1/")
        # The API of TensorFlow Serving has no HEAD.
        if method == "GET" or (method == "HEAD" and not is_api):
            page = self._find_page(path) or self._status_pages.find_list(path)
            if page is not None:
                return await asyncio.get_running_loop().run_in_executor(
                    self._pages, page
                )
            if found := self._status_pages.find(path):
                return found
        if not is_api:
            raise errors.NotFoundError(f"Not found: {path}")
        target = http_rest_api_paths.parse(method, path)
        if target.method == http_rest_api_paths.STATUS:
            return _of_message(self._status(target.spec))
        if target.method == http_rest_api_paths.METADATA:
            return messages.Response(200, self._metadata(target.spec))
        return await self._run_model(target, request)

    async def _run_model(
        self, target: http_rest_api_paths.Target, request: messages.Request
    ) -> messages.Response:
        """Returns the response of a signature."""
        caller = rest_caller.RestCaller(
            self._rounds, self._clock, self._options.timeout_seconds
        )
        request.notes.call = caller
        try:
            with self._core.call_limits.place(target.spec.name):
                version, body = await self._answer_call(target, request, caller)
        except Exception as error:
            shown = bugs.as_serving_error("answering a call", error)
            if not caller.has_task:
                refused = call_events.Refused.of_call(
                    _REST,
                    target.method.capitalize(),
                    target.spec,
                    self._core.model_names,
                )
                self._listeners.refused(refused, shown)
            if shown is error:
                raise
            raise shown from None
        headers = {}
        if call_timing.KEY in request.headers:
            headers["server-timing"] = caller.server_timing()
            headers["serving-version"] = str(version)
        return messages.Response(200, body, headers=headers)

    async def _answer_call(
        self,
        target: http_rest_api_paths.Target,
        request: messages.Request,
        caller: rest_caller.RestCaller,
    ) -> tuple[int, bytes]:
        """Returns the version that answers, and its answer."""
        spec = target.spec
        with contextlib.ExitStack() as stack:
            document = await self._json.read(request.body)
            stack.callback(document.close)
            spec.signature_name = document.signature_name
            handle = stack.enter_context(self._core.handle(spec))
            version = inference.Version.of_handle(handle)
            subject = call_events.Subject.of_call(
                _REST, target.method.capitalize(), version, spec
            )
            caller.reporter = call_events.Reporter(self._listeners, subject)
            recorder = self._core.recording.recorders.find(subject)
            call = _Call(version, spec, document, caller, subject, recorder)
            return version.number, await self._methods[target.method](call)

    async def _predict(self, call: "_Call") -> bytes:
        plan = _plan_of(call.version, call.spec.signature_name)
        form, tensors = await call.document.tensors(plan.inputs)
        outputs = await call.caller.run(
            plan.queue, plan.function, [tensors[key] for key in plan.inputs]
        )
        found = dict(zip(plan.outputs, outputs, strict=True))
        body = await self._json.write(
            sum(map(_text_size, outputs)),
            json_responses.predictions,
            found,
            form,
        )
        call.record(
            lambda subject: rest_records.of_predict(
                subject, call.spec, tensors, found
            )
        )
        return body

    async def _classify(self, call: "_Call") -> bytes:
        return await self._run_on_examples(
            call,
            classification_pb2.ClassificationRequest,
            classify.begin,
            json_responses.classifications,
        )

    async def _regress(self, call: "_Call") -> bytes:
        return await self._run_on_examples(
            call,
            regression_pb2.RegressionRequest,
            regress.begin,
            json_responses.regressions,
        )

    async def _run_on_examples(
        self,
        call: "_Call",
        request_class: Callable[..., _Request],
        begin: Callable[[inference.Version, _Request], inference.Inference],
        to_json: Callable[[bytes], bytes],
    ) -> bytes:
        """Returns the JSON of the response to the examples of a call."""
        request = request_class(
            model_spec=call.spec,
            input=await call.document.examples(),
        )
        begun = begin(call.version, request)
        outputs = await call.caller.run(
            begun.queue, begun.function, begun.inputs
        )
        response = bytes(begun.respond(outputs, 1)[0])
        call.record(
            lambda subject: call_records.Record.of_messages(
                subject,
                call_records.Messages(request.SerializeToString(), response),
            )
        )
        return await self._json.write(len(response), to_json, response)

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
            f'{{\n"model_spec":{_json(response.model_spec)}\n,\n'
            f'"metadata": {{"{_SIGNATURE_DEF}": {_json(signatures)}\n}}\n}}\n'
        ).encode()


@dataclasses.dataclass(frozen=True)
class _Call:
    """A call of a model, on the version that it names."""

    version: inference.Version
    spec: model_pb2.ModelSpec
    document: rest_json.Document
    caller: rest_caller.RestCaller
    subject: call_events.Subject
    # Takes a record of the call, if anybody does.
    recorder: call_records.Recorder | None

    def record(
        self, make: Callable[[call_events.Subject], call_records.Record]
    ) -> None:
        """Has a record taken of the call, which has succeeded."""
        if self.recorder is not None:
            self.recorder.succeeded(1, lambda _: make(self.subject))


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """All that calls of Predict have in common which name one signature."""

    queue: served_model.Queue
    function: batched_function.BatchedFunction
    # The numbers of the types of the inputs, by ascending key.
    inputs: Mapping[str, int]
    # The keys of the outputs of the function.
    outputs: Sequence[str]


def _text_size(array: npt.NDArray[Any]) -> int:
    """Returns about how much work it is to write an array, in bytes of numbers.

    Lists without values are written, too.
    """
    num_bytes = array.itemsize * math.prod(max(1, size) for size in array.shape)
    if array.dtype.kind == "O":
        num_bytes += sum(map(len, array.flat)) // _TEXT_PER_BYTE
    return int(num_bytes)


def _plan_of(version: inference.Version, name: str) -> _Plan:
    """Returns the plan of calls that name a signature of a version."""
    name = inference.signature_name(name)
    found: _Plan = version.model.cached(
        (_Plan, name), lambda: _make_plan(version, name)
    )
    return found


def _make_plan(version: inference.Version, name: str) -> _Plan:
    definition = version.signature_def(name)
    outputs = sorted(definition.outputs)
    return _Plan(
        version.model.queue(name),
        version.model.function(name, outputs),
        {
            key: definition.inputs[key].dtype
            for key in sorted(definition.inputs)
        },
        outputs,
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


def _json(found: message.Message) -> str:
    text: str = json_format.MessageToJson(
        found,
        always_print_fields_with_no_presence=True,
        preserving_proto_field_name=True,
        indent=1,
    )
    return text
