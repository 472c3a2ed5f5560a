"""A session that merges concurrent calls of run() into batches."""

import concurrent.futures
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt
from absl import logging

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batch_scheduler,
    batch_scheduler_retrier,
    tensor_batch,
)
from tensorflow_serving.util import errors


class Session(Protocol):
    """The part of a TensorFlow session that serving needs."""

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> Sequence[npt.NDArray[Any]]:
        """Returns the fetched tensors, in order.

        Args:
          fetches: Names of tensors ("y:0").
          feed_dict: Values of tensors, by name.
        """

    def close(self) -> None:
        """Frees what the session holds."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a BatchingSession.

    Raises:
      InvalidArgumentError: The sizes are not ascending, or not positive.
    """

    # Each batch is padded to the next of these sizes; empty: no padding.
    allowed_batch_sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Checks the values."""
        sizes = self.allowed_batch_sizes
        if list(sizes) != sorted({size for size in sizes if size > 0}):
            raise errors.InvalidArgumentError(
                "allowed_batch_sizes must be positive and ascending; "
                f"got {list(sizes)}"
            )

    def require_max_batch_size(self, max_batch_size: int) -> None:
        """Raises InvalidArgumentError unless the last size is the maximum."""
        sizes = self.allowed_batch_sizes
        if sizes and sizes[-1] != max_batch_size:
            raise errors.InvalidArgumentError(
                "last of allowed_batch_sizes must equal max_batch_size "
                f"{max_batch_size}; got {list(sizes)}"
            )


class BatchingSessionTask:
    """One call of BatchingSession.run()."""

    def __init__(
        self, fetches: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        """Raises InvalidArgumentError if the inputs have no common size."""
        self.fetches = list(fetches)
        self.inputs = inputs
        self.num_rows = tensor_batch.num_rows(inputs)
        # A call without rows takes up room as well, or any number would fit.
        self.size = max(1, self.num_rows)
        self.outputs: concurrent.futures.Future[list[npt.NDArray[Any]]] = (
            concurrent.futures.Future()
        )


CreateScheduler = Callable[
    [batch_scheduler.ProcessBatch[BatchingSessionTask]],
    batch_scheduler.BatchScheduler[BatchingSessionTask],
]


class BatchingSession:
    """Implements Session with batches; run() blocks until its rows are done.

    Callers need threads of their own: with max_batch_size times the number of
    batch threads of them, twice over, batches can fill.

    If a batch fails, each call in it gets the error of the batch.

    Thread-safe.
    """

    def __init__(
        self,
        options: Options,
        session: Session,
        create_scheduler: CreateScheduler,
    ) -> None:
        """Takes over the session, to close it.

        Args:
          options: How batches are formed.
          session: Runs the batches; thread-safe.
          create_scheduler: Called once, with the function that processes a
            batch; returns the scheduler, which close() closes.
        """
        self._allowed_batch_sizes = options.allowed_batch_sizes
        self._session = session
        self._scheduler = create_scheduler(self._process_batch)

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.ArrayLike]
    ) -> list[npt.NDArray[Any]]:
        """Returns the fetched tensors, each with as many rows as the inputs.

        Args:
          fetches: Names of tensors ("y:0"), of shape [rows, ...].
          feed_dict: Arrays of shape [rows, ...], by tensor name.

        Raises:
          PermissionDeniedError: A fetch names an operation, not a tensor: which
            ops run is not up to callers of a batch. Permanent.
          InvalidArgumentError: The inputs have no common number of rows, more
            rows than fit in a batch, or differ from those of other calls in
            their names, dtypes or shapes. Permanent.
          FailedPreconditionError: The outputs have not a row for each row of
            the inputs, or the session is closed. Permanent.
          UnavailableError: Too many calls wait. Transient.
          ServingError: What the wrapped session raised.
        """
        if isinstance(fetches, str):
            raise errors.InvalidArgumentError(
                f"fetches must be a list of names; got the text {fetches!r}"
            )
        for name in fetches:
            if ":" not in name:
                raise errors.PermissionDeniedError(
                    "fetches of a batching session must be tensors, such as "
                    f"y:0; got the operation {name}"
                )
        task = BatchingSessionTask(
            fetches,
            {
                name: tensor_batch.as_array(value)
                for name, value in feed_dict.items()
            },
        )
        self._scheduler.schedule(task)
        return task.outputs.result()

    def close(self) -> None:
        """Finishes the calls that run, then closes the wrapped session."""
        self._scheduler.close()
        self._session.close()

    def _process_batch(
        self, batch: batch_scheduler.Batch[BatchingSessionTask]
    ) -> None:
        try:
            outputs = self._run(batch.tasks)
        except Exception as error:
            _fail(batch.tasks, error)
            return
        for task, task_outputs in zip(batch.tasks, outputs, strict=True):
            task.outputs.set_result(task_outputs)

    def _run(
        self, tasks: Sequence[BatchingSessionTask]
    ) -> list[list[npt.NDArray[Any]]]:
        """Returns the outputs of each task."""
        fetches = tasks[0].fetches
        for task in tasks:
            if task.fetches != fetches:
                raise errors.InvalidArgumentError(
                    "Batching session Run() calls in a batch must request the "
                    f"same output tensors; got {fetches} and {task.fetches}"
                )
        if len(tasks) == 1 and not self._allowed_batch_sizes:
            return [list(self._session.run(fetches, tasks[0].inputs))]
        inputs = tensor_batch.merge([task.inputs for task in tasks])
        size = sum(task.num_rows for task in tasks)
        allowed = self._allowed_batch_sizes
        if allowed and size > allowed[-1]:
            logging.error(
                "Batch size must be at most the last of allowed_batch_sizes "
                "%s; got %d. Running it unpadded",
                list(allowed),
                size,
            )
        num_padding = tensor_batch.padded_size(size, allowed) - size
        if num_padding:
            inputs = tensor_batch.pad(inputs, size + num_padding)
        outputs = self._session.run(fetches, inputs)
        return tensor_batch.split(
            list(zip(fetches, outputs, strict=True)),
            [task.num_rows for task in tasks],
            num_padding,
        )


def _fail(tasks: Sequence[BatchingSessionTask], error: Exception) -> None:
    """Gives each task an exception of its own: each is raised in a thread."""
    if not isinstance(error, errors.ServingError):
        logging.error("Running a batch failed", exc_info=error)
        error = errors.InternalError("running a batch failed; see the log")
    for task in tasks:
        task.outputs.set_exception(type(error)(str(error)))


def create_retrying_basic_batching_session(
    scheduler_options: basic_batch_scheduler.Options,
    retrier_options: batch_scheduler_retrier.Options,
    options: Options,
    session: Session,
) -> BatchingSession:
    """Returns a batching session with threads of its own.

    Raises:
      InvalidArgumentError: The last of the allowed batch sizes is not
        max_batch_size.
    """
    options.require_max_batch_size(scheduler_options.queue.max_batch_size)

    def create_scheduler(
        process_batch: batch_scheduler.ProcessBatch[BatchingSessionTask],
    ) -> batch_scheduler.BatchScheduler[BatchingSessionTask]:
        return batch_scheduler_retrier.BatchSchedulerRetrier(
            retrier_options,
            basic_batch_scheduler.BasicBatchScheduler(
                scheduler_options, process_batch
            ),
        )

    return BatchingSession(options, session, create_scheduler)
