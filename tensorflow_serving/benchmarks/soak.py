"""Troubles a model server for a long time, and looks for what is left of it.

Usage: soak [--seconds=1800] [--rate=500] [--broken_connections=10000]

Calls of gRPC are made and checked at a steady rate, and one in ten is logged to
a file; first alone for a tenth of the time. Then versions of the model replace
each other, a scraper reads the metrics each second, and connections to the REST
API break in every way of broken_connections. Prints the latency alone and
beside all that, and the memory, descriptors and threads of the server before
and after. Exits with 1 if a call failed, an answer was wrong, or something
grew.
"""

import contextlib
import glob
import os
import subprocess
import time
from collections.abc import Iterator

from absl import flags

from tensorflow_serving.benchmarks import (
    loads,
    measurement,
    models,
    served,
    version_cycle,
    workload,
)
from tensorflow_serving.test_util import (
    broken_connections,
    held_port,
    model_server_folder,
    process_watcher,
)
from tensorflow_serving.util import errors, program

_SECONDS = flags.DEFINE_float(
    "seconds", 1800.0, "How long all of it lasts.", lower_bound=1.0
)
_RATE = flags.DEFINE_float("rate", 500.0, "Calls a second.", lower_bound=1.0)
_BROKEN_CONNECTIONS = flags.DEFINE_integer(
    "broken_connections", 10_000, "How many there are.", lower_bound=0
)
_PATIENCE_SECONDS = flags.DEFINE_float(
    "patience_seconds", 45.0, "How long they stay at most.", lower_bound=0.1
)
_INTERVAL_SECONDS = flags.DEFINE_float(
    "interval_seconds",
    2.0,
    "From one version to the next; 0: no reloads.",
    lower_bound=0.0,
)
_MAX_MEMORY_RATIO = flags.DEFINE_float(
    "max_memory_ratio",
    1.05,
    "The memory of the server after all of it to before, at most.",
    lower_bound=1.0,
)
flags.adopt_module_key_flags(served)

_NAME = broken_connections.MODEL
_LOGGING = """
logging_config {{
  log_collector_config {{ type: "file" filename_prefix: "{}" }}
  sampling_config {{ sampling_rate: 0.1 }}
}}
"""
# Connections that are about to close are not left behind.
_CLOSING_SECONDS = 60.0
# The clients of a load, the version that loads.
_MAX_MORE = 4


def _measure(
    server: served.Served, label: str, share: float
) -> measurement.Measurement:
    """Makes calls for a share of the time, and checks each answer."""
    load = loads.OpenLoad(_RATE.value, _SECONDS.value * share)
    return measurement.checked(server, load, label)


@contextlib.contextmanager
def _troubles(
    server: served.Served,
    cycle: version_cycle.VersionCycle,
    rest_port: int,
    share: float,
) -> Iterator[None]:
    """Troubles a server in the with block, for a share of the time.

    Connections break in a process of their own, which does not hold up the
    calls of this one, and prints how they ended.
    """
    breaks = [
        served.path_of("test_util/break_connections"),
        f"--port={rest_port}",
        f"--number={round(_BROKEN_CONNECTIONS.value * share)}",
        f"--seconds={_SECONDS.value * share}",
        f"--patience_seconds={_PATIENCE_SECONDS.value}",
    ]
    with contextlib.ExitStack() as stack:
        page = f"http://127.0.0.1:{rest_port}/metrics"
        stack.enter_context(served.scraping(page))
        if _INTERVAL_SECONDS.value:
            stack.enter_context(
                cycle.swapping(server.wait_for_log, _INTERVAL_SECONDS.value)
            )
        breaking = stack.enter_context(subprocess.Popen(breaks))
        stack.callback(breaking.kill)
        yield
        if breaking.wait():
            raise errors.InternalError("break_connections failed")


def _settled(
    server: served.Served, before: process_watcher.Usage
) -> process_watcher.Usage:
    """Returns the usage once nothing closes any longer."""
    deadline = time.monotonic() + _CLOSING_SECONDS
    while True:
        now = server.usage()
        if not _has_more(now, before) or time.monotonic() > deadline:
            return now
        time.sleep(1.0)


def _has_more(
    now: process_watcher.Usage, before: process_watcher.Usage
) -> bool:
    """Returns whether there are more descriptors or threads than before."""
    num_descriptors = now.num_descriptors - before.num_descriptors
    num_threads = now.num_threads - before.num_threads
    return max(num_descriptors, num_threads) > _MAX_MORE


def _soak(
    folder: model_server_folder.ModelServerFolder, rest_port: int
) -> bool:
    """Troubles a server and prints; returns whether nothing is left of it."""
    source = models.export("softmax", os.path.join(folder.path, "source"))
    with models.ReferenceModel(source) as model:
        work = workload.predict({_NAME: model.scored_images()})
    cycle = version_cycle.VersionCycle(_NAME, source, folder.base_path(_NAME))
    log_prefix = os.path.join(folder.path, "calls")
    config = folder.write_config(_NAME, more=_LOGGING.format(log_prefix))
    with served.model_server(
        work, f"--model_config_file={config}", f"--rest_api_port={rest_port}"
    ) as server:
        server.wait_for_log("is AVAILABLE")
        alone = _measure(server, "alone", 0.1)
        with _troubles(server, cycle, rest_port, 0.1):
            first = _measure(server, "beside, first", 0.1)
        before = server.usage()
        with _troubles(server, cycle, rest_port, 0.8):
            beside = _measure(server, "beside", 0.8)
        after = _settled(server, before)
    rows = [alone, first, beside]
    memory_ratio = after.resident_bytes / before.resident_bytes
    print(
        f"\n{measurement.machine()}\n\n{measurement.table(rows)}\n\n"
        f"{cycle.version - 1} reloads\n"
        f"{len(glob.glob(f'{log_prefix}-*'))} files of logged calls\n"
        f"p99 beside to alone: {measurement.p99_ratio(beside, alone)}\n"
        f"memory after to before: {memory_ratio:.3f} "
        f"({before.resident_bytes >> 20} to {after.resident_bytes >> 20} MB)\n"
        f"descriptors: {before.num_descriptors} to {after.num_descriptors}; "
        f"threads: {before.num_threads} to {after.num_threads}"
    )
    return (
        memory_ratio <= _MAX_MEMORY_RATIO.value
        and not _has_more(after, before)
        and all(row.is_clean for row in rows)
    )


def main() -> int:
    """Runs the program; see the module docstring."""
    with (
        model_server_folder.ModelServerFolder() as folder,
        held_port.hold() as rest_port,
    ):
        return 0 if _soak(folder, rest_port) else 1


if __name__ == "__main__":
    program.run_tool(main)
