"""Makes one load, checks all its answers, and writes what became of each call.

Usage:
  load_client --server=localhost:9000 --workload=FILE --output=FILE \
      (--concurrency=64 | --rate=1000) (--seconds=5 | --num_calls=1000)

serving_benchmark runs it as a process of its own, so that nothing else keeps
calls from starting when they are meant to.
"""

import gc
from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.benchmarks import (
    arrivals,
    call_driver,
    grpc_transport,
    loads,
    workload,
)
from tensorflow_serving.util import program

_SERVER = flags.DEFINE_string(
    "server", None, "Host and port, such as localhost:9000.", required=True
)
_WORKLOAD = flags.DEFINE_string(
    "workload", None, "A file of workload.Workload.save().", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "Where to write the calls, for calls.load().", required=True
)
_CONCURRENCY = flags.DEFINE_integer(
    "concurrency", 0, "Calls in flight; 0 for an open load.", lower_bound=0
)
_RATE = flags.DEFINE_float(
    "rate", 0.0, "Calls a second of an open load.", lower_bound=0.0
)
_SECONDS = flags.DEFINE_float(
    "seconds", 0.0, "How long to make calls.", lower_bound=0.0
)
_NUM_CALLS = flags.DEFINE_integer(
    "num_calls", 0, "How many calls to make, without --seconds.", lower_bound=0
)
_DEADLINE_SECONDS = flags.DEFINE_float(
    "deadline_seconds", 1.0, "How long a call may take.", lower_bound=0.001
)
_SEED = flags.DEFINE_integer("seed", 0, "Decides when calls of a rate start.")

# An open load may need as many as the largest closed one.
_OPEN_LOAD_CONNECTIONS = 8


def _arrivals() -> tuple[arrivals.Arrivals, int]:
    """Returns when calls start, and the number of connections."""
    if bool(_CONCURRENCY.value) == bool(_RATE.value):
        raise app.UsageError("either --concurrency or --rate must be given")
    if bool(_SECONDS.value) == bool(_NUM_CALLS.value):
        raise app.UsageError("either --seconds or --num_calls must be given")
    if _RATE.value:
        times = arrivals.poisson_times(_RATE.value, _SECONDS.value, _SEED.value)
        return arrivals.Open(times), _OPEN_LOAD_CONNECTIONS
    load = loads.ClosedLoad(_CONCURRENCY.value)
    return (
        arrivals.Closed(
            load.concurrency,
            _SECONDS.value or float("inf"),
            _NUM_CALLS.value or None,
        ),
        load.num_connections,
    )


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 1:
        raise app.UsageError(f"there must be no arguments; got {argv[1:]}")
    when, num_connections = _arrivals()
    work = workload.load(_WORKLOAD.value)
    with grpc_transport.GrpcTransport(
        _SERVER.value,
        workload.CLASSIFY,
        num_connections=num_connections,
        deadline_seconds=_DEADLINE_SECONDS.value,
    ) as transport:
        driver = call_driver.CallDriver(
            transport, work, _DEADLINE_SECONDS.value
        )
        # Nothing here is in a cycle, and pauses would count as latency.
        gc.disable()
        result = driver.run(when, _SECONDS.value or None)
    result.save(_OUTPUT.value)


if __name__ == "__main__":
    program.run(main)
