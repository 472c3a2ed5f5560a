"""Where the time of a batched call went, as metadata for a caller that asks.

A caller sends the key "serving-timing" with any value. The trailing metadata of
the answer then has, as decimal numbers:

    serving-queue-micros   from the arrival of the call until a thread took it
    serving-batch-micros   until its batch was put together
    serving-run-micros     until the model had run
    serving-total-micros   from the arrival of the call until the answer
    serving-batch-size     the rows in the batch, without padding
"""

from collections.abc import Iterable, Sequence

from tensorflow_serving.batching import batched_function, run_timing

KEY = "serving-timing"

_Metadata = Sequence[tuple[str, str | bytes]]


def is_wanted(metadata: _Metadata) -> bool:
    """Returns whether a call with this metadata asks for its timing."""
    return any(key == KEY for key, _ in metadata)


def is_wanted_by_any(metadata: Iterable[_Metadata]) -> bool:
    """Returns whether one of some calls asks for its timing.

    Calls that repeat their header fields share one object, which is looked at
    once.
    """
    distinct = {id(each): each for each in metadata}
    return any(map(is_wanted, distinct.values()))


def seconds(
    arrival_time: float, timing: run_timing.RunTiming
) -> dict[str, float]:
    """Returns how long a task and its batch waited, and how long they ran."""
    return {
        "queue": timing.taken_time - arrival_time,
        "batch": timing.start_time - timing.taken_time,
        "run": timing.end_time - timing.start_time,
    }


def trailing_metadata(
    task: batched_function.FunctionTask, timing: run_timing.RunTiming
) -> list[tuple[str, str | bytes]]:
    """Returns the timing of the call whose task is done."""
    stages = {
        **seconds(task.arrival_time, timing),
        "total": task.function.clock.now() - task.arrival_time,
    }
    return [
        *(
            (f"serving-{stage}-micros", str(round(value * 1e6)))
            for stage, value in stages.items()
        ),
        ("serving-batch-size", str(timing.num_rows)),
    ]
