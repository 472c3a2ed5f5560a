"""Sends broken requests to the REST API, and checks all that it answers.

Example:
    with (
        fuzzed_server.FuzzedServer(server) as fuzzed,
        rest_fuzzer.RestFuzzer(fuzzed) as fuzzer,
    ):
        print(fuzzer.run(range(1000)))
"""

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator
from typing import Final

from typing_extensions import Self

from tensorflow_serving.test_util import (
    fuzzed_server,
    rest_cases,
    rest_mutations,
)

_CLEAN: Final = frozenset({400, 404, 413, 414, 431, 501})
# How many broken requests there are to a whole one, and to one that breaks
# HTTP, which needs a connection of its own.
_WHOLE_EVERY: Final = 5
_HTTP_EVERY: Final = 8
_SECONDS: Final = 60.0
# How long a client waits for an answer to half a request before it leaves.
_HALF_SECONDS: Final = 0.2
# Follows a request that breaks HTTP, and ends the connection in any case.
_LAST: Final = rest_cases.Request(
    "GET", "/healthz", headers={"Connection": "close"}
).serialized()
# Begins what pages of readiness answer with, whatever their status.
_READINESS: Final = b'{"ready":'
_NO_ANSWER: Final = "no answer"
_LEFT: Final = "left"

# A status and a body.
_Answer = tuple[int, bytes]
# The name of what became of a request, and the fault in it, empty if none.
_End = tuple[str, str]


class RestFuzzer:
    """A client of the REST API that breaks requests.

    A context manager that closes its connection. Not thread-safe.
    """

    def __init__(self, fuzzed: fuzzed_server.FuzzedServer) -> None:
        """Takes the server, which its owner ends later."""
        self._fuzzed = fuzzed
        self._connection: _Connection | None = None

    def run(self, seeds: range) -> fuzzed_server.Outcome:
        """Sends a broken request for each seed, and whole ones among them.

        Args:
          seeds: Each of them breaks a request in its own way.
        """
        record = fuzzed_server.Record(self._fuzzed, len(seeds))
        for seed in seeds:
            request = rest_cases.whole(seed // 4)
            if seed % _HTTP_EVERY == _HTTP_EVERY - 1:
                sent = rest_mutations.mutate_http(request, seed)
                for end in self._ends_of_http(sent):
                    record.add(seed, *end)
            else:
                broken = rest_mutations.mutate(request, seed)
                record.add(seed, *self._end(seed, broken))
            if seed % _WHOLE_EVERY == 0:
                whole = rest_cases.whole(seed // 5)
                record.add(seed, *self._end(seed, whole, is_whole=True))
        return record.outcome()

    def _end(
        self, seed: int, request: rest_cases.Request, *, is_whole: bool = False
    ) -> _End:
        """Sends a request on the connection that stays, and takes an answer."""
        if self._connection is None or self._connection.is_over:
            self.__exit__()
            self._connection = _Connection(self._fuzzed.rest_port)
        self._connection.send(request.serialized())
        try:
            answer = self._connection.answer()
        except (OSError, ValueError) as error:
            self.__exit__()
            return _NO_ANSWER, f"{_NO_ANSWER}: {error!r}"
        is_private = seed % 4 != 2  # paths may be in texts
        fault = _fault(request.body, answer, is_private=is_private)
        if is_whole and answer[0] != 200:
            fault = f"whole request got {answer}"
        return str(answer[0]), fault

    def _ends_of_http(self, sent: bytes) -> Iterator[_End]:
        """Sends what is no request on a connection of its own."""
        with contextlib.closing(_Connection(self._fuzzed.rest_port)) as own:
            own.send(sent + _LAST)
            try:
                for status, body in own.answers(_HALF_SECONDS):
                    is_clean = status == 200 or not _fault(b"", (status, body))
                    fault = "" if is_clean else f"{status}: {body[:200]!r}"
                    yield str(status), fault
            except TimeoutError:
                yield _LEFT, ""
            except ConnectionError:
                yield _NO_ANSWER, ""
            except ValueError as error:
                yield _NO_ANSWER, repr(error)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Connection:
    """A connection to the server, with the answers that come on it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _SECONDS)
        self._file = self._socket.makefile("rb")
        # Whether the server has said that no other answer follows.
        self.is_over = False

    def send(self, data: bytes) -> None:
        """Sends bytes, as far as the server takes them."""
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def answer(self) -> _Answer:
        """Returns the next answer.

        Raises:
          OSError: The connection has ended before one.
          ValueError: It is no answer of HTTP.
        """
        line = self._line()
        if not line:
            raise ConnectionError("the server has closed the connection")
        version, status, _ = line.split(b" ", 2)
        if version != b"HTTP/1.1":
            raise ValueError(f"answer must be of HTTP/1.1; got {line!r}")
        length = 0
        is_compressed = False
        while line := self._line():
            name, _, value = line.lower().partition(b": ")
            if name == b"content-length":
                length = int(value)
            if name == b"content-encoding":
                is_compressed = True
            if (name, value) == (b"connection", b"close"):
                self.is_over = True
        body = self._file.read(length)
        if is_compressed:
            body = gzip.decompress(body)
        return int(status), body

    def answers(self, seconds: float) -> Iterator[_Answer]:
        """Yields the answers up to the end of the connection.

        Raises:
          OSError: There was none within the time, or half of one.
        """
        self._socket.settimeout(seconds)
        while not self.is_over:
            yield self.answer()

    def _line(self) -> bytes:
        line: bytes = self._file.readline(1 << 16)
        return line.rstrip(b"\r\n")

    def close(self) -> None:
        """Closes the connection."""
        self._file.close()
        self._socket.close()


def _fault(request: bytes, answer: _Answer, *, is_private: bool = True) -> str:
    """Returns the fault in an answer; empty if it is right, or a clean error.

    Args:
      request: The body of the request.
      answer: The answer.
      is_private: Whether a text of the request must not come back.
    """
    status, body = answer
    if status == 200:
        is_other = not body.startswith(b"{")  # a page, or nothing
        is_right = is_other or rest_cases.is_right(request, body)
        return "" if is_right else f"answer is wrong: {request!r} {body!r}"
    if body.startswith(_READINESS):
        return ""
    if status not in _CLEAN:
        return f"{status}: {body!r}"
    try:
        (key, text), *_ = json.loads(body).items()
    except (AttributeError, ValueError):
        return f"{status} without a text: {body!r}"
    if key != "error":
        return f"{status} with {key}"
    return fuzzed_server.text_fault(text, is_private=is_private)
