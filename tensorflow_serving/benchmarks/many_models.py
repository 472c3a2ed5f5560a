r"""Measures what a manager with many models costs, and prints a table.

    bazel run //tensorflow_serving/benchmarks:many_models -- \
        --num_models=10,100,1000 --files

The loads of the models take nothing, so all of it is the cost of managing.
With --files, a source looks at the folders of the models once a second.
"""

import tempfile

from absl import app, flags, logging

from tensorflow_serving.benchmarks import manager_costs
from tensorflow_serving.util import program

_NUM_MODELS = flags.DEFINE_list(
    "num_models", ["10", "100", "1000"], "How many models, one row for each."
)
_IDLE_SECONDS = flags.DEFINE_float(
    "idle_seconds", 3.0, "How long nothing changes.", lower_bound=0.01
)
_FILES = flags.DEFINE_bool(
    "files", False, "Whether a source looks for the models in a folder."
)

_HEADER = (
    f"{'models':>7} {'start s':>8} {'CPU s':>8} {'idle CPU %':>10} "
    f"{'change CPU ms':>13} {'KB a model':>10}"
)


def main() -> None:
    """Prints the table."""
    if not all(each.isdecimal() and int(each) for each in _NUM_MODELS.value):
        raise app.UsageError(
            "--num_models must be whole numbers from 1 on, such as 10,100; got "
            f"{','.join(_NUM_MODELS.value)}"
        )
    # A line for each state is a cost of the terminal.
    logging.set_verbosity(logging.ERROR)
    print(_HEADER)
    for num_models in map(int, _NUM_MODELS.value):
        print(_row(_measure(num_models)), flush=True)


def _measure(num_models: int) -> manager_costs.Costs:
    if not _FILES.value:
        return manager_costs.measure(num_models, _IDLE_SECONDS.value)
    with tempfile.TemporaryDirectory() as folder:
        return manager_costs.measure_with_files(
            num_models, _IDLE_SECONDS.value, folder
        )


def _row(costs: manager_costs.Costs) -> str:
    return (
        f"{costs.num_models:7} {costs.start_seconds:8.2f} "
        f"{costs.start_cpu_seconds:8.2f} "
        f"{costs.idle_cpu_seconds_per_second * 100:10.2f} "
        f"{costs.change_cpu_seconds * 1e3:13.2f} "
        f"{costs.bytes_per_model / 1e3:10.1f}"
    )


if __name__ == "__main__":
    program.run_tool(main)
