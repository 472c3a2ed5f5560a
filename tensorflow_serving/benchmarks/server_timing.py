"""What a server says of the time of one call, if it is asked to.

A call with the metadata "serving-timing: 1" gets it as trailing metadata, in
decimal texts.
"""

import dataclasses
from collections.abc import Iterable

# What asks for it.
REQUEST_METADATA = (("serving-timing", "1"),)

_PREFIX = "serving-"


@dataclasses.dataclass(frozen=True)
class ServerTiming:
    """The stages of a call; or their means over several calls."""

    # From the arrival to the batch.
    queue_micros: float
    # From the batch to its run.
    batch_micros: float
    # The run of the session.
    run_micros: float
    # From the arrival to the answer.
    total_micros: float
    # How many images shared the run.
    batch_size: float


_FIELDS = tuple(field.name for field in dataclasses.fields(ServerTiming))


def parse(
    metadata: Iterable[tuple[str, str | bytes]],
) -> ServerTiming | None:
    """Returns the timing in trailing metadata; None if there is none."""
    texts = dict(metadata)
    try:
        return ServerTiming(
            *(
                float(texts[_PREFIX + name.replace("_", "-")])
                for name in _FIELDS
            )
        )
    except (KeyError, ValueError):
        return None


def mean(timings: list[ServerTiming]) -> ServerTiming | None:
    """Returns the mean of each figure; None if there are none."""
    if not timings:
        return None
    return ServerTiming(
        *(
            sum(getattr(timing, name) for timing in timings) / len(timings)
            for name in _FIELDS
        )
    )
