"""Runs each signature of a model once, so that no caller waits for the first.

TensorFlow prepares what is run at its first run: it prunes and optimises the
graph, starts threads and allocates memory.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import logging

from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.session_bundle import session_bundle, signature_runs
from tensorflow_serving.util import tensor_spec


def warm_up(
    bundle: session_bundle.SessionBundle[session_lib.Session],
    batch_sizes: Iterable[int] = (1,),
) -> None:
    """Runs each signature of a bundle once with each of some numbers of rows.

    Inputs are zeros, or empty texts, which are serialized tf.train.Examples
    without features. A dimension that the graph leaves open is 1.

    Zeros may be illegal for a model, so that a run that fails is a warning in
    the log. What it prepared up to there is prepared.

    A signature that may have an effect is not run, since nobody asked for it:
    one that trains, for example, or that saves variables.

    A run of a bundle that batches waits for batch_timeout_micros, like any
    lone call.
    """
    runs = list(
        signature_runs.signature_runs(
            bundle.meta_graph_def, bundle.path, bundle.graph
        )
    )
    if not runs:
        logging.warning(
            "%s has no signature that could be warmed up; its first request "
            "may be slow",
            bundle.path,
        )
    done = set()
    for run in runs:
        if (key := (run.fetches, run.feeds)) in done:
            continue
        done.add(key)
        try:
            effects = run.effects(bundle.graph) if bundle.graph else ()
            if effects:
                logging.info(
                    "Not warming up %s: it may have an effect, by its %s",
                    run.name,
                    ", ".join(effects),
                )
                continue
            for num_rows in batch_sizes:
                _run(bundle.session, run, num_rows)
        except Exception as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            logging.warning(
                "Warming up %s of %s with zeros failed; its first request may "
                "be slow: %s",
                run.name,
                bundle.path,
                reason,
            )


def _run(
    session: session_lib.Session,
    run: signature_runs.SignatureRun,
    num_rows: int,
) -> None:
    session.run(
        list(run.fetches),
        {
            name: _zeros(session.tensor_spec(name), num_rows)
            for name in run.feeds
        },
    )


def _zeros(spec: tensor_spec.TensorSpec, num_rows: int) -> npt.NDArray[Any]:
    """Returns rows, as many as the graph does not fix; texts are empty."""
    shape = (None,) if spec.shape is None else spec.shape
    sizes = [1 if size is None else size for size in shape]
    if shape and shape[0] is None:
        sizes[0] = num_rows
    if spec.dtype == np.dtype(object):
        return np.full(sizes, b"", object)
    return np.zeros(sizes, spec.dtype)
