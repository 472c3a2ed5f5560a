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
    model_bundle_factory,
    model_mutations,
    session_bundle_config_pb2,
    warm_up,
)
from tensorflow_serving.sources.storage_path import tflite_file
from tensorflow_serving.util import errors

# The main file of each format, and how it is broken.
_MUTATIONS = {
    "export.meta": model_mutations.mutate_meta_graph,
    "saved_model.pb": model_mutations.mutate_saved_model,
    tflite_file.NAME: model_mutations.mutate_tflite_model,
}


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
      path: The folder of a whole version, with one model.
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
    (name,) = {*os.listdir(path)} & {*_MUTATIONS}
    with tempfile.TemporaryDirectory() as folder:
        broken = os.path.join(folder, "1")
        shutil.copytree(path, broken)
        with open(os.path.join(path, name), "rb") as file:
            content = file.read()
        config = session_bundle_config_pb2.SessionBundleConfig(
            num_tflite_pools=1
        )
        with model_bundle_factory.ModelBundleFactory(config) as factory:
            for seed in seeds:
                with open(os.path.join(broken, name), "wb") as file:
                    file.write(_MUTATIONS[name](content, seed))
                print(_load(factory, broken), flush=True)


def _load(factory: model_bundle_factory.ModelBundleFactory, path: str) -> str:
    """Returns how a load ended."""
    try:
        with factory.create_session_bundle(path) as bundle:
            # An interpreter may do wrong only when it runs.
            if os.path.exists(os.path.join(path, tflite_file.NAME)):
                warm_up.warm_up(bundle)
    except errors.ServingError as error:
        return type(error).__name__
    return "loaded"
