"""Runs each signature of a model, so that no caller waits for its first run.

TensorFlow prepares what is run at its first run: it prunes and optimises the
graph, starts threads and allocates memory.

Inputs are zeros, or empty texts, which are serialized tf.train.Examples without
features. A dimension that the graph leaves open is 1. Zeros may be illegal for
a model: then it stays as cold as it was, or nearly so, as what it prepared up
to there is prepared.

A signature that may have an effect is not run, since nobody asked for it: one
that trains, for example, or that saves variables.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from absl import logging

from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.session_bundle import session_bundle, signature_runs
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import tensor_spec

# Runs of several rows with more than that are left out. They would hardly gain
# from a run before, and might delay the model for long, or take much memory.
_MAX_SECONDS: Final = 1.0
_MAX_FEED_BYTES: Final = 32 << 20

_Bundle = session_bundle.SessionBundle[session_lib.Session]


def warm_up(bundle: _Bundle) -> None:
    """Runs each signature of a bundle once, with one row.

    A run of a bundle that batches waits for batch_timeout_micros, like any
    lone call.
    """
    for run in runs(bundle):
        run()


def runs(
    bundle: _Bundle,
    batch_sizes: Sequence[int] = (1,),
    clock: clock_lib.Clock = clock_lib.MONOTONIC,
) -> Iterator[Callable[[], None]]:
    """Yields functions that run a signature each, and raise nothing.

    Args:
      bundle: The model.
      batch_sizes: Numbers of rows, the least one first. Further ones are left
        out with which the inputs would be large, or that seem to take long.
      clock: Tells how long a run takes.
    """
    for run in _without_effect(bundle):
        warming = _Warming(bundle, run, clock)
        yield functools.partial(warming.run, batch_sizes)


def _without_effect(
    bundle: _Bundle,
) -> Iterator[signature_runs.SignatureRun]:
    """Yields the runs of signatures that may be run, each of them once."""
    found = {
        (run.fetches, run.feeds): run
        for run in signature_runs.signature_runs(
            bundle.meta_graph_def, bundle.path, bundle.graph
        )
    }
    if not found:
        logging.warning(
            "%s has no signature that could be warmed up; its first request "
            "may be slow",
            bundle.path,
        )
    for run in found.values():
        try:
            effects = run.effects(bundle.graph) if bundle.graph else ()
        except Exception as error:
            _log_failure(bundle, run, error)
            continue
        if effects:
            logging.info(
                "Not warming up %s: it may have an effect, by its %s",
                run.name,
                ", ".join(effects),
            )
        else:
            yield run


class _Warming:
    """The runs of a signature, one after the other."""

    def __init__(
        self,
        bundle: _Bundle,
        run: signature_runs.SignatureRun,
        clock: clock_lib.Clock,
    ) -> None:
        self._bundle = bundle
        self._run = run
        self._clock = clock

    def run(self, batch_sizes: Sequence[int]) -> None:
        """Runs each of some numbers of rows."""
        try:
            first = self._feeds(batch_sizes[0])
            self._run_once(first)
            if len(batch_sizes) == 1:
                return
            # The first run took longer.
            seconds_a_row = self._run_once(first) / batch_sizes[0]
            for num_rows in batch_sizes[1:]:
                feeds = self._feeds(num_rows)
                if (
                    feeds != first
                    and sum(feed.num_bytes for feed in feeds) <= _MAX_FEED_BYTES
                    and num_rows * seconds_a_row <= _MAX_SECONDS
                ):
                    self._run_once(feeds)
        except Exception as error:
            _log_failure(self._bundle, self._run, error)

    def _feeds(self, num_rows: int) -> Sequence["_Feed"]:
        session = self._bundle.session
        return [
            _Feed(spec, _shape(spec, num_rows))
            for spec in map(session.tensor_spec, self._run.feeds)
        ]

    def _run_once(self, feeds: Sequence["_Feed"]) -> float:
        """Returns how long it took."""
        values = {feed.spec.name: feed.zeros() for feed in feeds}
        start = self._clock.now()
        self._bundle.session.run(list(self._run.fetches), values)
        return self._clock.now() - start


@dataclasses.dataclass(frozen=True)
class _Feed:
    """The input of a run."""

    spec: tensor_spec.TensorSpec
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """How large it is."""
        return math.prod(self.shape) * self.spec.dtype.itemsize

    def zeros(self) -> npt.NDArray[Any]:
        """Makes it; texts are empty."""
        if self.spec.dtype == np.dtype(object):
            return np.full(self.shape, b"", object)
        return np.zeros(self.shape, self.spec.dtype)


def _log_failure(
    bundle: _Bundle, run: signature_runs.SignatureRun, error: Exception
) -> None:
    logging.info(
        "Warming up %s of %s with zeros failed; its first request may be slow: "
        "%s",
        run.name,
        bundle.path,
        str(error).partition("\n")[0] or type(error).__name__,
    )


def _shape(spec: tensor_spec.TensorSpec, num_rows: int) -> tuple[int, ...]:
    """Returns a shape with a number of rows, unless the graph fixes them."""
    shape = (None,) if spec.shape is None else spec.shape
    sizes = [1 if size is None else size for size in shape]
    if shape and shape[0] is None:
        sizes[0] = num_rows
    return tuple(sizes)
