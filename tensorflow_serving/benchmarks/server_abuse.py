"""Abuses a server of rpc/, and shows how another client fares beside it.

    bazel run //tensorflow_serving/benchmarks:server_abuse -- --seconds=5

takes eleven seconds for each abuse. A line for each: half of the calls of
another client took no longer than p50, alone and beside the abuse; the memory
of the server before and at its peak; what the server did to the abuser, and how
often. Server, abuser and client are processes of their own.
"""

import collections
import contextlib
import itertools
import math
import multiprocessing
import multiprocessing.connection
import pathlib
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator

import tabulate
from absl import app, flags

from tensorflow_serving.rpc import abuses, call, echo_pb2, raw_client, server
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.test_util import certificates
from tensorflow_serving.util import program, progress

_SECONDS = flags.DEFINE_float(
    "seconds", 5.0, "How long each abuse lasts.", lower_bound=0.1
)
_ONLY = flags.DEFINE_list(
    "only", [], "Names of abuses, separated by commas; empty: all."
)

_SERVICE = echo_pb2.DESCRIPTOR.services_by_name["EchoService"]
_ECHO_PATH = f"/{_SERVICE.full_name}/Echo"
# The first is an ordinary client, to compare with.
_ABUSES = {
    each.name: each
    for each in (
        abuses.ordinary_calls(_ECHO_PATH),
        *abuses.all_abuses(_ECHO_PATH),
    )
}
# The time of a batch in the server, which is that of a small model.
_RUN_SECONDS = 0.0003
# A request of the other client: as large as an image of MNIST.
_MESSAGE = bytes(3136)
# An abuse with nothing to do rests for this long.
_REST_SECONDS = 0.02

_COLUMNS = {
    "abuse": "",
    "p50 alone ms": ".2f",
    "beside": ".2f",
    "ratio": ".1f",
    "p99": ".1f",
    "MB before": "d",
    "MB peak": "d",
    "the server": "",
}
_CONTEXT = multiprocessing.get_context("spawn")
_Connection = multiprocessing.connection.Connection
_Files = certificates.Certificates | None


def _try(abuse: abuses.Abuse) -> tuple[object, ...]:
    """Returns a row of the table: an abuse of a new server."""
    with contextlib.ExitStack() as stack:
        files = None
        if abuse.needs_tls:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            files = certificates.write(folder)
        pid, serving = stack.enter_context(_process(_serve, files))
        port = serving.recv()
        measure = _client(port, files)
        measure(_SECONDS.value / 4)  # to warm up
        alone = measure(_SECONDS.value)
        before = _megabytes(pid, "VmRSS")
        _, abusing = stack.enter_context(
            _process(_abuse, abuse.name, port, _SECONDS.value)
        )
        abusing.recv()  # once it begins
        beside = measure(_SECONDS.value)
        ends = abusing.recv()
        peak = _megabytes(pid, "VmHWM")
    p50_alone, p50 = statistics.median(alone), statistics.median(beside)
    return (
        abuse.name,
        1e3 * p50_alone,
        1e3 * p50,
        p50 / p50_alone,
        1e3 * statistics.quantiles(beside, n=100)[-1],
        before,
        peak,
        ", ".join(f"{count} {end}" for end, count in sorted(ends.items())),
    )


def _megabytes(pid: int, field: str) -> int:
    """Returns a field of /proc/<pid>/status, such as VmRSS."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition(f"{field}:")[2].split()[0]) >> 10


def _client(port: int, files: _Files) -> Callable[[float], list[float]]:
    """Connects; returns what makes one call after the other for some seconds.

    That returns how long each call took.
    """
    sock = socket.create_connection(("127.0.0.1", port))
    if files is not None:
        sock = files.client_context().wrap_socket(
            sock, server_hostname="localhost"
        )
    client = raw_client.RawClient(sock)
    client.greet()
    stream_ids = itertools.count(1, 2)

    def measure(seconds: float) -> list[float]:
        times = []
        start = time.perf_counter()
        end = start + seconds
        while start < end:
            stream_id = next(stream_ids)
            client.send(raw_client.request(stream_id, _ECHO_PATH, _MESSAGE))
            answer = client.answer(stream_id)
            if answer.status != 0:
                raise RuntimeError(f"call must succeed; got {answer.fields}")
            stop = time.perf_counter()
            times.append(stop - start)
            start = stop
        return times

    return measure


@contextlib.contextmanager
def _process(
    run: Callable[..., None], *args: object
) -> Iterator[tuple[int, _Connection]]:
    """Runs a function in a process; yields its id, and a connection to it."""
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=run, args=(theirs, *args))
    process.start()
    theirs.close()
    assert process.pid is not None
    try:
        yield process.pid, ours
    finally:
        ours.close()
        process.join()


def _serve(connection: _Connection, files: _Files) -> None:
    """Serves until the connection is closed, over which it tells its port.

    Echoes calls in batches, on the thread of the server, as a model does.
    """
    waiting: list[call.Call] = []

    def run() -> None:
        calls = [each for each in waiting if each.is_active]
        waiting.clear()
        if calls:
            time.sleep(_RUN_SECONDS)
            call.reply_all(calls, [each.request for each in calls])

    service = call.Service(
        _SERVICE, async_methods={"Echo": waiting.append}, when_idle=run
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
        connection.poll(None)


def _abuse(
    connection: _Connection, name: str, port: int, seconds: float
) -> None:
    """Abuses a server for some time; sends when it begins, and the ends."""
    ends: collections.Counter[str] = collections.Counter()
    end = math.inf

    def begin() -> None:
        nonlocal end
        if end == math.inf:
            end = time.monotonic() + seconds
            connection.send("begin")

    while time.monotonic() < end:
        with abuses.Round(
            connect=lambda: raw_client.RawClient.connect(port),
            begin=begin,
            goes_on=lambda: time.monotonic() < end,
            rest=lambda: time.sleep(_REST_SECONDS),
        ) as this_round:
            _ABUSES[name].play(this_round)
        ends += this_round.ends
    connection.send(ends)


def main() -> None:
    """Prints the table."""
    if unknown := {*_ONLY.value} - {*_ABUSES}:
        raise app.UsageError(
            f"--only must be of {[*_ABUSES]}; got {sorted(unknown)}"
        )
    names = [name for name in _ABUSES if name in (_ONLY.value or _ABUSES)]
    rows = []
    bar = progress.bar("Abusing", len(names), "abuses")
    for name in names:
        rows.append(_try(_ABUSES[name]))
        bar.update()
    bar.close()
    formats = [*_COLUMNS.values()]
    print(tabulate.tabulate(rows, [*_COLUMNS], floatfmt=formats))


if __name__ == "__main__":
    program.run_tool(main)
