"""Abuses a server of rpc/, and shows how another client fares beside it.

    bazel run //tensorflow_serving/benchmarks:server_abuse -- --seconds=5

takes eleven seconds for each abuse. A line for each: half of the calls of
another client took no longer than p50, alone and beside the abuse; the memory
of the server before and at its peak; what the server did to the abuser, and how
often.
"""

from absl import app, flags

from tensorflow_serving.benchmarks import abuse_trial
from tensorflow_serving.util import program

_SECONDS = flags.DEFINE_float(
    "seconds", 5.0, "How long each abuse lasts.", lower_bound=0.1
)
_ONLY = flags.DEFINE_list(
    "only", [], "Names of abuses, separated by commas; empty: all."
)

_HEADER = (
    f"{'abuse':22} {'p50 alone':>10} {'beside':>10} {'ratio':>6} "
    f"{'p99':>10} {'MB before':>10} {'MB peak':>8}  the server"
)


def main() -> None:
    """Prints the table."""
    all_abuses = abuse_trial.all_abuses()
    unknown = set(_ONLY.value) - {each.name for each in all_abuses}
    if unknown:
        raise app.UsageError(
            f"--only must be of {[each.name for each in all_abuses]}; got "
            f"{sorted(unknown)}"
        )
    print(_HEADER)
    for abuse in all_abuses:
        if not _ONLY.value or abuse.name in _ONLY.value:
            trial = abuse_trial.run(abuse, _SECONDS.value)
            print(abuse_trial.line(trial), flush=True)


if __name__ == "__main__":
    program.run_tool(main)
