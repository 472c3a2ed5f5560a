"""Sends broken conversations to connections, and checks what always holds.

Usage:
  bazel run //tensorflow_serving/rpc/http2:fuzz_connection -- \
      --num_inputs=1000000 --seed=1

Ends with a table of how conversations ended, or with the first input that broke
something, in hexadecimal. The same seed makes the same inputs.
"""

import collections
import random
from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.rpc.http2 import fuzz_check, fuzz_inputs
from tensorflow_serving.util import errors, program, progress

_NUM_INPUTS = flags.DEFINE_integer(
    "num_inputs", 100_000, "How many conversations to send.", lower_bound=1
)
_SEED = flags.DEFINE_integer("seed", 1, "Decides which.")

_INPUTS_PER_UPDATE = 100


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 1:
        raise app.UsageError(f"there must be no arguments; got {argv[1:]}")
    inputs = fuzz_inputs.FuzzInputs(_SEED.value)
    random_ = random.Random(_SEED.value)
    bar = progress.bar("Fuzzing", _NUM_INPUTS.value, "inputs")
    ends: collections.Counter[str] = collections.Counter()
    num_bytes = num_resets = 0
    for number in range(_NUM_INPUTS.value):
        data = inputs.next().data
        try:
            outcome = fuzz_check.check(data, random_)
        except Exception as error:
            raise errors.InternalError(
                f"input {number} of seed {_SEED.value} broke something: "
                f"{error!r}; got {data.hex()}"
            ) from error
        ends[outcome.fault.partition(":")[0] or "no fault"] += 1
        num_bytes += len(data)
        num_resets += outcome.num_resets
        if number % _INPUTS_PER_UPDATE == 0:
            bar.update(_INPUTS_PER_UPDATE)
    bar.close()
    print(f"{_NUM_INPUTS.value} inputs, {num_bytes} bytes, none broke anything")
    print(f"{num_resets} streams were reset")
    for end, count in ends.most_common():
        print(f"{count} connections ended with {end}")


if __name__ == "__main__":
    program.run(main)
