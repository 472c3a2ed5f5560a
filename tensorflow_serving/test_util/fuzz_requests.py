"""Sends thousands of broken requests to the model server, and checks answers.

Usage: fuzz_requests [--num_requests=100000] [--method=Predict]
           [--server_flags=--enable_batching]

Sends them for each of its seven methods of gRPC and for the REST API, which is
the method REST, or for some of them. Prints what became of them, and the memory
of the server. Exits with 1 if an answer was wrong, an error was not clean, or
the server ended; the seed of a fault makes the same request again.
"""

import os
import shlex

from absl import flags

from tensorflow_serving.test_util import (
    fuzzed_server,
    request_fuzzer,
    rest_fuzzer,
)
from tensorflow_serving.util import program

_NUM_REQUESTS = flags.DEFINE_integer(
    "num_requests", 100_000, "How many for each method.", lower_bound=1
)
_FIRST_SEED = flags.DEFINE_integer(
    "first_seed", 0, "The first of the seeds that break requests.", 0
)
_METHODS = flags.DEFINE_multi_string(
    "method", [], "The methods, such as Predict or REST; by default all."
)
_SERVER_FLAGS = flags.DEFINE_string(
    "server_flags", "", "Of tensorflow_model_server."
)

_REST = "REST"
_SERVER = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    "model_servers",
    "tensorflow_model_server",
)


def main() -> int:
    """Runs the program; see the module docstring."""
    seeds = range(_FIRST_SEED.value, _FIRST_SEED.value + _NUM_REQUESTS.value)
    num_faults = 0
    with (
        fuzzed_server.FuzzedServer(
            _SERVER, *shlex.split(_SERVER_FLAGS.value)
        ) as fuzzed,
        request_fuzzer.RequestFuzzer(fuzzed) as fuzzer,
        rest_fuzzer.RestFuzzer(fuzzed) as of_rest,
    ):
        for name in _METHODS.value or (*fuzzer.methods, _REST):
            outcome = (
                of_rest.run(seeds) if name == _REST else fuzzer.run(name, seeds)
            )
            num_faults += len(outcome.faults)
            print(
                f"{name}: {dict(outcome.counts)}; memory "
                f"{outcome.first_resident_bytes >> 20} MB after a tenth, "
                f"{outcome.last_resident_bytes >> 20} MB at the end",
                *outcome.faults,
                sep="\n  ",
                flush=True,
            )
    return 1 if num_faults else 0


if __name__ == "__main__":
    program.run_tool(main)
