"""Answers each batch with the version that is the newest by then."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batching_session,
    tensor_batch,
)
from tensorflow_serving.core import manager as manager_lib
from tensorflow_serving.core import servable, servable_handle
from tensorflow_serving.example import (
    mnist_classifier,
    mnist_input_data,
    mnist_service,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.util import errors

# The names of what goes in, and of what can be fetched.
IMAGES = "images:0"
SCORES = "scores:0"
VERSION = "version:0"

_SPECS = {
    IMAGES: (np.float32, (None, mnist_input_data.IMAGE_PIXELS)),
    SCORES: (np.float32, (None, mnist_input_data.NUM_CLASSES)),
    VERSION: (np.int64, (None,)),
}


class NewestVersion:
    """Implements batched_function.Session on the versions of one servable.

    It has three tensors, whatever the graphs of the versions call theirs:

        images:0   fed; float32 [batch, 784]
        scores:0   float32 [batch, 10]
        version:0  which version it was: int64 [batch], the same in each row

    For each batch it takes a handle on the newest version that is available,
    and lets go of it when the batch is done: a version that is to be unloaded
    is held up by no more than that.

    Thread-safe.
    """

    def __init__(self, manager: manager_lib.Manager, name: str) -> None:
        """Takes a manager, which the caller closes.

        Args:
          manager: Its servables with this name are MnistClassifiers.
          name: Which servable.
        """
        self._manager = manager
        self._request = servable.ServableRequest.latest(name)

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., Sequence[npt.NDArray[Any]]]:
        """See batched_function.Session; the feed must be images:0.

        The function raises UnavailableError if no version is available, and
        otherwise what classify() raises.
        """
        if list(feed_list) != [IMAGES]:
            raise errors.InvalidArgumentError(
                f"feeds must be [{IMAGES}]; got {list(feed_list)}"
            )
        for name in fetches:
            if name not in (SCORES, VERSION):
                raise errors.InvalidArgumentError(
                    f"fetches must be {SCORES} or {VERSION}; got {name}"
                )

        def run(images: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            with self._handle() as handle:
                outputs = {
                    SCORES: handle.servable.classify(images),
                    VERSION: _repeated(handle.id.version, len(images)),
                }
            return [outputs[name] for name in fetches]

        return run

    def tensor_spec(self, name: str) -> tensor_batch.TensorSpec:
        """See batched_function.Session."""
        if name not in _SPECS:
            raise errors.InvalidArgumentError(
                f"tensor must be one of {sorted(_SPECS)}; got {name}"
            )
        dtype, shape = _SPECS[name]
        return tensor_batch.TensorSpec(name, np.dtype(dtype), shape)

    def close(self) -> None:
        """Has nothing to free: the manager is not its own."""

    def _handle(
        self,
    ) -> servable_handle.ServableHandle[mnist_classifier.MnistClassifier]:
        try:
            return self._manager.get_servable_handle(
                self._request, mnist_classifier.MnistClassifier
            )
        except errors.NotFoundError:
            # It is for the caller to try again, not to look elsewhere.
            raise errors.UnavailableError(
                f"no version of {self._request.name} is available; try again "
                "later"
            ) from None


@functools.lru_cache(maxsize=256)
def _repeated(version: int, num_rows: int) -> npt.NDArray[Any]:
    """Returns an array that is the same for many batches; int64 [num_rows]."""
    array = np.full(num_rows, version, np.int64)
    array.flags.writeable = False
    return array


@contextlib.contextmanager
def serving(
    manager: manager_lib.Manager,
    name: str,
    scheduler_options: basic_batch_scheduler.Options,
    session_options: batching_session.Options,
) -> Iterator[call_lib.Service]:
    """Makes an AsyncMnistService of the newest version of a servable.

        with serving(manager, "default", ...) as service:
            mnist_server.serve(service, termination)

    At the end of the block calls that wait for their batch are finished.

    Args:
      manager: See NewestVersion.
      name: Which servable.
      scheduler_options: When a batch is run, and on how many threads.
      session_options: How batches are formed.
    """
    session = batching_session.BatchingSession(
        session_options,
        NewestVersion(manager, name),
        functools.partial(
            basic_batch_scheduler.BasicBatchScheduler, scheduler_options
        ),
    )
    with contextlib.closing(session):
        yield mnist_service.AsyncMnistService(
            session.scheduler, session.function([SCORES, VERSION], [IMAGES])
        ).service()
