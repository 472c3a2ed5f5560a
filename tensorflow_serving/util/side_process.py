"""A process beside this one, which runs what would hold it up.

Example:
    with side_process.SideProcess() as side:
        text = side.run(json.dumps, values)

Parsing a long text of JSON, for one, does not let any other thread run Python
before its end.

concurrent.futures.ProcessPoolExecutor would not do: its process imports the
main module again, which is a server here, stays when this one is killed with
-9, goes on with a function that takes too long, and gets copies of arrays. The
connections of multiprocessing take twice as long for large arrays, have no
time-outs within a message, and receive arrays that are read-only.
"""

import contextlib
import fcntl
import gc
import os
import pickle
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, ParamSpec, TypeVar

from absl import logging
from typing_extensions import Self

from tensorflow_serving.util import errors

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_SCRIPT: Final = (
    "from tensorflow_serving.util import side_process; side_process.main()"
)
# How long the process may take to start, on a machine that is busy.
_START_SECONDS: Final = 60.0
# The number of parts that follow; the size of each.
_NUMBER: Final = struct.Struct("<Q")


class SideProcess:
    """Runs functions of modules in another process, one at a time.

    It starts with the first function, and again after it was killed, such as
    for want of memory. Arguments and results are copied by pickle, which has to
    know their types. It ends with this process, however that ends.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(self, timeout_seconds: float | None = None) -> None:
        """Starts no process yet.

        Args:
          timeout_seconds: How long a function may take; None: any time.
        """
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        # Both guarded by _lock, but for close(), which ends a run.
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def run(
        self,
        function: Callable[_Parameters, _Result],
        *args: _Parameters.args,
        **kwargs: _Parameters.kwargs,
    ) -> _Result:
        """Returns what a function returns in the other process.

        Raises:
          ServingError: The function raises one; it comes with the class of its
            code. What else it raises is an InternalError, and in the log.
          UnavailableError: The process ended meanwhile. Transient.
          DeadlineExceededError: It took too long, and is no longer there.
        """
        with self._lock:
            try:
                sock = self._socket or self._start()
                _send(sock, (function, args, kwargs))
                result, error = _receive(sock)
            except TimeoutError:
                self._end()
                raise errors.DeadlineExceededError(
                    "The process that was to answer took too long"
                ) from None
            except (OSError, EOFError):
                self._end()
                raise errors.UnavailableError(
                    "The process that was to answer has ended; try again later"
                ) from None
        if error is not None:
            raise errors.from_code(*error)
        found: _Result = result
        return found

    def close(self) -> None:
        """Ends the process, and what it runs. Idempotent; a run starts anew."""
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", _SCRIPT, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    # Python looks for modules there first.
                    cwd=os.sep,
                    pass_fds=[theirs.fileno()],
                    # Ctrl-C is for those who serve.
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._socket = ours
        ours.settimeout(_START_SECONDS)
        _receive(ours)
        ours.settimeout(self._timeout_seconds)
        return ours

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._socket = None


def main() -> None:
    """Runs functions for the process that has started this one."""
    # Nothing that comes here has circles, and to look for them takes long.
    gc.disable()
    with socket.socket(fileno=int(sys.argv[1])) as sock:
        _send(sock, "ready")
        while True:
            try:
                task = _receive(sock)
            except (OSError, EOFError):
                return
            with _ending_with_the_other_side(sock):
                answer = _answer(*task)
            del task
            _send(sock, answer)


@contextlib.contextmanager
def _ending_with_the_other_side(sock: socket.socket) -> Iterator[None]:
    """Has the system end this process with the other one, in the block.

    The other one sends nothing meanwhile. So what comes is the end of the
    socket, of which SIGIO tells; that ends a process which does not handle it,
    also while no Python runs. The signal of prctl(2) for the end of a parent
    would come with the end of the thread that has started this process.
    """
    fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(sock, fcntl.F_GETFL)
    fcntl.fcntl(sock, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(sock, fcntl.F_SETFL, flags)


def _answer(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Returns a result and no error, or code and text of an error."""
    try:
        return function(*args, **kwargs), None
    except errors.ServingError as error:
        return None, (int(error.code), str(error))
    except MemoryError:
        code = errors.StatusCode.RESOURCE_EXHAUSTED
        return None, (int(code), "There is no memory to answer; try less")
    except Exception:
        logging.exception("A function failed beside the process")
        code = errors.StatusCode.INTERNAL
        return None, (int(code), "answering failed; see the log")


def _send(sock: socket.socket, value: object) -> None:
    """Sends a value, its arrays without a copy."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(data), *(each.raw() for each in buffers)]
    sizes = [len(parts), *(len(each) for each in parts)]
    sock.sendall(b"".join(map(_NUMBER.pack, sizes)))
    for part in parts:
        sock.sendall(part)


def _receive(sock: socket.socket) -> Any:
    """Returns a value that was sent.

    Raises:
      EOFError: The other side has ended.
    """
    (num_parts,) = _NUMBER.unpack(_receive_bytes(sock, _NUMBER.size))
    sizes = _receive_bytes(sock, num_parts * _NUMBER.size)
    parts = [
        _receive_bytes(sock, size) for (size,) in _NUMBER.iter_unpack(sizes)
    ]
    return pickle.loads(parts[0], buffers=parts[1:])


def _receive_bytes(sock: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        num_bytes = sock.recv_into(rest)
        if not num_bytes:
            raise EOFError
        rest = rest[num_bytes:]
    return data
