"""A server with canned answers, for tests of clients."""

import concurrent.futures
import threading
from typing import Any

import grpc
from google.protobuf import message, message_factory
from typing_extensions import Self

from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

_SERVICES = (
    prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"],
    model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
)

# A response, perhaps as bytes; a failure; nothing until the event is set.
Answer = message.Message | bytes | grpc.StatusCode | threading.Event


class CannedServer:
    """Serves both services of TensorFlow Serving on a free port of localhost.

    with canned_server.CannedServer() as server:
        server.answers.append(predict_pb2.PredictResponse())
    """

    def __init__(
        self, credentials: grpc.ServerCredentials | None = None
    ) -> None:
        """Starts to serve, encrypted if there are credentials."""
        # The answers to calls, in order.
        self.answers: list[Answer] = []
        # The calls that came: messages of the classes of their methods.
        self.requests: list[Any] = []
        # The metadata of these calls, by key.
        self.metadata: list[dict[str, str | bytes]] = []
        # Is set once a call has come.
        self.requested = threading.Event()
        self._threads = concurrent.futures.ThreadPoolExecutor(2)
        self._server = grpc.server(self._threads)
        for service in _SERVICES:
            handlers: dict[str, Any] = {
                method.name: grpc.unary_unary_rpc_method_handler(
                    self._answer,
                    message_factory.GetMessageClass(
                        method.input_type
                    ).FromString,
                )
                for method in service.methods
            }
            self._server.add_generic_rpc_handlers(
                [
                    grpc.method_handlers_generic_handler(
                        service.full_name, handlers
                    )
                ]
            )
        if credentials is None:
            port = self._server.add_insecure_port("localhost:0")
        else:
            port = self._server.add_secure_port("localhost:0", credentials)
        self.address = f"localhost:{port}"
        self._server.start()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.close()

    def close(self) -> None:
        """Stops, and waits for the end. Idempotent."""
        self._server.stop(None).wait()
        self._threads.shutdown()

    def _answer(self, request: Any, context: grpc.ServicerContext) -> bytes:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        answer = self.answers.pop(0)
        self.requested.set()
        if isinstance(answer, threading.Event):
            answer.wait()
            return b""
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, f"answer is {answer.name}")
        return (
            answer if isinstance(answer, bytes) else answer.SerializeToString()
        )
