"""Trials with three processes: a server, an abuse of it, an honest client."""

import collections
import contextlib
import dataclasses
import math
import multiprocessing
import multiprocessing.connection
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from tensorflow_serving.rpc import (
    abuses,
    call,
    echo_pb2,
    raw_client,
    server,
)
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.test_util import certificates

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
_ECHO_PATH = f"/{_SERVICE.full_name}/Echo"

# The time of a batch in the server, which is that of a small model.
_RUN_SECONDS = 0.0003
# A request of the other client: as large as an image of MNIST.
_MESSAGE = bytes(3136)
# An abuse with nothing to do rests for this long.
_REST_SECONDS = 0.02


@dataclasses.dataclass(frozen=True)
class Trial:
    """The effect of an abuse on another client and on the server."""

    name: str
    # The median latency of the other client: alone, and beside the abuse.
    alone_seconds: float
    beside_seconds: float
    # The 99th percentile of the same beside the abuse.
    tail_seconds: float
    # Resident memory of the server before the abuse, and at its peak.
    before_bytes: int
    peak_bytes: int
    # How often the server did what to the abuser.
    ends: Mapping[str, int]


def all_abuses() -> Sequence[abuses.Abuse]:
    """Returns the abuses; the first is an ordinary client, to compare with."""
    return [abuses.ordinary_calls(_ECHO_PATH), *abuses.all_abuses(_ECHO_PATH)]


def run(abuse: abuses.Abuse, seconds: float) -> Trial:
    """Tries an abuse on a new server.

    Args:
      abuse: What to try.
      seconds: How long, after as long without it.
    """
    with contextlib.ExitStack() as stack:
        files = None
        if abuse.needs_tls:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            files = certificates.write(folder)
        process_id, port = stack.enter_context(_server(files))
        client = stack.enter_context(_connect(port, files))
        client.greet()
        caller = _Caller(client)
        caller.measure(seconds / 4)  # to warm up
        alone = caller.measure(seconds)
        before = memory_bytes(process_id, "VmRSS")
        with _abuser(abuse.name, port, seconds) as outcome:
            beside = caller.measure(seconds)
            ends = outcome()
        peak = memory_bytes(process_id, "VmHWM")
    return Trial(
        abuse.name,
        statistics.median(alone),
        statistics.median(beside),
        statistics.quantiles(beside, n=100)[-1],
        before,
        peak,
        ends,
    )


def line(trial: Trial) -> str:
    """Returns a line of a table; see server_abuse."""
    ends = ", ".join(
        f"{count} {end}"
        for end, count in sorted(trial.ends.items(), key=lambda each: each[0])
    )
    return (
        f"{trial.name:22} {1e3 * trial.alone_seconds:7.2f} ms "
        f"{1e3 * trial.beside_seconds:7.2f} ms "
        f"{trial.beside_seconds / trial.alone_seconds:6.1f} "
        f"{1e3 * trial.tail_seconds:7.1f} ms {trial.before_bytes >> 20:10} "
        f"{trial.peak_bytes >> 20:8}  {ends}"
    )


def memory_bytes(process_id: int, field: str) -> int:
    """Returns a field of /proc/<pid>/status, such as VmRSS."""
    with open(f"/proc/{process_id}/status", encoding="ascii") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) << 10
    raise ValueError(f"field must be one of the status; got {field}")


class _Caller:
    """Makes one call after the other."""

    def __init__(self, client: raw_client.RawClient) -> None:
        self._client = client
        self._stream_id = -1

    def measure(self, seconds: float) -> list[float]:
        """Returns how long each call took."""
        times = []
        end = time.perf_counter() + seconds
        start = time.perf_counter()
        while start < end:
            self._stream_id += 2
            self._client.send(
                raw_client.request(self._stream_id, _ECHO_PATH, _MESSAGE)
            )
            answer = self._client.answer(self._stream_id)
            if answer.status != 0:
                raise RuntimeError(f"call must succeed; got {answer.fields}")
            stop = time.perf_counter()
            times.append(stop - start)
            start = stop
        return times


def _connect(
    port: int, files: certificates.Certificates | None
) -> raw_client.RawClient:
    if files is None:
        return raw_client.RawClient.connect(port)
    sock = socket.create_connection(("127.0.0.1", port))
    return raw_client.RawClient(
        files.client_context().wrap_socket(sock, server_hostname="localhost")
    )


# Processes.

_CONTEXT = multiprocessing.get_context("spawn")
_Connection = multiprocessing.connection.Connection


@contextlib.contextmanager
def _server(
    files: certificates.Certificates | None,
) -> Iterator[tuple[int, int]]:
    """Runs a server; yields the id of its process and its port."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(theirs, files))
    process.start()
    assert process.pid is not None
    try:
        yield process.pid, ours.recv()
    finally:
        ours.send("stop")
        process.join()


@contextlib.contextmanager
def _abuser(
    name: str, port: int, seconds: float
) -> Iterator[Callable[[], dict[str, int]]]:
    """Runs an abuse; yields a function that returns its outcome."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(
        target=_abuse, args=(theirs, name, port, seconds)
    )
    process.start()
    ours.recv()  # once it begins
    try:
        yield ours.recv
    finally:
        process.join()


class _Batches:
    """Echoes calls in batches, on the thread of the server, as a model does."""

    def __init__(self) -> None:
        self._calls: list[call.Call] = []

    def begin(self, each: call.Call) -> None:
        """Adds a call to the next batch."""
        self._calls.append(each)

    def run(self) -> bool:
        """Runs a batch."""
        calls, self._calls = self._calls, []
        calls = [each for each in calls if each.is_active]
        if calls:
            time.sleep(_RUN_SECONDS)
            call.reply_all(calls, [each.request for each in calls])
        return False


def _serve(
    connection: _Connection, files: certificates.Certificates | None
) -> None:
    """Serves in a process of its own, until a message comes."""
    batches = _Batches()
    service = call.Service(
        _SERVICE, async_methods={"Echo": batches.begin}, when_idle=batches.run
    )
    tls = None
    if files is not None:
        tls = options_lib.TlsOptions(
            files.server.key_file, files.server.certificate_file
        )
    options = options_lib.Options(tls=tls)
    with server.Server("127.0.0.1:0", [service], options) as serving:
        serving.start()
        connection.send(serving.port)
        connection.recv()


def _abuse(
    connection: _Connection, name: str, port: int, seconds: float
) -> None:
    """Abuses a server in a process of its own, for some time."""
    abuse = {each.name: each for each in all_abuses()}[name]
    ends: collections.Counter[str] = collections.Counter()
    end = math.inf

    def begin() -> None:
        nonlocal end
        if end == math.inf:
            end = time.monotonic() + seconds
            connection.send("begin")

    def goes_on() -> bool:
        return time.monotonic() < end

    while goes_on():
        this_round = abuses.Round(
            lambda: raw_client.RawClient.connect(port),
            begin,
            goes_on,
            lambda: time.sleep(_REST_SECONDS),
        )
        with this_round:
            abuse.play(this_round)
        ends += this_round.ends
    connection.send(dict(ends))
