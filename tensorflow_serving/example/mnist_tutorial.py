"""Runs the basic tutorial: trains, exports, serves, queries.

Usage: mnist_tutorial [--num_tests=1000]

Prints each command before it runs it, with the real programs as processes, and
the inference error rate at the end. Exits with 0 only if every step worked. The
model is written to a temporary folder and removed.
"""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.example import mnist_data_flags
from tensorflow_serving.util import errors, program, server_process

_NUM_TESTS = flags.DEFINE_integer(
    "num_tests",
    1000,
    "Number of test images.",
    lower_bound=1,
    upper_bound=10000,
)
flags.adopt_module_key_flags(mnist_data_flags)

# The programs stand beside this one.
_FOLDER = os.path.dirname(os.path.abspath(__file__))
# Where the tutorial's commands have them.
_SHOWN_FOLDER = "bazel-bin/tensorflow_serving/example"


def _command(name: str, *arguments: str) -> list[str]:
    """Prints the command of a step and returns it, ready to run."""
    shown = shlex.join([f"{_SHOWN_FOLDER}/{name}", *arguments])
    print(f"\n$ {shown}", flush=True)
    return [os.path.join(_FOLDER, name), *arguments]


def _run(name: str, *arguments: str) -> None:
    """Runs a program to its end, which must be a success."""
    code = subprocess.call(_command(name, *arguments))
    if code:
        raise errors.InternalError(
            f"{name} must exit with 0; got {code}. See its message above"
        )


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 1:
        raise app.UsageError(f"there must be no arguments; got {argv[1:]}")
    data_flags = [
        f"--work_dir={mnist_data_flags.WORK_DIR.value}",
        f"--dataset={mnist_data_flags.DATASET.value}",
    ]
    with tempfile.TemporaryDirectory(prefix="mnist_tutorial_") as folder:
        model = os.path.join(folder, "mnist_model")
        _run("mnist_export", *data_flags, model)
        serve = _command("mnist_inference", "--port=0", f"{model}/00000001")
        with server_process.ServerProcess(serve) as server:
            print(f"Running on {server.address}")
            _run(
                "mnist_client",
                *data_flags,
                f"--num_tests={_NUM_TESTS.value}",
                f"--server={server.address}",
            )
            if code := server.stop():
                raise errors.InternalError(
                    f"mnist_inference must exit with 0 on SIGTERM; got {code}"
                )
    print("\nEvery step of the tutorial worked.")


if __name__ == "__main__":
    program.run(main)
