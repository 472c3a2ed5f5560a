"""Measures mnist_inference: throughput, latency, errors, CPU and memory.

Usage: serving_benchmark --model=softmax|cnn [--output_dir=DIR]

Exports a model with random weights, serves it, loads it, and prints a table;
README.md says what each number means. Writes results.txt, results.json and
latency_against_load.png to DIR. Exits with 1 if an answer was wrong.
"""

import os
from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.benchmarks import (
    campaign,
    h2load,
    light_client,
    loads,
    machine,
    models,
    plot,
    report,
    results,
    served_model,
)
from tensorflow_serving.util import program

_MODEL = flags.DEFINE_enum("model", "softmax", models.NAMES, "What is served.")
_SERVER_FLAGS = flags.DEFINE_string(
    "server_flags", "", "Of mnist_inference, such as --max_batch_size=64."
)
_CONCURRENCIES = flags.DEFINE_list(
    "concurrencies", ["1", "64", "256"], "Calls in flight of closed loads."
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 5, "How often each load is made.", lower_bound=1
)
_SECONDS = flags.DEFINE_float(
    "seconds", 5.0, "How long a load lasts.", lower_bound=0.1
)
_RATE = flags.DEFINE_float(
    "rate",
    0.0,
    "Calls a second of an open load; 0: --open_fractions of the capacity.",
    lower_bound=0.0,
)
_OPEN_FRACTIONS = flags.DEFINE_list(
    "open_fractions", ["0.5", "0.8"], "Rates of open loads."
)
_SWEEP_FRACTIONS = flags.DEFINE_list(
    "sweep_fractions",
    ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "0.95"],
    "Rates of open loads that are made once, for the picture; may be empty.",
)
_OVERLOAD = flags.DEFINE_bool(
    "overload", False, "Whether to offer twice the capacity as well."
)
_OVERLOAD_SECONDS = flags.DEFINE_float(
    "overload_seconds", 30.0, "How long to offer that.", lower_bound=0.1
)
_SOAK_REQUESTS = flags.DEFINE_integer(
    "soak_requests",
    0,
    "After how many calls to look at the memory, such as 1000000; 0: never.",
    lower_bound=0,
)
_DEADLINE_SECONDS = flags.DEFINE_float(
    "deadline_seconds", 1.0, "How long a call may take.", lower_bound=0.001
)
_CHECKS_PER_SECOND = flags.DEFINE_float(
    "checks_per_second",
    50.0,
    "Calls that are checked beside each load.",
    lower_bound=0.1,
)
_IN_PROCESS = flags.DEFINE_bool(
    "in_process", True, "Whether to measure the model without a server first."
)
_H2LOAD = flags.DEFINE_bool(
    "h2load", True, "Whether h2load makes the closed loads, where installed."
)
_TARGETS = flags.DEFINE_multi_string(
    "target",
    [],
    "NAME,HOST:PORT,/package.Service/Method,BODY_FILE: a server that runs, to "
    "compare with.",
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Where to write the results; by default nowhere."
)


@flags.multi_flags_validator(
    ["concurrencies", "open_fractions", "sweep_fractions"],
    "--concurrencies must be whole numbers, and fractions numbers, above 0",
)
def _are_numbers(values: dict[str, list[str]]) -> bool:
    try:
        numbers = [
            *map(int, values["concurrencies"]),
            *map(float, values["open_fractions"]),
            *map(float, values["sweep_fractions"]),
        ]
    except ValueError:
        return False
    return all(number > 0 for number in numbers)


def _plan() -> campaign.Plan:
    return campaign.Plan(
        concurrencies=tuple(map(int, _CONCURRENCIES.value)),
        seconds=_SECONDS.value,
        rounds=_ROUNDS.value,
        rate=_RATE.value,
        open_fractions=tuple(map(float, _OPEN_FRACTIONS.value)),
        sweep_fractions=tuple(map(float, _SWEEP_FRACTIONS.value)),
        overload_seconds=_OVERLOAD_SECONDS.value if _OVERLOAD.value else 0.0,
        soak_requests=_SOAK_REQUESTS.value,
        deadline_seconds=_DEADLINE_SECONDS.value,
        checks_per_second=_CHECKS_PER_SECOND.value,
    )


def _generator(served: served_model.ServedModel) -> loads.LoadGenerator:
    if _H2LOAD.value and h2load.is_installed():
        return h2load.H2Load()
    return light_client.LightClient(
        served.workload_path, _DEADLINE_SECONDS.value
    )


def _write(found: results.Results, folder: str) -> None:
    os.makedirs(folder, exist_ok=True)
    for name, text in (
        ("results.txt", report.to_text(found)),
        ("results.json", report.to_json(found)),
    ):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)
    if found.sweep:
        plot.latency_against_load(
            f"mnist_inference, {found.model}",
            found.sweep,
            os.path.join(folder, "latency_against_load.png"),
        )


def main(argv: Sequence[str]) -> int:
    """Runs the program; see the module docstring."""
    if len(argv) != 1:
        raise app.UsageError(f"there must be no arguments; got {argv[1:]}")
    plan = _plan()
    others = [loads.parse_target(text) for text in _TARGETS.value]
    with served_model.ServedModel(
        _MODEL.value,
        _SERVER_FLAGS.value,
        in_process_seconds=plan.seconds / 10 if _IN_PROCESS.value else 0.0,
    ) as served:
        found = campaign.Campaign(plan, served, _generator(served), others).run(
            _MODEL.value, _SERVER_FLAGS.value, machine.facts()
        )
    print(report.to_text(found), end="")
    if _OUTPUT_DIR.value:
        _write(found, _OUTPUT_DIR.value)
    return 1 if found.num_wrong else 0


if __name__ == "__main__":
    program.run(main)
