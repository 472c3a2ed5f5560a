"""The JSON of the REST API, read and written where it holds up nobody.

Example:
    json = rest_json.RestJson(timeout_seconds=30.0)
    document = await json.read(body)
    try:
        form, tensors = await document.tensors(dtypes)
        ...
        text = await json.write(size, json_responses.predictions, outputs, form)
    finally:
        document.close()

While Python reads or writes a long text, no other thread of the process runs
Python: a body of 20 MB would stop all calls, those of gRPC too, for seconds. So
this is work for another process, which starts with the first long text.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from tensorflow_serving.apis import (
    input_pb2,
    json_document,
    json_examples,
    json_tensors,
)
from tensorflow_serving.util import errors, side_process

# Shorter texts, and fewer values, take some milliseconds, hardly more than
# the way to another process.
_MAX_QUICK_TEXT_BYTES: Final = 256 << 10
_MAX_QUICK_VALUE_BYTES: Final = 64 << 10

_Result = TypeVar("_Result")


class Document(Protocol):
    """The JSON of a request, of which one form of values is asked for."""

    # Empty for the default one.
    signature_name: str

    async def tensors(
        self, dtypes: json_tensors.Dtypes
    ) -> tuple[json_tensors.Format, json_tensors.Tensors]:
        """See json_tensors.tensors()."""

    async def examples(self) -> input_pb2.Input:
        """See json_examples.examples()."""

    def close(self) -> None:
        """Lets the next one be read. Idempotent."""


class RestJson:
    """Reads requests and writes responses; long ones one after the other.

    Used by the thread of an event loop, except for close().
    """

    def __init__(self, timeout_seconds: float) -> None:
        """Starts nothing yet.

        Args:
          timeout_seconds: How long a long text may wait for others, and take
            itself; 0: any time.
        """
        self._timeout_seconds = timeout_seconds or None
        self._side = side_process.SideProcess(self._timeout_seconds)
        # Waits for the other process.
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "json")
        # Held by the document that the other process has.
        self.turn: Final = asyncio.Lock()

    async def read(self, body: bytes) -> Document:
        """Reads the body of a request.

        Raises:
          InvalidArgumentError: See json_document. Permanent.
          DeadlineExceededError: It took too long, or others before it.
          UnavailableError: The other process has ended. Transient.
        """
        if len(body) <= _MAX_QUICK_TEXT_BYTES:
            return _Quick(json_document.parse(body))
        try:
            await asyncio.wait_for(self.turn.acquire(), self._timeout_seconds)
        except asyncio.TimeoutError:
            raise errors.DeadlineExceededError(
                "The deadline passed before the body was read"
            ) from None
        try:
            return _Long(self, await self.run(_open, body))
        except BaseException:
            self.turn.release()
            raise

    async def write(
        self,
        num_bytes: int,
        function: Callable[..., bytes],
        *arguments: Any,
    ) -> bytes:
        """Returns the response that a function of json_responses writes.

        Args:
          num_bytes: The size of what it writes, before it is text.
          function: The function.
          *arguments: Those of the function.

        Raises:
          DeadlineExceededError: It took too long.
          UnavailableError: The other process has ended. Transient.
        """
        if num_bytes <= _MAX_QUICK_VALUE_BYTES:
            return function(*arguments)
        return await self.run(function, *arguments)

    async def run(
        self, function: Callable[..., _Result], *arguments: Any
    ) -> _Result:
        """Returns what a function returns in the other process."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._side.run, function, *arguments
        )

    def close(self) -> None:
        """Ends the other process, and what waits for it. Idempotent."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._side.close()


class _Quick:
    """A short document."""

    def __init__(self, document: json_document.Document) -> None:
        self._document = document
        self.signature_name = json_document.signature_name(document)

    async def tensors(
        self, dtypes: json_tensors.Dtypes
    ) -> tuple[json_tensors.Format, json_tensors.Tensors]:
        """See Document."""
        return json_tensors.tensors(self._document, dtypes)

    async def examples(self) -> input_pb2.Input:
        """See Document."""
        return json_examples.examples(self._document)

    def close(self) -> None:
        """See Document."""


class _Long:
    """A document that the other process has."""

    def __init__(self, owner: RestJson, signature_name: str) -> None:
        self._owner: RestJson | None = owner
        self.signature_name = signature_name

    async def tensors(
        self, dtypes: json_tensors.Dtypes
    ) -> tuple[json_tensors.Format, json_tensors.Tensors]:
        """See Document."""
        return await self._take(_tensors, dict(dtypes))

    async def examples(self) -> input_pb2.Input:
        """See Document."""
        return await self._take(_examples)

    def close(self) -> None:
        """See Document."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.turn.release()

    async def _take(
        self, function: Callable[..., _Result], *arguments: Any
    ) -> _Result:
        owner = self._owner
        assert owner is not None, "the document must not be closed"
        try:
            return await owner.run(function, *arguments)
        finally:
            self.close()


# In the other process: the document that was read last, until it is taken.
_opened: list[json_document.Document] = []


def _open(body: bytes) -> str:
    """Reads a document, and returns the name of its signature."""
    _opened[:] = []
    document = json_document.parse(body)
    _opened[:] = [document]
    return json_document.signature_name(document)


def _tensors(
    dtypes: json_tensors.Dtypes,
) -> tuple[json_tensors.Format, json_tensors.Tensors]:
    return json_tensors.tensors(_taken(), dtypes)


def _examples() -> input_pb2.Input:
    return json_examples.examples(_taken())


def _taken() -> json_document.Document:
    if not _opened:  # the process has ended, and started anew
        raise errors.UnavailableError(
            "The process that has read the body has ended; try again later"
        )
    return _opened.pop()
