"""Measures calls of ten models while one of them is replaced every second.

Usage: many_reloads [--seconds=300] [--rate=500] [--large_megabytes=200]

Eight models of tensorflow_model_server answer; version after version of the
first one replaces the one before. Another model is broken, and one more takes
--load_seconds to load. With --large_megabytes, an eleventh one is loaded and
unloaded all the time. The same loads are made before, without changes. Exits
with 1 if a call failed or an answer was wrong.
"""

import contextlib
import os
import statistics
import threading
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
from tensorflow_serving.test_util import model_server_folder, small_model
from tensorflow_serving.util import program

_SECONDS = flags.DEFINE_float(
    "seconds", 300.0, "How long each of the two loads lasts.", lower_bound=0.1
)
_CONCURRENCY = flags.DEFINE_integer(
    "concurrency", 64, "Calls in flight.", lower_bound=1
)
_RATE = flags.DEFINE_float(
    "rate",
    0.0,
    "Calls a second of an open load after the closed one; 0: none.",
    lower_bound=0.0,
)
_LARGE_MEGABYTES = flags.DEFINE_integer(
    "large_megabytes", 0, "The size of a large model; 0: none.", lower_bound=0
)
_LOAD_SECONDS = flags.DEFINE_float(
    "load_seconds", 60.0, "How long the slow model takes.", lower_bound=0.1
)
_INTERVAL_SECONDS = flags.DEFINE_float(
    "interval_seconds", 1.0, "From one version to the next.", lower_bound=0.1
)
flags.adopt_module_key_flags(served)

_NUM_HEALTHY = 8
_AVAILABLE = "{{name: {} version: 1}} is AVAILABLE"


def _write_models(
    folder: model_server_folder.ModelServerFolder,
) -> tuple[dict[str, version_cycle.VersionCycle], workload.Work]:
    """Writes the models; returns those that can be loaded, and calls of them.

    The slow one is not in place yet.
    """
    sources = {
        f"m{seed}": models.export(
            "softmax", f"{folder.path}/source{seed}", seed
        )
        for seed in range(_NUM_HEALTHY)
    }
    scored = {}
    for name, source in sources.items():
        with models.ReferenceModel(source) as model:
            scored[name] = model.scored_images()
    if _LARGE_MEGABYTES.value:
        sources["large"] = models.export_large(
            f"{folder.path}/large_src", _LARGE_MEGABYTES.value
        )
    cycles = {
        name: version_cycle.VersionCycle(name, source, folder.base_path(name))
        for name, source in sources.items()
    }
    folder.write("broken", write=_write_broken)
    os.mkdir(folder.base_path("slow"))
    return cycles, workload.predict(scored)


def _write_broken(path: str) -> None:
    """Writes a version that looks whole, and cannot be loaded."""
    small_model.write(path)
    with open(os.path.join(path, "saved_model.pb"), "r+b") as file:
        content = file.read().replace(b"AddV2", b"AddV9")
        file.seek(0)
        file.write(content)


@contextlib.contextmanager
def _loading(folder: model_server_folder.ModelServerFolder) -> Iterator[None]:
    """Has the slow model load in the with block, no longer than that lasts."""
    gate = os.path.join(folder.path, "gate")
    os.mkfifo(gate)
    folder.write("slow", write=lambda path: small_model.write(path, gate))
    is_over = threading.Event()

    def let_through() -> None:
        is_over.wait(_LOAD_SECONDS.value)
        with open(gate, "rb") as file:
            file.read()

    gate_keeper = threading.Thread(target=let_through)
    gate_keeper.start()
    try:
        yield
    finally:
        is_over.set()
        gate_keeper.join()


def _measure(
    server: served.Served, label: str
) -> list[measurement.Measurement]:
    """Makes the loads."""
    kinds: list[loads.Load] = [
        loads.ClosedLoad(_CONCURRENCY.value, _SECONDS.value)
    ]
    if _RATE.value:
        kinds.append(loads.OpenLoad(_RATE.value, _SECONDS.value))
    return [measurement.checked(server, load, label) for load in kinds]


def main() -> int:
    """Runs the program; see the module docstring."""
    with model_server_folder.ModelServerFolder() as folder:
        cycles, work = _write_models(folder)
        config = folder.write_config(*cycles, "broken", "slow")
        with served.model_server(
            work, f"--model_config_file={config}"
        ) as server:
            for name in cycles:
                server.wait_for_log(_AVAILABLE.format(name))
            without = _measure(server, "without changes")
            first_bytes = server.usage().resident_bytes
            with contextlib.ExitStack() as changes:
                changes.enter_context(_loading(folder))
                if "large" in cycles:
                    changes.enter_context(
                        cycles["large"].swapping(server.wait_for_log, 0.0)
                    )
                seconds = changes.enter_context(
                    cycles["m0"].swapping(
                        server.wait_for_log, _INTERVAL_SECONDS.value
                    )
                )
                during = _measure(server, "with changes")
            server.wait_for_log(_AVAILABLE.format("slow"))
            last_bytes = server.usage().resident_bytes
    rows = [*without, *during]
    print(f"{measurement.machine()}\n\n{measurement.table(rows)}\n")
    for before, after in zip(without, during, strict=True):
        ratio = measurement.p99_ratio(after, before)
        print(f"p99 of {before.load} with changes to without: {ratio}")
    print(
        f"{len(seconds)} reloads; seconds until available: median "
        f"{statistics.median(seconds):.2f}, most {max(seconds):.2f}\n"
        f"Memory after changes to before: {last_bytes / first_bytes:.3f} "
        f"({last_bytes >> 20}, {first_bytes >> 20} MB)"
    )
    return 0 if all(row.is_clean for row in rows) else 1


if __name__ == "__main__":
    program.run_tool(main)
