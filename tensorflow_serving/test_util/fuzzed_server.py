"""A model server process that gets broken requests, and what becomes of it.

Example:
    with fuzzed_server.FuzzedServer(server) as fuzzed:
        channel = grpc.insecure_channel(fuzzed.address)
        ...
        print(fuzzed.usage(), fuzzed.tracebacks())
"""

import collections
import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Final

from typing_extensions import Self

from tensorflow_serving.test_util import (
    held_port,
    model_server_folder,
    process_watcher,
    request_cases,
    small_model,
)

_PRIVATE: Final = re.compile(request_cases.PRIVATE)
_MAX_TEXT: Final = 1024
_MAX_FAULTS: Final = 20


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The answers to broken requests of a kind."""

    # How many there were of each status, by its name.
    counts: Mapping[str, int]
    # The first ones that are not as they should be.
    faults: Sequence[str]
    # The memory of the server after a tenth of the requests, and at the end.
    first_resident_bytes: int
    last_resident_bytes: int


class FuzzedServer:
    """A server process with small_model, on both of its ports.

    A context manager that kills the server. Not thread-safe.
    """

    def __init__(self, server: str, *flags: str) -> None:
        """Starts the server; returns once it serves the model.

        Args:
          server: The program tensorflow_model_server.
          *flags: More flags for it.
        """
        name = request_cases.NAME
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(
                model_server_folder.ModelServerFolder()
            )
            folder.write(name, request_cases.VERSION, small_model.write)
            self.base_path = folder.base_path(name)
            self.rest_port = stack.enter_context(held_port.hold())
            self._server = stack.enter_context(
                folder.start(
                    server,
                    f"--model_name={name}",
                    f"--model_base_path={self.base_path}",
                    f"--rest_api_port={self.rest_port}",
                    "--file_system_poll_wait_seconds=0.05",
                    *flags,
                    on_log_line=len,
                )
            )
            self._server.wait_for_log("is AVAILABLE")
            self._stack = stack.pop_all()
        self._watcher = process_watcher.ProcessWatcher(self._server.pid)

    @property
    def address(self) -> str:
        """Where gRPC is answered."""
        return self._server.address

    @property
    def num_log_lines(self) -> int:
        """How many lines the server has logged so far."""
        return len(self._server.log_lines)

    def tracebacks(self, start: int = 0) -> Sequence[str]:
        """Returns the first lines of the log that tell of bugs.

        Args:
          start: How many of the first lines do not count.
        """
        lines = self._server.log_lines[start:]
        return [line for line in lines if "Traceback" in line][:_MAX_FAULTS]

    def usage(self) -> process_watcher.Usage:
        """Returns what the server takes now."""
        return self._watcher.usage()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Kills the server."""
        self._stack.close()


class Record:
    """The ends of broken requests of a kind, as they come."""

    def __init__(self, server: FuzzedServer, num_requests: int) -> None:
        """Starts without an end.

        Args:
          server: The server that gets the requests, from now on.
          num_requests: How many are to be sent, about.
        """
        self._server = server
        self._num_log_lines = server.num_log_lines
        self._tenth = num_requests // 10
        self._counts: collections.Counter[str] = collections.Counter()
        self._faults: list[str] = []
        self._first_resident_bytes = 0

    def add(self, seed: int, status: str, fault: str) -> None:
        """Counts an answer.

        Args:
          seed: The number that broke the request.
          status: The name of what became of it.
          fault: The fault in the answer; empty if it is as it should be.
        """
        if self._counts.total() == self._tenth:
            self._first_resident_bytes = self._server.usage().resident_bytes
        self._counts[status] += 1
        if fault and len(self._faults) < _MAX_FAULTS:
            self._faults.append(f"seed {seed}: {fault}")

    def outcome(self) -> Outcome:
        """Returns what became of all of them, with bugs that were logged."""
        return Outcome(
            self._counts,
            [*self._faults, *self._server.tracebacks(self._num_log_lines)],
            self._first_resident_bytes,
            self._server.usage().resident_bytes,
        )


def text_fault(text: str, *, is_private: bool) -> str:
    """Returns the fault in the text of an error; empty if there is none.

    Args:
      text: The text.
      is_private: Whether it must have nothing of the tensors of the request.
    """
    is_leak = is_private and _PRIVATE.search(text)
    if len(text) > _MAX_TEXT or "Traceback" in text or is_leak:
        return f"text of {len(text)} characters: {text[:_MAX_TEXT]}"
    return "" if text else "error without a text"
