"""Calls of the model server as entries of its access log.

Example:
    log = call_log.CallLog(access_log.AccessLog(options))
    listeners = call_events.Listeners([metrics, log])
    observers = call_observers.Observers([log])

All fields, and their meaning: g3doc/serving_with_model_server.md.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf import message

from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
)
from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import (
    access_log,
    access_log_lines,
    call_events,
    call_observers,
    rest_caller,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors

_GRPC: Final = "GRPC"
_REST: Final = "REST"
_MICROS: Final = 1e6
_NUM_ID_CHARACTERS: Final = 128
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT: Final = re.compile(
    r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
_PREFIX: Final = "/tensorflow.serving."
_BLOCKING: Final[Mapping[str, type[message.Message]]] = {
    f"{_PREFIX}PredictionService/GetModelMetadata": (
        get_model_metadata_pb2.GetModelMetadataRequest
    ),
    f"{_PREFIX}ModelService/GetModelStatus": (
        get_model_status_pb2.GetModelStatusRequest
    ),
    f"{_PREFIX}ModelService/HandleReloadConfigRequest": (
        model_management_pb2.ReloadConfigRequest
    ),
}
_TIMING_NAMES: Final = ("batch_micros", "run_micros", "batch_rows")
# The fields of one call of those that ran together.
_OWN_NAMES: Final = (
    "trace_id",
    "request_id",
    "rows",
    "queue_micros",
    *_TIMING_NAMES,
    "total_micros",
)

_Fields = Sequence[tuple[str, access_log_lines.Value]]
_Ids = tuple[str | None, str | None]


class CallLog:
    """Has a line written for each call.

    A listener of call_events, for gRPC, and a call_observers.Observer, which
    gets calls of the REST API as requests of HTTP. Thread-safe.
    """

    def __init__(self, log: access_log.AccessLog) -> None:
        """Takes the log, which the caller closes after the servers."""
        self._log = log

    def succeeded(
        self,
        subject: call_events.Subject,
        tasks: batched_function.Tasks,
        timing: run_timing.RunTiming,
    ) -> None:
        """See call_events.Listener."""
        if subject.entrypoint == _GRPC:
            self._add_tasks(subject, self._log.sample(tasks), timing, "OK")

    def failed(
        self,
        subject: call_events.Subject,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """See call_events.Listener."""
        if subject.entrypoint == _GRPC:
            self._add_tasks(subject, tasks, None, error.code.name)

    def refused(
        self, call: call_events.Refused, error: errors.ServingError
    ) -> None:
        """See call_events.Listener."""
        if call.entrypoint == _GRPC:
            self._add_one(
                [
                    ("entrypoint", _GRPC),
                    ("method", call.method),
                    *_of_spec(call.spec),
                    ("status", error.code.name),
                    *_of_ids(_ids(call.metadata)),
                ]
            )

    def call_refused(
        self, path: str, metadata: call_lib.Metadata, error: errors.ServingError
    ) -> None:
        """See call_observers.Observer."""
        is_ours = path.startswith(_PREFIX)
        method = path.rpartition("/")[2] if is_ours else None
        self._add_one(
            [
                ("entrypoint", _GRPC),
                ("method", method),
                ("path", None if is_ours else path),
                ("status", error.code.name),
                *_of_ids(_ids(metadata)),
            ]
        )

    def call_answered(
        self,
        path: str,
        call: call_lib.Call,
        seconds: float,
        error: errors.ServingError | None,
    ) -> None:
        """See call_observers.Observer; other services get no lines."""
        request_class = _BLOCKING.get(path)
        if request_class is None:
            return
        if error is None and not self._log.sample([path]):
            return
        self._add_one(
            [
                ("entrypoint", _GRPC),
                ("method", path.rpartition("/")[2]),
                *_of_spec(_spec(request_class, call.request)),
                ("status", _status(error)),
                *_of_ids(_ids(call.metadata)),
                ("total_micros", int(seconds * _MICROS)),
            ]
        )

    def of_http(
        self,
        request: messages.Request,
        response: messages.Response | None,
        seconds: float,
    ) -> None:
        """See call_observers.Observer."""
        status = call_observers.http_status(request, response)
        if status == "OK" and not self._log.sample([status]):
            return
        self._add_one(
            [
                ("entrypoint", _REST),
                *_of_path(request),
                ("status", status),
                ("http_status", response.status if response else None),
                *_of_ids(_ids(request.headers.items())),
                *_of_rest_call(request.notes.call),
                ("total_micros", int(seconds * _MICROS)),
            ]
        )

    def _add_one(self, fields: _Fields) -> None:
        names = tuple([name for name, _ in fields])
        # An empty text says no more than none.
        values = [value if value != "" else None for _, value in fields]
        self._log.add(access_log_lines.Calls(time.time(), (), names, (values,)))

    def _add_tasks(
        self,
        subject: call_events.Subject,
        tasks: batched_function.Tasks,
        timing: run_timing.RunTiming | None,
        status: str,
    ) -> None:
        """Adds calls that ended together."""
        if not tasks:
            return
        now = tasks[0].function.clock.now()
        shared = [value for _, value in _of_timing(timing)]
        # Calls that repeat their header fields share one object.
        ids: dict[int, _Ids] = {}
        values = []
        for task in tasks:
            metadata = task.context.metadata
            own = ids.get(id(metadata))
            if own is None:
                own = ids[id(metadata)] = _ids(metadata)
            arrival_time = task.arrival_time
            values.append(
                (
                    *own,
                    task.num_rows,
                    _queue_micros(arrival_time, timing),
                    *shared,
                    int((now - arrival_time) * _MICROS),
                )
            )
        common = (
            ("entrypoint", _GRPC),
            ("method", subject.method),
            *_of_subject(subject),
            ("status", status),
        )
        self._log.add(
            access_log_lines.Calls(time.time(), common, _OWN_NAMES, values)
        )


def _ids(metadata: Iterable[tuple[str, str | bytes]]) -> _Ids:
    """Returns the trace and the request that a caller names, if it does."""
    trace_id = request_id = None
    for key, value in metadata:
        if key == "traceparent":
            match = _TRACEPARENT.fullmatch(str(value))
            trace_id = match[1] if match else None
        elif key == "x-request-id":
            request_id = str(value)[:_NUM_ID_CHARACTERS]
    return trace_id, request_id


def _of_ids(ids: _Ids) -> _Fields:
    trace_id, request_id = ids
    return ("trace_id", trace_id), ("request_id", request_id)


def _spec(
    request_class: type[message.Message], data: bytes
) -> model_pb2.ModelSpec | None:
    """Returns the model that a request names, if it is one and names one."""
    try:
        request: Any = request_class.FromString(data)
    except message.DecodeError:
        return None
    return getattr(request, "model_spec", None)


def _of_spec(spec: model_pb2.ModelSpec | None) -> _Fields:
    """Returns the model that a caller asks for, which there may not be."""
    if spec is None:
        return ()
    has_version = spec.HasField("version")
    return (
        ("model", spec.name),
        ("version", spec.version.value if has_version else None),
        ("label", spec.version_label),
        ("signature", spec.signature_name),
    )


def _of_subject(subject: call_events.Subject) -> access_log_lines.Pairs:
    return (
        ("model", subject.model),
        ("version", subject.version),
        ("signature", subject.signature),
    )


def _of_timing(timing: run_timing.RunTiming | None) -> _Fields:
    if timing is None:
        return [(name, None) for name in _TIMING_NAMES]
    values = (
        int((timing.start_time - timing.taken_time) * _MICROS),
        int((timing.end_time - timing.start_time) * _MICROS),
        timing.num_rows,
    )
    return [*zip(_TIMING_NAMES, values, strict=True)]


def _queue_micros(
    arrival_time: float, timing: run_timing.RunTiming | None
) -> int | None:
    if timing is None:
        return None
    return int((timing.taken_time - arrival_time) * _MICROS)


def _status(error: errors.ServingError | None) -> str:
    return "OK" if error is None else error.code.name


def _of_path(request: messages.Request) -> _Fields:
    """Returns what a request asks for, as far as that can be read."""
    sent = ("http_method", request.method), ("path", request.path)
    named = call_observers.rest_target(request)
    if named is None:
        return sent
    method, target = named
    caller = request.notes.call
    found = _of_spec(target.spec)
    if isinstance(caller, rest_caller.RestCaller) and caller.reporter:
        found = _of_subject(caller.reporter.subject)
    return (("method", method), *found, *sent)


def _of_rest_call(caller: object) -> _Fields:
    """Returns the times of a call, if it ran a model."""
    if not isinstance(caller, rest_caller.RestCaller):
        return ()
    facts = caller.run_facts
    if facts is None:
        return ()
    return (
        ("rows", facts.num_rows),
        ("queue_micros", _queue_micros(facts.arrival_time, facts.timing)),
        *_of_timing(facts.timing),
    )
