"""Tests for other_calls, and for the observers that get the same calls."""

from typing import Any
from unittest import mock

from absl.testing import absltest, parameterized

from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import call_observers, other_calls
from tensorflow_serving.util import errors

_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
_KEY_ERROR = errors.UnauthenticatedError("no key")
_PREDICT = ("POST", "/v1/models/m:predict")


def _http(
    method: str, path: str, error: errors.ServingError | None = None
) -> messages.Request:
    return messages.Request(method, path, {}, b"", messages.Notes(error))


class OtherCallsTest(parameterized.TestCase):
    """Calls of both APIs."""

    def setUp(self) -> None:
        """Starts with no calls."""
        super().setUp()
        self.calls = other_calls.OtherCalls()

    def test_calls_of_grpc_count_by_method_and_status(self) -> None:
        """Names that callers make up are not kept, nor are other services."""
        call: Any = None
        for path in (_STATUS, "/tensorflow.serving.ModelService/Made", "/x"):
            self.calls.call_refused(path, (), _KEY_ERROR)
        self.calls.call_answered(_STATUS, call, 0.1, None)
        self.calls.call_answered(_STATUS, call, 0.1, errors.NotFoundError("m"))
        self.calls.call_answered("/grpc.health.v1.Health/Check", call, 0, None)
        self.assertEqual(
            self.calls.snapshot(),
            {
                ("GRPC", "GetModelStatus", "UNAUTHENTICATED"): 1,
                ("GRPC", "", "UNAUTHENTICATED"): 2,
                ("GRPC", "GetModelStatus", "OK"): 1,
                ("GRPC", "GetModelStatus", "NOT_FOUND"): 1,
            },
        )

    @parameterized.named_parameters(
        ("status", _http("GET", "/v1/models/m"), 200, "GetModelStatus", "OK"),
        (
            "metadata",
            _http("GET", "/v1/models/m/metadata", errors.NotFoundError("m")),
            404,
            "GetModelMetadata",
            "NOT_FOUND",
        ),
        (
            "no_key",
            _http(*_PREDICT, _KEY_ERROR),
            401,
            "Predict",
            "UNAUTHENTICATED",
        ),
        ("left", _http(*_PREDICT), None, "Predict", "CANCELLED"),
        (
            "no_key_for_a_page",
            _http("GET", "/metrics", _KEY_ERROR),
            401,
            "",
            "UNAUTHENTICATED",
        ),
        (
            "no_such_page",
            _http("GET", "/x", errors.NotFoundError("x")),
            404,
            "",
            "NOT_FOUND",
        ),
    )
    def test_request_of_rest_counts(
        self,
        request: messages.Request,
        http_status: int | None,
        method: str,
        status: str,
    ) -> None:
        """Its method has the name that it has in gRPC."""
        response = http_status and messages.Response(http_status, b"")
        self.calls.of_http(request, response or None, 0.1)
        self.assertEqual(self.calls.snapshot(), {("REST", method, status): 1})

    def test_request_that_others_count_does_not(self) -> None:
        """Pages are no calls, and a call of a model has listeners.

        Nor is a probe while models load, or one that leaves.
        """
        response = messages.Response(200, b"")
        for path in ("/metrics", "/healthz", "/"):
            self.calls.of_http(_http("GET", path), response, 0.1)
        not_ready = messages.Response(503, b"")
        self.calls.of_http(_http("GET", "/readyz"), not_ready, 0.1)
        self.calls.of_http(_http("GET", "/metrics"), None, 0.1)
        request = _http(*_PREDICT)
        request.notes.call = object()
        self.calls.of_http(request, response, 0.1)
        self.assertEqual(self.calls.snapshot(), {})

    def test_fault_of_an_observer_harms_nobody(self) -> None:
        """The others get the call, and the log has the fault."""
        broken: Any = mock.Mock()
        broken.call_refused.side_effect = ValueError("bug")
        both = call_observers.Observers([broken, self.calls])
        with self.assertLogs(level="ERROR"):
            both.call_refused(_STATUS, (), _KEY_ERROR)
        self.assertEqual(len(self.calls.snapshot()), 1)


if __name__ == "__main__":
    absltest.main()
