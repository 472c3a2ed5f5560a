"""Calls of both APIs as their transports see them, for those who keep count.

Example:
    observers = call_observers.Observers([other_calls, call_log])
    rpc.options.Options(observer=observers)
    http.options.Options(on_end=observers.of_http)

The ends of calls that run a model come to the listeners of call_events.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from tensorflow_serving.apis import (
    model_service_pb2,
    prediction_service_pb2,
)
from tensorflow_serving.http import messages
from tensorflow_serving.model_servers import call_events, http_rest_api_paths
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import observer
from tensorflow_serving.util import errors

_HTTP_ERROR: Final = 400
_REST_METHODS: Final = {
    http_rest_api_paths.STATUS: "GetModelStatus",
    http_rest_api_paths.METADATA: "GetModelMetadata",
}
_METHODS: Final = {
    f"/{service.full_name}/{method.name}": method.name
    for file in (prediction_service_pb2, model_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


class Observer(observer.Observer, Protocol):
    """Gets the ends of calls, on the threads that end them. Thread-safe."""

    def of_http(
        self,
        request: messages.Request,
        response: messages.Response | None,
        seconds: float,
    ) -> None:
        """Gets a request of HTTP; see http.options.Options.on_end."""


class Observers:
    """Several observers as one, whose faults harm no call. Thread-safe."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        """Takes the observers, perhaps none."""
        self._observers = tuple(observers)

    def call_refused(
        self, path: str, metadata: call_lib.Metadata, error: errors.ServingError
    ) -> None:
        """See Observer."""
        call_events.report_to_each(
            self._observers,
            lambda each: each.call_refused(path, metadata, error),
        )

    def call_answered(
        self,
        path: str,
        call: call_lib.Call,
        seconds: float,
        error: errors.ServingError | None,
    ) -> None:
        """See Observer."""
        call_events.report_to_each(
            self._observers,
            lambda each: each.call_answered(path, call, seconds, error),
        )

    def of_http(
        self,
        request: messages.Request,
        response: messages.Response | None,
        seconds: float,
    ) -> None:
        """See Observer."""
        call_events.report_to_each(
            self._observers,
            lambda each: each.of_http(request, response, seconds),
        )


def grpc_method(path: str) -> str | None:
    """Returns the name of a method of TensorFlow Serving's services.

    None for a path that is not of them: those are up to callers, and may be any
    number.
    """
    return _METHODS.get(path)


def rest_target(
    request: messages.Request,
) -> tuple[str, http_rest_api_paths.Target] | None:
    """Returns the method of a request, by its name in gRPC, and its target.

    None if the request is not one of the API of TensorFlow Serving.
    """
    try:
        target = http_rest_api_paths.parse(request.method, request.path)
    except errors.InvalidArgumentError:
        return None
    name = _REST_METHODS.get(target.method, target.method.capitalize())
    return name, target


def http_status(
    request: messages.Request, response: messages.Response | None
) -> str | None:
    """Returns the status of a request; None if HTTP's is all there is."""
    if response is None:
        return errors.StatusCode.CANCELLED.name
    error = request.notes.error
    if error is not None:
        return error.code.name
    return None if response.status >= _HTTP_ERROR else errors.StatusCode.OK.name
