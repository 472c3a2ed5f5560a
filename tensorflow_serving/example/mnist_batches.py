"""Batches of images that a function classifies.

Example:
    with mnist_batches.serving(
        newest_version.classify,
        [mnist_batches.SCORES, mnist_batches.VERSION],
        mnist_batching_flags.scheduler_options(),
    ) as service:
        mnist_server.serve(service, termination)
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batching_session,
)
from tensorflow_serving.example import mnist_image, mnist_service
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors, tensor_spec

# The names of what goes in, and of what comes out.
IMAGES = "images:0"
SCORES = "scores:0"
VERSION = "version:0"

_SPECS = {
    IMAGES: (np.float32, (None, mnist_image.NUM_PIXELS)),
    SCORES: (np.float32, (None, mnist_image.NUM_CLASSES)),
    VERSION: (np.int64, (None,)),
}

# Calls are run again also so that nobody sees an error that is about the image
# of another.
_SESSION_OPTIONS = batching_session.Options(rerun_failed_batches=True)

# From images to one array for each output.
Classify = Callable[[npt.NDArray[Any]], Sequence[npt.NDArray[Any]]]


class FunctionSession:
    """Implements batched_function.WrappedSession on a function of images.

    Its tensors have these names, whatever the graph of a model calls its own:

        images:0   fed; float32 [batch, 784]
        scores:0   float32 [batch, 10]
        version:0  which version it was: int64 [batch], the same in each row

    Thread-safe if the function is.
    """

    def __init__(self, classify: Classify, outputs: Sequence[str]) -> None:
        """Takes a function, and the names of what it returns."""
        self._classify = classify
        self._outputs = list(outputs)

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Classify:
        """See batched_function.WrappedSession; returns the function."""
        if list(feed_list) != [IMAGES]:
            raise errors.InvalidArgumentError(
                f"feeds must be [{IMAGES}]; got {list(feed_list)}"
            )
        if list(fetches) != self._outputs:
            raise errors.InvalidArgumentError(
                f"fetches must be {self._outputs}; got {list(fetches)}"
            )
        return self._classify

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """See batched_function.WrappedSession."""
        if name not in (IMAGES, *self._outputs):
            raise errors.InvalidArgumentError(
                f"tensor must be one of {[IMAGES, *self._outputs]}; got {name}"
            )
        dtype, shape = _SPECS[name]
        return tensor_spec.TensorSpec(name, np.dtype(dtype), shape)

    def close(self) -> None:
        """Has nothing to free: the function is not its own."""


@contextlib.contextmanager
def serving(
    classify: Classify,
    outputs: Sequence[str],
    scheduler_options: basic_batch_scheduler.Options,
) -> Iterator[call_lib.Service]:
    """Makes an AsyncMnistService; see the module docstring.

    At the end of the block calls that wait for their batch are finished.

    Args:
      classify: The function; called on several threads.
      outputs: What it returns: SCORES, or SCORES and VERSION.
      scheduler_options: When a batch is run, and on how many threads.
    """
    session = batching_session.BatchingSession(
        _SESSION_OPTIONS,
        FunctionSession(classify, outputs),
        functools.partial(
            basic_batch_scheduler.BasicBatchScheduler, scheduler_options
        ),
    )
    with contextlib.closing(session):
        yield mnist_service.AsyncMnistService(
            session.scheduler, session.function(outputs, [IMAGES])
        ).service()
