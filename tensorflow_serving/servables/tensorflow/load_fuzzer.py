"""Loads broken files of a model, each in a process that may crash.

Example:
    outcome = load_fuzzer.run("/models/half_plus_two/1", range(10_000))
    print(outcome.counts, outcome.crashed_seeds)
"""

import collections
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from tensorflow_serving.servables.tensorflow import (
    model_mutations,
    saved_model,
)
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.util import errors

_META_GRAPH = "export.meta"
_SAVED_MODEL = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The ends of the loads."""

    # How many ended in a way: "loaded", or the name of an error of the project.
    counts: Mapping[str, int]
    # With which the process ended, or something else was raised.
    crashed_seeds: Sequence[int]


def run(path: str, seeds: range) -> Outcome:
    """Loads a broken version for each seed, see model_mutations.

    Args:
      path: The folder of a whole version, an export or a SavedModel.
      seeds: With the step 1.
    """
    counts: collections.Counter[str] = collections.Counter()
    crashed: list[int] = []
    start = seeds.start
    while start < seeds.stop:
        # A process loads until it is done, or crashes.
        with subprocess.Popen(
            [
                *(sys.executable, "-c"),
                f"import sys; sys.path[:] = {sys.path!r}; "
                f"from {__name__} import load_all; "
                f"load_all({path!r}, range({start}, {seeds.stop}))",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            ways = process.stdout.read().split()
        counts.update(ways)
        start += len(ways)
        if start < seeds.stop:
            crashed.append(start)
            start += 1
    return Outcome(counts, crashed)


def load_all(path: str, seeds: range) -> None:
    """Loads a broken version for each seed; prints how each load ended.

    Args:
      path: See run().
      seeds: See run().
    """
    is_export = os.path.exists(os.path.join(path, _META_GRAPH))
    name = _META_GRAPH if is_export else _SAVED_MODEL
    mutate = (
        model_mutations.mutate_meta_graph
        if is_export
        else model_mutations.mutate_saved_model
    )
    with tempfile.TemporaryDirectory() as folder:
        broken = os.path.join(folder, "1")
        shutil.copytree(path, broken)
        with open(os.path.join(path, name), "rb") as file:
            content = file.read()
        for seed in seeds:
            with open(os.path.join(broken, name), "wb") as file:
                file.write(mutate(content, seed))
            print(_load(broken, is_export=is_export), flush=True)


def _load(path: str, *, is_export: bool) -> str:
    """Returns how a load ended."""
    try:
        if is_export:
            session_bundle.load_session_bundle_from_path(path).close()
        else:
            saved_model.load_saved_model_from_path(path).close()
    except errors.ServingError as error:
        return type(error).__name__
    return "loaded"
