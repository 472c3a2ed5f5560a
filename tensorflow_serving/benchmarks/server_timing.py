"""The timing of one call, which a server reports when it is asked to.

A call with the metadata "serving-timing: 1" gets it as trailing metadata, in
decimal texts.
"""

import dataclasses
from collections.abc import Iterable

# The metadata that asks for the timing.
REQUEST_METADATA = (("serving-timing", "1"),)


@dataclasses.dataclass(frozen=True)
class ServerTiming:
    """The stages of a call."""

    # From the arrival to the batch.
    queue_micros: float
    # The run of the model.
    run_micros: float
    # How many images shared the run.
    batch_size: float


def parse(metadata: Iterable[tuple[str, str | bytes]]) -> ServerTiming | None:
    """Returns the timing in trailing metadata; None if there is none."""
    texts = dict(metadata)
    try:
        return ServerTiming(
            queue_micros=float(texts["serving-queue-micros"]),
            run_micros=float(texts["serving-run-micros"]),
            batch_size=float(texts["serving-batch-size"]),
        )
    except (KeyError, ValueError):
        return None
