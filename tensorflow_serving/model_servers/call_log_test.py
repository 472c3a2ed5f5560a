"""Tests for call_log, by the lines that a log has in the end."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.batching import batched_function, run_timing
from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import (
    access_log,
    access_log_lines,
    call_events,
    call_log,
    rest_caller,
)
from tensorflow_serving.test_util import fake_clock, fake_session
from tensorflow_serving.util import errors

_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_IDS = (
    ("traceparent", f"00-{_TRACE}-00f067aa0ba902b7-01"),
    ("x-request-id", "r1"),
)
_ID_FIELDS = {"trace_id": _TRACE, "request_id": "r1"}
_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
_PREDICT = "/v1/models/m/versions/7:predict"
_TIMING = run_timing.RunTiming(3, 1, 1.0, 1.5, 1.75)
_SUBJECT = {"model": "m", "version": 7, "signature": "s"}
_RUN = {
    "queue_micros": 1_000_000,
    "batch_micros": 500_000,
    "run_micros": 250_000,
    "batch_rows": 3,
}


def _subject(entrypoint: str) -> call_events.Subject:
    return call_events.Subject(entrypoint, "Predict", "m", 7, "s")


def _call(*metadata: tuple[str, str], request: bytes = b"") -> Any:
    return mock.Mock(metadata=metadata, request=request)


def _request(
    path: str,
    method: str = "POST",
    headers: Mapping[str, str] = {},
    error: errors.ServingError | None = None,
) -> messages.Request:
    return messages.Request(method, path, headers, b"", messages.Notes(error))


def _response(status: int) -> messages.Response:
    return messages.Response(status, b"")


class CallLogTest(parameterized.TestCase):
    """A log in a file of the test."""

    def setUp(self) -> None:
        """Opens the log."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.function = batched_function.BatchedFunction(
            fake_session.FakeSession((None,)), ["y:0"], ["x:0"], self.clock
        )
        self._open(1.0)

    def _open(self, sampling_rate: float) -> None:
        self.path = os.path.join(self.create_tempdir().full_path, "log")
        self.access_log = self.enter_context(
            access_log.AccessLog(
                access_log.Options(
                    access_log_lines.Format.JSON, self.path, sampling_rate
                )
            )
        )
        self.log = call_log.CallLog(self.access_log)

    def _lines(self) -> Sequence[Mapping[str, Any]]:
        """Returns the lines without their times; ends the log."""
        self.access_log.close()
        with open(self.path, encoding="ascii") as file:
            lines = [json.loads(line) for line in file]
        for line in lines:
            self.assertRegex(line.pop("time"), "^2")
        return lines

    def _task(
        self, num_rows: int, *metadata: tuple[str, str]
    ) -> batched_function.FunctionTask:
        """Returns a task that came at the time 0."""
        return self.function.task(
            [np.zeros(num_rows)], mock.Mock(), context=_call(*metadata)
        )

    def test_calls_that_ran_together_have_a_line_each(self) -> None:
        """Rows, ids and times are of the call, and the batch is shared."""
        tasks = [self._task(2, *_IDS), self._task(1)]
        self.clock.advance_micros(2_000_000)
        self.log.succeeded(_subject("GRPC"), tasks, _TIMING)
        common = {"entrypoint": "GRPC", "method": "Predict", **_SUBJECT}
        ended = {"status": "OK", **_RUN, "total_micros": 2_000_000}
        self.assertEqual(
            self._lines(),
            [
                {**common, **ended, **_ID_FIELDS, "rows": 2},
                {**common, **ended, "rows": 1},
            ],
        )

    def test_calls_that_failed_have_no_times_of_a_run(self) -> None:
        """Their status says why."""
        task = self._task(2)
        self.clock.advance_micros(30)
        error = errors.UnavailableError("full")
        self.log.failed(_subject("GRPC"), [task], error)
        self.assertEqual(
            self._lines(),
            [
                {
                    "entrypoint": "GRPC",
                    "method": "Predict",
                    **_SUBJECT,
                    "status": "UNAVAILABLE",
                    "rows": 2,
                    "total_micros": 30,
                }
            ],
        )

    def test_call_that_was_refused_names_what_it_asked_for(self) -> None:
        """There may be no such model; what it does not name is left out."""
        spec = model_pb2.ModelSpec(name="no", version_label="canary")
        for named in (spec, None):
            self.log.refused(
                call_events.Refused("GRPC", "Predict", "", named, _IDS),
                errors.NotFoundError("no"),
            )
        line = {
            "entrypoint": "GRPC",
            "method": "Predict",
            "status": "NOT_FOUND",
            **_ID_FIELDS,
        }
        self.assertEqual(
            self._lines(), [{**line, "model": "no", "label": "canary"}, line]
        )

    def test_call_that_got_to_no_method_names_its_path(self) -> None:
        """The path is left out if the name of the method says as much."""
        error = errors.UnauthenticatedError("no key")
        for path in (_STATUS, "/x.Y/Z"):
            self.log.call_refused(path, _IDS, error)
        line = {
            "entrypoint": "GRPC",
            "status": "UNAUTHENTICATED",
            **_ID_FIELDS,
        }
        self.assertEqual(
            self._lines(),
            [{**line, "method": "GetModelStatus"}, {**line, "path": "/x.Y/Z"}],
        )

    def test_call_of_a_method_that_blocks_has_a_line(self) -> None:
        """A request that cannot be parsed names no model."""
        spec = model_pb2.ModelSpec(name="m")
        spec.version.value = 0
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        call = _call(*_IDS, request=request.SerializeToString())
        self.log.call_answered(_STATUS, call, 0.5, None)
        broken = errors.InvalidArgumentError("no request")
        self.log.call_answered(_STATUS, _call(request=b"\xff"), 0.5, broken)
        self.log.call_answered("/grpc.health.v1.Health/Check", call, 0.5, None)
        line = {
            "entrypoint": "GRPC",
            "method": "GetModelStatus",
            "total_micros": 500_000,
        }
        self.assertEqual(
            self._lines(),
            [
                {
                    **line,
                    "model": "m",
                    "version": 0,
                    "status": "OK",
                    **_ID_FIELDS,
                },
                {**line, "status": "INVALID_ARGUMENT"},
            ],
        )

    @parameterized.named_parameters(
        (
            "page",
            _request("/readyz", "GET", dict(_IDS)),
            _response(200),
            {"status": "OK", "http_status": 200, **_ID_FIELDS},
        ),
        (
            "page_with_a_status_of_http_alone",
            _request("/readyz", "GET"),
            _response(503),
            {"http_status": 503},
        ),
        (
            "error",
            _request(_PREDICT, error=errors.NotFoundError("m")),
            _response(404),
            {
                "method": "Predict",
                "model": "m",
                "version": 7,
                "status": "NOT_FOUND",
                "http_status": 404,
            },
        ),
        (
            "client_that_left",
            _request("/v1/models/m/labels/stable:predict"),
            None,
            {
                "method": "Predict",
                "model": "m",
                "label": "stable",
                "status": "CANCELLED",
            },
        ),
    )
    def test_request_of_rest_has_a_line(
        self,
        request: messages.Request,
        response: messages.Response | None,
        expected: Mapping[str, Any],
    ) -> None:
        """It names what it asks for, as far as that can be read."""
        self.log.of_http(request, response, 0.25)
        sent = {"http_method": request.method, "path": request.path}
        self.assertEqual(
            self._lines(),
            [
                {
                    "entrypoint": "REST",
                    **sent,
                    **expected,
                    "total_micros": 250_000,
                }
            ],
        )

    def test_call_of_rest_that_ran_has_its_times(self) -> None:
        """Its listeners add no second line."""

        async def caller() -> rest_caller.RestCaller:
            return rest_caller.RestCaller(mock.Mock(), self.clock, 0.0)

        request = _request(_PREDICT)
        request.notes.call = made = asyncio.run(caller())
        subject = _subject("REST")
        made.reporter = call_events.Reporter(
            call_events.Listeners([self.log]), subject
        )
        task = self._task(2)
        made.succeed([task], [np.zeros(2)], _TIMING)
        self.log.failed(subject, [task], errors.InternalError("bug"))
        refused = call_events.Refused("REST", "Predict", "m")
        self.log.refused(refused, errors.InternalError("bug"))
        self.log.of_http(request, _response(200), 2.0)
        self.assertEqual(
            self._lines(),
            [
                {
                    "entrypoint": "REST",
                    "method": "Predict",
                    **_SUBJECT,
                    "http_method": "POST",
                    "path": _PREDICT,
                    "status": "OK",
                    "http_status": 200,
                    "rows": 2,
                    **_RUN,
                    "total_micros": 2_000_000,
                }
            ],
        )

    def test_only_calls_that_succeed_are_sampled(self) -> None:
        """Errors have lines at any rate."""
        self._open(0.0)
        error = errors.InternalError("bug")
        self.log.succeeded(_subject("GRPC"), [self._task(1)], _TIMING)
        self.log.call_answered(_STATUS, _call(), 0.1, None)
        self.log.of_http(_request("/", "GET"), _response(200), 0.1)
        self.log.failed(_subject("GRPC"), [self._task(1)], error)
        self.log.call_answered(_STATUS, _call(), 0.1, error)
        self.log.of_http(_request("/", error=error), _response(500), 0.1)
        self.log.of_http(_request("/", "GET"), None, 0.1)
        self.assertEqual(
            [line["status"] for line in self._lines()],
            ["INTERNAL", "INTERNAL", "INTERNAL", "CANCELLED"],
        )

    @parameterized.parameters(
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        (f"00-{_TRACE.upper()}-00f067aa0ba902b7-01", None),
        (f"00-{_TRACE}-00f067aa0ba902b7-01-more", _TRACE),
        ("nonsense", None),
    )
    def test_trace_must_be_one(self, value: str, expected: str | None) -> None:
        """A caller may send anything; the line leaves it out."""
        headers = {"traceparent": value}
        request = _request("/", "GET", headers)
        self.log.of_http(request, _response(200), 0.1)
        self.assertEqual(self._lines()[0].get("trace_id"), expected)

    def test_id_of_a_request_is_cut(self) -> None:
        """Callers may send a long one; they cannot fill the log with it."""
        request = _request("/", "GET", {"x-request-id": "x" * 1000})
        self.log.of_http(request, _response(200), 0.1)
        self.assertEqual(self._lines()[0]["request_id"], "x" * 128)


if __name__ == "__main__":
    absltest.main()
