"""A client of TensorFlow Serving, without TensorFlow."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import grpc
import numpy.typing as npt
from typing_extensions import Self

from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.client import calls, examples
from tensorflow_serving.client import options as options_lib
from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.util import errors

_Result = TypeVar("_Result")


class Client:
    """Calls one server. Thread-safe.

        with client.Client(options.Options("localhost:8500")) as server:
            prediction = server.predict(
                calls.Model("half_plus_two"), {"x": np.float32([1, 2])}
            )
            print(prediction.outputs["y"])

    Every method raises a ServingError of util/errors for a call that fails: the
    class stands for its code, and the text is that of the server. It does so by
    InvalidArgumentError too for what cannot be sent. A call is tried again as
    the options say, and only while the server is UNAVAILABLE. The connection is
    made with the first call.
    """

    def __init__(self, options: options_lib.Options) -> None:
        """Opens no connection.

        Raises:
          OSError: A file for the encryption cannot be read.
        """
        arguments = options.channel_arguments()
        if options.tls is None:
            self._channel = grpc.insecure_channel(options.server, arguments)
        else:
            self._channel = grpc.secure_channel(
                options.server, options.tls.credentials(), arguments
            )
        self._deadline_seconds = options.deadline_seconds
        self._metadata = options.metadata

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.close()

    def close(self) -> None:
        """Ends the connection, and calls that are in flight. Idempotent."""
        self._channel.close()

    def predict(
        self,
        model: calls.Model,
        inputs: Mapping[str, npt.ArrayLike],
        *,
        output_filter: Sequence[str] = (),
        deadline_seconds: float | None = None,
    ) -> calls.Prediction:
        """Runs a signature.

        Args:
          model: The model and its signature.
          inputs: Arrays of the dtypes that the signature says.
          output_filter: The outputs to return; all if empty.
          deadline_seconds: By default that of the options. 0: any time.
        """
        call = calls.predict(model, inputs, output_filter)
        return self.run(call, deadline_seconds)

    def classify(
        self,
        model: calls.Model,
        features: Sequence[examples.Features],
        *,
        context: examples.Features | None = None,
        deadline_seconds: float | None = None,
    ) -> calls.Classifications:
        """Returns the classes of examples.

        Args:
          model: The model and its signature.
          features: The features of each example.
          context: The features that all examples share.
          deadline_seconds: See predict().
        """
        call = calls.classify(model, features, context)
        return self.run(call, deadline_seconds)

    def regress(
        self,
        model: calls.Model,
        features: Sequence[examples.Features],
        *,
        context: examples.Features | None = None,
        deadline_seconds: float | None = None,
    ) -> calls.Regressions:
        """Returns a value for each example; see classify()."""
        call = calls.regress(model, features, context)
        return self.run(call, deadline_seconds)

    def metadata(
        self, model: calls.Model, *, deadline_seconds: float | None = None
    ) -> calls.Metadata:
        """Returns the signatures of a model."""
        return self.run(calls.metadata(model), deadline_seconds)

    def status(
        self, model: calls.Model, *, deadline_seconds: float | None = None
    ) -> Sequence[get_model_status_pb2.ModelVersionStatus]:
        """Returns the states of the versions of a model."""
        return self.run(calls.status(model), deadline_seconds)

    def reload(
        self,
        config: model_server_config_pb2.ModelServerConfig,
        *,
        deadline_seconds: float | None = None,
    ) -> None:
        """Changes which models the server serves."""
        self.run(calls.reload(config), deadline_seconds)

    def run(
        self,
        call: calls.Call[_Result],
        deadline_seconds: float | None = None,
    ) -> _Result:
        """Sends a call and returns what comes back."""
        if deadline_seconds is None:
            deadline_seconds = self._deadline_seconds
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = (
            self._channel.unary_unary(call.path)
        )
        try:
            response = method(
                call.request,
                timeout=deadline_seconds or None,
                metadata=self._metadata,
            )
        except grpc.RpcError as error:
            raise errors.from_code(
                error.code().value[0], error.details() or ""
            ) from None
        except ValueError:
            raise errors.FailedPreconditionError(
                "The client is closed; make another one."
            ) from None
        return call.result(response)
