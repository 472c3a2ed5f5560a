"""Keeps servers under load while versions come, go and come broken.

Usage: reload_under_load MODEL_BASE [--scenarios=swaps] [--output_json=FILE]

MODEL_BASE is a folder that is empty, or not there yet, and is left like that.
Exports versions to it, serves them with mnist_inference_2, and prints a table
of what was promised and what was reached; README.md says what each row means.
Exits with 1 if a promise was not kept.
"""

import shlex
import signal
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from tensorflow_serving.benchmarks import (
    borrowed_folder,
    broken_scenario,
    held_handle_scenario,
    kill_scenario,
    machine,
    promises,
    setting,
    slow_copy_scenario,
    swap_scenario,
    tail_scenario,
)
from tensorflow_serving.util import errors, program

_Run = Callable[[setting.Setting, str], promises.Outcome]

_CONCURRENCY = flags.DEFINE_integer(
    "concurrency", 64, "Calls in flight.", lower_bound=1
)
_DEADLINE_SECONDS = flags.DEFINE_float(
    "deadline_seconds", 10.0, "How long a call may take.", lower_bound=0.001
)
_POLL_SECONDS = flags.DEFINE_float(
    "file_system_poll_wait_seconds",
    0.25,
    "How often servers look for versions.",
    lower_bound=0.01,
)
_SEED = flags.DEFINE_integer(
    "seed", 0, "Decides weights, images and moments.", lower_bound=0
)
_SERVER_FLAGS = flags.DEFINE_string(
    "server_flags", "", "Of mnist_inference_2, such as --max_batch_size=64."
)
_SERVER_LOG = flags.DEFINE_string(
    "server_log", None, "The file that servers log to; by default nowhere."
)
_OUTPUT_JSON = flags.DEFINE_string(
    "output_json", None, "Where to write all figures; by default nowhere."
)
_NUM_SWAPS = flags.DEFINE_integer(
    "num_swaps", 500, "How many versions take another's place.", lower_bound=1
)
_TAIL_ROUNDS = flags.DEFINE_integer(
    "tail_rounds", 3, "How often the latency is compared.", lower_bound=1
)
_TAIL_SECONDS = flags.DEFINE_float(
    "tail_seconds", 5.0, "How long each time.", lower_bound=0.1
)
_OPEN_RATE = flags.DEFINE_float(
    "open_rate", 500.0, "Calls a second of the open load.", lower_bound=1.0
)
_LARGE_MEGABYTES = flags.DEFINE_integer(
    "large_megabytes", 200, "Of the model loaded beside.", lower_bound=1
)
_NUM_STEPS = flags.DEFINE_integer(
    "num_steps", 20, "In how many steps a version is copied.", lower_bound=3
)
_STEP_SECONDS = flags.DEFINE_float(
    "step_seconds", 0.7, "From one of them to the next.", lower_bound=0.0
)
_HOLD_SECONDS = flags.DEFINE_float(
    "hold_seconds", 30.0, "How long a handle is held.", lower_bound=0.0
)
_NUM_KILLS = flags.DEFINE_integer(
    "num_kills", 50, "How often a server is killed.", lower_bound=1
)

# In this order.
_SCENARIOS: dict[str, _Run] = {
    "swaps": lambda common, folder: swap_scenario.run(
        common, folder, _NUM_SWAPS.value
    ),
    "tail": lambda common, folder: tail_scenario.run(
        common,
        folder,
        tail_scenario.Options(
            _TAIL_ROUNDS.value,
            _TAIL_SECONDS.value,
            _OPEN_RATE.value,
            _LARGE_MEGABYTES.value,
        ),
    ),
    "broken": broken_scenario.run,
    "slow_copy": lambda common, folder: slow_copy_scenario.run(
        common, folder, _NUM_STEPS.value, _STEP_SECONDS.value
    ),
    "held_handle": lambda common, folder: held_handle_scenario.run(
        common, folder, _HOLD_SECONDS.value
    ),
    "kills": lambda common, folder: kill_scenario.run(
        common, folder, _NUM_KILLS.value
    ),
}

_NAMES = flags.DEFINE_list(
    "scenarios", list(_SCENARIOS), f"Some of {', '.join(_SCENARIOS)}."
)
flags.register_validator(
    "scenarios",
    lambda names: names and set(names) <= _SCENARIOS.keys(),
    f"--scenarios must be some of {', '.join(_SCENARIOS)}",
)


def _common() -> setting.Setting:
    return setting.Setting(
        concurrency=_CONCURRENCY.value,
        deadline_seconds=_DEADLINE_SECONDS.value,
        poll_seconds=_POLL_SECONDS.value,
        seed=_SEED.value,
        server_flags=tuple(shlex.split(_SERVER_FLAGS.value)),
        log_path=_SERVER_LOG.value,
    )


def _outcome(
    name: str, common: setting.Setting, base: borrowed_folder.BorrowedFolder
) -> promises.Outcome:
    """Runs a scenario; one that fails does not keep others from running."""
    try:
        return _SCENARIOS[name](common, base.folder(name))
    except errors.ServingError as error:
        return promises.Failure(name, str(error))
    except Exception as error:
        logging.exception("Scenario %s failed", name)
        return promises.Failure(name, f"a {type(error).__name__}; see the log")


def main(argv: Sequence[str]) -> int:
    """Runs the program; see the module docstring."""
    if len(argv) != 2:
        raise app.UsageError(
            "MODEL_BASE, an empty folder such as /tmp/models, must be the one "
            f"argument; got {argv[1:]}"
        )
    # Servers and files must not outlive the program.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with borrowed_folder.BorrowedFolder(argv[1]) as base:
        outcomes = {
            name: _outcome(name, _common(), base)
            for name in _SCENARIOS
            if name in _NAMES.value
        }
    rows = [row for outcome in outcomes.values() for row in outcome.promises()]
    print(promises.to_text(rows), end="")
    if _OUTPUT_JSON.value:
        with open(_OUTPUT_JSON.value, "w", encoding="utf-8") as file:
            file.write(promises.to_json(outcomes, machine.facts()))
    return 0 if all(row.is_kept for row in rows) else 1


if __name__ == "__main__":
    program.run(main)
