"""A client of TensorFlow Serving for asyncio, without TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import grpc.aio
import numpy.typing as npt
from typing_extensions import Self

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.client import calls, examples
from tensorflow_serving.client import options as options_lib
from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.util import errors

_Result = TypeVar("_Result")


class AsyncClient:
    """The Client of client.py for asyncio, with the same methods.

        async with AsyncClient(options.Options("localhost:8500")) as server:
            prediction = await server.predict(
                calls.Model("half_plus_two"), {"x": np.float32([1, 2])}
            )

    It belongs to the event loop that runs when it is made, and is not
    thread-safe. A task that is cancelled cancels its call.
    """

    def __init__(self, options: options_lib.Options) -> None:
        """Opens no connection.

        Raises:
          OSError: A file for the encryption cannot be read.
        """
        arguments = options.channel_arguments()
        if options.tls is None:
            self._channel = grpc.aio.insecure_channel(options.server, arguments)
        else:
            self._channel = grpc.aio.secure_channel(
                options.server, options.tls.credentials(), arguments
            )
        self._deadline_seconds = options.deadline_seconds
        self._metadata = options.metadata

    async def __aenter__(self) -> Self:
        """Returns itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes it."""
        await self.close()

    async def close(self) -> None:
        """Ends the connection, and calls that are in flight. Idempotent."""
        await self._channel.close()

    async def predict(
        self,
        model: calls.Model,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        output_filter: Sequence[str] = (),
        deadline_seconds: float | None = None,
    ) -> calls.Prediction:
        """See Client.predict()."""
        call = calls.predict(model, inputs, output_filter)
        return await self.run(call, deadline_seconds)

    async def classify(
        self,
        model: calls.Model,
        features: Sequence[examples.Features],
        *,
        context: examples.Features | None = None,
        deadline_seconds: float | None = None,
    ) -> calls.Classifications:
        """See Client.classify()."""
        call = calls.classify(model, features, context)
        return await self.run(call, deadline_seconds)

    async def regress(
        self,
        model: calls.Model,
        features: Sequence[examples.Features],
        *,
        context: examples.Features | None = None,
        deadline_seconds: float | None = None,
    ) -> calls.Regressions:
        """See Client.regress()."""
        call = calls.regress(model, features, context)
        return await self.run(call, deadline_seconds)

    async def metadata(
        self, model: calls.Model, *, deadline_seconds: float | None = None
    ) -> calls.Metadata:
        """See Client.metadata()."""
        return await self.run(calls.metadata(model), deadline_seconds)

    async def status(
        self, model: calls.Model, *, deadline_seconds: float | None = None
    ) -> Sequence[get_model_status_pb2.ModelVersionStatus]:
        """See Client.status()."""
        return await self.run(calls.status(model), deadline_seconds)

    async def reload(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        *,
        deadline_seconds: float | None = None,
    ) -> None:
        """See Client.reload()."""
        await self.run(calls.reload(config), deadline_seconds)

    async def run(
        self,
        call: calls.Call[_Result],
        deadline_seconds: float | None = None,
    ) -> _Result:
        """Sends a call and returns what comes back."""
        if deadline_seconds is None:
            deadline_seconds = self._deadline_seconds
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = (
            self._channel.unary_unary(call.path)
        )
        try:
            response = await method(
                call.request,
                timeout=deadline_seconds or None,
                metadata=self._metadata,
            )
        except grpc.aio.AioRpcError as error:
            raise errors.from_code(
                error.code().value[0], error.details() or ""
            ) from None
        except grpc.aio.UsageError:
            raise errors.FailedPreconditionError(
                "The client is closed; make another one."
            ) from None
        return call.result(response)
