"""Breaks connections to the REST API of a server, in all ways that there are.

Usage: break_connections --port=8501 [--number=10000] [--seconds=60]
           [--patience_seconds=45]

Makes them at even distances; prints how many ended in which way. The ways are
those of broken_connections.KINDS.
"""

import asyncio

from absl import flags

from tensorflow_serving.test_util import broken_connections
from tensorflow_serving.util import program

_PORT = flags.DEFINE_integer(
    "port", None, "Where the server listens on this machine.", required=True
)
_NUMBER = flags.DEFINE_integer(
    "number", 10_000, "How many connections.", lower_bound=0
)
_SECONDS = flags.DEFINE_float(
    "seconds", 60.0, "From the first one to the last one.", lower_bound=0.0
)
_PATIENCE_SECONDS = flags.DEFINE_float(
    "patience_seconds",
    45.0,
    "How long they stay at most; by default longer than a server waits.",
    lower_bound=0.1,
)


def main() -> None:
    """Runs the program; see the module docstring."""
    ends = asyncio.run(
        broken_connections.make(
            _PORT.value,
            _NUMBER.value,
            seconds=_SECONDS.value,
            patience_seconds=_PATIENCE_SECONDS.value,
        )
    )
    for end, number in ends.items():
        print(f"{number:6} {end}")


if __name__ == "__main__":
    program.run_tool(main)
