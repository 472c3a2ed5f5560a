"""Sends broken calls of gRPC, and checks all that the model server answers.

Example:
    with (
        fuzzed_server.FuzzedServer(server) as fuzzed,
        request_fuzzer.RequestFuzzer(fuzzed) as fuzzer,
    ):
        for name in fuzzer.methods:
            print(name, fuzzer.run(name, range(1000)))
"""

import collections
import dataclasses
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc

from tensorflow_serving.test_util import (
    fuzzed_server,
    request_cases,
    request_mutations,
)

_RELOAD: Final = "HandleReloadConfigRequest"
_CLEAN: Final = frozenset(
    {
        *("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"),
        *("UNIMPLEMENTED", "RESOURCE_EXHAUSTED"),
    }
)
# How many broken requests there are to a whole one. A whole reload takes time.
_WHOLE_EVERY: Final = 5
_RELOAD_EVERY: Final = 25
_NUM_IN_FLIGHT: Final = 64
_SECONDS: Final = 60.0


@dataclasses.dataclass(frozen=True)
class _Sent:
    """A request in flight."""

    seed: int
    is_whole: bool
    method: request_cases.Method
    request: bytes
    future: Any


class RequestFuzzer:
    """A client of gRPC that breaks requests.

    A context manager that closes its channel. Not thread-safe.
    """

    def __init__(self, fuzzed: fuzzed_server.FuzzedServer) -> None:
        """Takes the server, which its owner ends later."""
        self._fuzzed = fuzzed
        self.methods = request_cases.methods(fuzzed.base_path)
        self._channel = grpc.insecure_channel(
            fuzzed.address,
            options=[
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", -1),
            ],
        )

    def run(self, name: str, seeds: range) -> fuzzed_server.Outcome:
        """Sends a broken request for each seed, and whole ones among them.

        Args:
          name: One of the methods.
          seeds: Each of them breaks a request in its own way.
        """
        record = fuzzed_server.Record(self._fuzzed, len(seeds))
        for sent in self._in_flight(name, seeds):
            record.add(sent.seed, *_end(sent))
        return record.outcome()

    def whole(self, name: str, number: int) -> tuple[bytes, bytes]:
        """Returns a whole request for a method, and its response."""
        sent = self._send(name, number, is_whole=True)
        return sent.request, sent.future.result()

    def _in_flight(self, name: str, seeds: range) -> Iterator[_Sent]:
        """Sends requests, some at a time; yields each of them in turn."""
        # A reload decides what other calls get, other reloads among them.
        num_in_flight = 1 if name == _RELOAD else _NUM_IN_FLIGHT
        whole_every = _RELOAD_EVERY if name == _RELOAD else _WHOLE_EVERY
        waiting: collections.deque[_Sent] = collections.deque()
        for seed in seeds:
            has_whole = seed % whole_every == 0
            for is_whole in (False, True)[: 1 + has_whole]:
                waiting.append(self._send(name, seed, is_whole=is_whole))
                while len(waiting) >= num_in_flight:
                    yield waiting.popleft()
            if name == _RELOAD and has_whole:
                yield self._predict_once_served(seed)
        yield from waiting

    def _predict_once_served(self, seed: int) -> _Sent:
        """Calls the model after a reload, which waits for new models only.

        This one may have been there with another path.
        """
        deadline = time.monotonic() + _SECONDS
        while True:
            sent = self._send("Predict", seed, is_whole=True)
            is_served = sent.future.code() is not grpc.StatusCode.NOT_FOUND
            if is_served or time.monotonic() > deadline:
                return sent

    def _send(self, name: str, seed: int, *, is_whole: bool) -> _Sent:
        method = self.methods[name]
        message = method.request(seed)
        request = (
            message.SerializeToString()
            if is_whole
            else request_mutations.mutate(message, seed)
        )
        stub: Any = self._channel.unary_unary(method.path)
        future = stub.future(request, timeout=_SECONDS)
        return _Sent(seed, is_whole, method, request, future)

    def __enter__(self) -> "RequestFuzzer":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the channel."""
        self._channel.close()


def _end(sent: _Sent) -> tuple[str, str]:
    """Waits for the answer; returns its status, and the fault in it."""
    code = sent.future.code().name
    if code == "OK":
        try:
            is_right = sent.method.is_right(sent.request, sent.future.result())
        except Exception as error:
            return code, f"nothing can answer this: {error!r}"
        return code, "" if is_right else "answer is wrong"
    text = sent.future.details()
    if sent.is_whole or code not in _CLEAN:
        return code, f"{code}: {text}"
    is_private = request_mutations.keeps_fields(sent.seed)
    fault = fuzzed_server.text_fault(text, is_private=is_private)
    return code, f"{code}: {fault}" if fault else ""
