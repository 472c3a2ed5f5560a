"""The gRPC clients of Python, behind one interface, for tests."""

import abc
import asyncio
import collections
import dataclasses
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import grpc
import grpc.aio
import grpclib.client
import grpclib.exceptions
from grpc_health.v1 import health_pb2
from typing_extensions import override

from tensorflow_serving.rpc import echo_pb2, echo_service
from tensorflow_serving.util import errors

_Code = errors.StatusCode
_SECONDS = 60.0
_WATCH = "/grpc.health.v1.Health/Watch"

ResultT = TypeVar("ResultT")


class CallError(Exception):
    """A call that did not end with OK."""

    def __init__(self, code: _Code, text: str) -> None:
        """Takes the code, and the text for a person."""
        super().__init__(code, text)
        self.code = code
        self.text = text


@dataclasses.dataclass(frozen=True)
class Target:
    """A server on this machine, and how its clients prove who they are.

    The files are in PEM format.
    """

    port: int
    # The authority that issued the certificate of the server; empty: there is
    # no encryption.
    ca_file: str = ""
    # The key and the certificate of the client; empty: it has none.
    key_file: str = ""
    certificate_file: str = ""

    @property
    def address(self) -> str:
        """Host and port."""
        return f"localhost:{self.port}"

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Returns what grpcio needs; None if there is no encryption."""
        if not self.ca_file:
            return None
        return grpc.ssl_channel_credentials(
            _read(self.ca_file),
            _read(self.key_file),
            _read(self.certificate_file),
        )

    def context(self) -> ssl.SSLContext | None:
        """Returns what others need; None if there is no encryption."""
        if not self.ca_file:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        context.set_alpn_protocols(["h2"])
        if self.key_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


class PythonClient(abc.ABC):
    """Calls an echo service. A context manager that disconnects."""

    @abc.abstractmethod
    def echo(self, text: str, timeout_seconds: float = _SECONDS) -> str:
        """Returns the answer to a call.

        Raises:
          CallError: There was another one.
        """

    @abc.abstractmethod
    def echo_all(self, texts: Sequence[str], num_in_flight: int) -> list[str]:
        """Returns the answers to calls, of which a number run at a time.

        Raises:
          CallError: One of them failed.
        """

    @abc.abstractmethod
    def echo_until_refused(
        self, num_in_flight: int, on_reply: Callable[[], object]
    ) -> collections.Counter[_Code]:
        """Makes calls until one fails; returns how often each code came.

        Args:
          num_in_flight: How many are made at a time.
          on_reply: Called after each call.
        """

    @abc.abstractmethod
    def cancel(self, text: str, wait: Callable[[], object]) -> _Code:
        """Begins a call, waits, and takes it back; returns its code."""

    @abc.abstractmethod
    def watch(self, on_state: Callable[[int], object]) -> None:
        """Watches the health of the echo service until the server ends it.

        Raises:
          CallError: The end was not with OK.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Disconnects. Idempotent."""

    def __enter__(self) -> "PythonClient":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Disconnects."""
        self.close()


class GrpcioClient(PythonClient):
    """The synchronous client of grpcio."""

    def __init__(self, target: Target) -> None:
        """Connects with the first call."""
        credentials = target.credentials()
        if credentials is None:
            self._channel = grpc.insecure_channel(target.address)
        else:
            self._channel = grpc.secure_channel(target.address, credentials)
        # Any: futures have no types.
        self._echo: Any = self._channel.unary_unary(
            echo_service.ECHO,
            echo_pb2.EchoRequest.SerializeToString,
            echo_pb2.EchoResponse.FromString,
        )

    @override
    def echo(self, text: str, timeout_seconds: float = _SECONDS) -> str:
        return _text(self._begin(text, timeout_seconds))

    @override
    def echo_all(self, texts: Sequence[str], num_in_flight: int) -> list[str]:
        calls: collections.deque[Any] = collections.deque()
        answers = []
        for text in texts:
            if len(calls) == num_in_flight:
                answers.append(_text(calls.popleft()))
            calls.append(self._begin(text))
        return [*answers, *map(_text, calls)]

    @override
    def echo_until_refused(
        self, num_in_flight: int, on_reply: Callable[[], object]
    ) -> collections.Counter[_Code]:
        codes: collections.Counter[_Code] = collections.Counter()
        calls = collections.deque(
            self._begin("hello") for _ in range(num_in_flight)
        )
        while calls:
            codes[_code(calls.popleft())] += 1
            on_reply()
            if set(codes) == {_Code.OK}:
                calls.append(self._begin("hello"))
        return codes

    @override
    def cancel(self, text: str, wait: Callable[[], object]) -> _Code:
        call = self._begin(text)
        wait()
        call.cancel()
        return _code(call)

    @override
    def watch(self, on_state: Callable[[int], object]) -> None:
        watch = self._channel.unary_stream(
            _WATCH,
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        request = health_pb2.HealthCheckRequest(service=echo_service.NAME)
        for response in watch(request, timeout=_SECONDS):
            on_state(response.status)

    @override
    def close(self) -> None:
        self._channel.close()

    def _begin(self, text: str, timeout_seconds: float = _SECONDS) -> Any:
        return self._echo.future(
            echo_pb2.EchoRequest(text=text), timeout=timeout_seconds
        )


class _AsyncClient(PythonClient):
    """A client whose calls are coroutines, on its own event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    @abc.abstractmethod
    async def _echo(self, text: str, timeout_seconds: float = _SECONDS) -> str:
        """See PythonClient.echo()."""

    @abc.abstractmethod
    async def _watch(self, on_state: Callable[[int], object]) -> None:
        """See PythonClient.watch()."""

    @abc.abstractmethod
    async def _close(self) -> None:
        """Disconnects."""

    @override
    def echo(self, text: str, timeout_seconds: float = _SECONDS) -> str:
        return self._run(self._echo(text, timeout_seconds))

    @override
    def echo_all(self, texts: Sequence[str], num_in_flight: int) -> list[str]:
        rest = iter(enumerate(texts))
        answers: dict[int, str] = {}

        async def work() -> None:
            for number, text in rest:
                answers[number] = await self._echo(text)

        self._run(_gather(work, num_in_flight))
        return [answers[number] for number in range(len(texts))]

    @override
    def echo_until_refused(
        self, num_in_flight: int, on_reply: Callable[[], object]
    ) -> collections.Counter[_Code]:
        codes: collections.Counter[_Code] = collections.Counter()

        async def work() -> None:
            while set(codes) <= {_Code.OK}:
                try:
                    await self._echo("hello")
                    codes[_Code.OK] += 1
                except CallError as error:
                    codes[error.code] += 1
                on_reply()

        self._run(_gather(work, num_in_flight))
        return codes

    @override
    def cancel(self, text: str, wait: Callable[[], object]) -> _Code:
        async def cancel() -> _Code:
            call = asyncio.create_task(self._echo(text))
            await self._loop.run_in_executor(None, wait)
            call.cancel()
            try:
                await call
            except asyncio.CancelledError:
                return _Code.CANCELLED
            return _Code.OK

        return self._run(cancel())

    @override
    def watch(self, on_state: Callable[[int], object]) -> None:
        self._run(self._watch(on_state))

    @override
    def close(self) -> None:
        if not self._loop.is_closed():
            self._run(self._close())
            self._run(self._loop.shutdown_default_executor())
            self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        return self._loop.run_until_complete(coroutine)


class AioClient(_AsyncClient):
    """The asynchronous client of grpcio."""

    def __init__(self, target: Target) -> None:
        """Connects with the first call."""
        super().__init__()
        self._channel = self._run(self._connect(target))
        # Any: the stubs of grpcio differ in their types between versions.
        self._method: Any = self._channel.unary_unary(
            echo_service.ECHO,
            echo_pb2.EchoRequest.SerializeToString,
            echo_pb2.EchoResponse.FromString,
        )

    async def _connect(self, target: Target) -> grpc.aio.Channel:
        """Connects, on the event loop that the channel is to use."""
        credentials = target.credentials()
        if credentials is None:
            return grpc.aio.insecure_channel(target.address)
        return grpc.aio.secure_channel(target.address, credentials)

    @override
    async def _echo(self, text: str, timeout_seconds: float = _SECONDS) -> str:
        request = echo_pb2.EchoRequest(text=text)
        try:
            response = await self._method(request, timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise CallError(
                errors.StatusCode[error.code().name], error.details() or ""
            ) from None
        return str(response.text)

    @override
    async def _watch(self, on_state: Callable[[int], object]) -> None:
        watch: Any = self._channel.unary_stream(
            _WATCH,
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        request = health_pb2.HealthCheckRequest(service=echo_service.NAME)
        async for response in watch(request, timeout=_SECONDS):
            on_state(response.status)

    @override
    async def _close(self) -> None:
        await self._channel.close()


class GrpclibClient(_AsyncClient):
    """The client of grpclib, which stands on the library h2.

    It reports a GOAWAY as the end of all calls of the connection.
    """

    def __init__(self, target: Target) -> None:
        """Connects with the first call."""
        super().__init__()
        self._channel = self._run(self._connect(target))
        self._method: grpclib.client.UnaryUnaryMethod[
            echo_pb2.EchoRequest, echo_pb2.EchoResponse
        ] = grpclib.client.UnaryUnaryMethod(
            self._channel,
            echo_service.ECHO,
            echo_pb2.EchoRequest,
            echo_pb2.EchoResponse,
        )

    async def _connect(self, target: Target) -> grpclib.client.Channel:
        """Connects, on the event loop that the channel is to use."""
        return grpclib.client.Channel(
            "localhost", target.port, ssl=target.context()
        )

    @override
    async def _echo(self, text: str, timeout_seconds: float = _SECONDS) -> str:
        request = echo_pb2.EchoRequest(text=text)
        try:
            response = await self._method(request, timeout=timeout_seconds)
        except grpclib.exceptions.GRPCError as error:
            raise CallError(
                _Code(error.status.value), error.message or ""
            ) from None
        except asyncio.TimeoutError:
            raise CallError(_Code.DEADLINE_EXCEEDED, "timeout") from None
        except (grpclib.exceptions.StreamTerminatedError, OSError) as error:
            raise CallError(_Code.UNAVAILABLE, str(error)) from None
        return response.text

    @override
    async def _watch(self, on_state: Callable[[int], object]) -> None:
        watch: Any = grpclib.client.UnaryStreamMethod(
            self._channel,
            _WATCH,
            health_pb2.HealthCheckRequest,
            health_pb2.HealthCheckResponse,
        )
        request = health_pb2.HealthCheckRequest(service=echo_service.NAME)
        try:
            async with watch.open(timeout=_SECONDS) as stream:
                await stream.send_message(request, end=True)
                async for response in stream:
                    on_state(response.status)
        except grpclib.exceptions.StreamTerminatedError as error:
            raise CallError(_Code.UNAVAILABLE, str(error)) from None

    @override
    async def _close(self) -> None:
        self._channel.close()


async def _gather(
    work: Callable[[], Coroutine[Any, Any, None]], num_tasks: int
) -> None:
    await asyncio.gather(*(work() for _ in range(num_tasks)))


def _read(path: str) -> bytes | None:
    """Returns what is in a file; None if there is none."""
    if not path:
        return None
    with open(path, "rb") as file:
        return file.read()


def _text(call: Any) -> str:
    """Returns the answer to a call of grpcio."""
    try:
        return str(call.result().text)
    except grpc.RpcError:
        raise CallError(_code(call), call.details()) from None


def _code(call: Any) -> _Code:
    """Waits for the code of a call of grpcio."""
    return errors.StatusCode[call.code().name]
