"""Loads thousands of broken models, and reports which crash the process.

Usage: fuzz_loads --num_loads=10000 /models/half_plus_two/00000123 ...

where each argument is the folder of a whole version, with a model of any
format. Each crash is a fault: a broken model must be an error, so that a server
goes on with the others. The seed of a crash finds the file again.
"""

from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.servables.tensorflow import load_fuzzer
from tensorflow_serving.util import program

_NUM_LOADS = flags.DEFINE_integer(
    "num_loads", 10_000, "How often each model is loaded.", lower_bound=1
)
_FIRST_SEED = flags.DEFINE_integer(
    "first_seed", 0, "The first of the seeds that break the model."
)


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) < 2:
        raise app.UsageError("the folders of versions must be the arguments")
    seeds = range(_FIRST_SEED.value, _FIRST_SEED.value + _NUM_LOADS.value)
    num_crashes = 0
    for path in argv[1:]:
        outcome = load_fuzzer.run(path, seeds)
        num_crashes += len(outcome.crashed_seeds)
        print(f"{path}: {dict(outcome.counts)}")
        print(f"{path}: crashed with the seeds {outcome.crashed_seeds}")
    if num_crashes:
        raise SystemExit(1)


if __name__ == "__main__":
    program.run(main)
