"""A session that merges concurrent calls of run() into batches.

Example:
    future = session.run_async(["y:0"], {"x:0": images})
    (y,) = future.result()
"""

import concurrent.futures
import dataclasses
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy.typing as npt
from absl import logging

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batch_scheduler,
    batch_scheduler_retrier,
    batched_function,
    run_size,
    run_timing,
    task_groups,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, tensor_spec

# Which tensors are fed and fetched is up to callers; this many are remembered.
_MAX_FUNCTIONS = 64


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a BatchingSession.

    Raises:
      InvalidArgumentError: The sizes are not ascending, or not positive.
    """

    # Each batch is padded to the next of these sizes; empty: no padding.
    allowed_batch_sizes: tuple[int, ...] = ()
    # Whether rows of different shapes are padded to one, in the dimensions that
    # the graph leaves open; else such calls are run apart.
    pad_variable_length_inputs: bool = False
    # Whether the calls of a batch that fails are run again, in halves, so that
    # only those fail that are at fault. Not after a transient error, of which
    # no call is the reason.
    rerun_failed_batches: bool = False
    # Whether each call runs alone, as in a session without batching; the
    # threads of the scheduler run several at the same time.
    never_merges: bool = False

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
                f"last of allowed_batch_sizes must equal {max_batch_size}, "
                "which is max_execution_batch_size if set, or max_batch_size; "
                f"got {list(sizes)}"
            )


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Counts of the work of a BatchingSession since its start."""

    scheduler: batch_scheduler.Statistics
    # Rows of calls that were run, and rows that were run for padding only.
    num_rows: int
    num_padding_rows: int
    num_failed_runs: int
    # Calls that were run again, because their batch failed.
    num_rerun_calls: int
    # Runs that did not fail.
    num_runs: Mapping[run_size.RunSize, int]


class _Futures:
    """The caller of tasks that have a future as their context."""

    def succeed(
        self,
        tasks: batched_function.Tasks,
        outputs: Sequence[npt.NDArray[Any]],
        timing: run_timing.RunTiming,
    ) -> None:
        """See Caller."""
        for task, own_outputs in batched_function.rows_of(tasks, outputs):
            if task.context.set_running_or_notify_cancel():
                task.context.set_result(list(own_outputs))

    def fail(
        self,
        tasks: batched_function.Tasks,
        error: errors.ServingError,
    ) -> None:
        """See Caller; each exception is raised once, with its own trace."""
        for task in tasks:
            future = task.context
            has_result = future.done() and not future.cancelled()
            if not has_result and future.set_running_or_notify_cancel():
                future.set_exception(errors.copy_of(error))


_FUTURES: Final[batched_function.Caller] = _Futures()

CreateScheduler = Callable[
    [batch_scheduler.ProcessBatch[batched_function.FunctionTask]],
    batch_scheduler.BatchScheduler[batched_function.FunctionTask],
]


class BatchingSession:
    """Runs concurrent calls as batches.

    run() blocks until its rows are done: its callers need threads of their own;
    with max_batch_size times the number of batch threads of them, twice over,
    batches can fill. run_async() needs no thread for a call.

    A call whose inputs do not fit the graph is refused before it is scheduled.
    Calls that ask for other tensors, or have rows of other shapes, may wait in
    one batch but are run apart, unless rows are padded. If a run fails, each
    call in it gets the error, unless rerun_failed_batches is set.

    Thread-safe.
    """

    def __init__(
        self,
        options: Options,
        session: batched_function.WrappedSession,
        create_scheduler: CreateScheduler,
        clock: clock_lib.Clock = clock_lib.MONOTONIC,
        *,
        owns_session: bool = True,
        on_closed: "Callable[[BatchingSession], None] | None" = None,
    ) -> None:
        """Starts without a batch.

        Args:
          options: How batches are formed.
          session: Runs the batches; thread-safe.
          create_scheduler: Called once, with the function that processes a
            batch; returns the scheduler, which close() closes.
          clock: The scheduler's clock, by which deadlines are given.
          owns_session: Whether close() closes the session as well.
          on_closed: Called by close() when no more runs come.
        """
        self._options = options
        self._session = session
        self._owns_session = owns_session
        self._on_closed = on_closed
        self._clock = clock
        self._scheduler = create_scheduler(self._process_batch)
        self._lock = threading.Lock()
        # All below are guarded by _lock; only to look a function up, which is
        # one step for Python, needs no lock. The oldest function comes first.
        self._functions: dict[
            tuple[tuple[str, ...], tuple[str, ...]],
            batched_function.BatchedFunction,
        ] = {}
        self._runs = run_size.RunCounts()
        self._num_failed_runs = self._num_rerun_calls = 0

    def __repr__(self) -> str:
        """Returns the session that it runs, and the queue of its calls."""
        return f"<BatchingSession of {self._session}, {self._scheduler}>"

    @property
    def scheduler(
        self,
    ) -> batch_scheduler.BatchScheduler[batched_function.FunctionTask]:
        """Takes tasks of function(), from callers that want no future."""
        return self._scheduler

    def function(
        self,
        fetches: Sequence[str],
        feeds: Sequence[str],
        *,
        runs_alone: bool = False,
        takes_any_shape: bool = False,
    ) -> batched_function.BatchedFunction:
        """Returns the function from some tensors to others.

        Args:
          fetches: Names of tensors ("y:0"), of shape [rows, ...].
          feeds: Names of tensors, of shape [rows, ...].
          takes_any_shape: Whether inputs may have other shapes than the graph
            says. The first call for a function decides this and the next.
          runs_alone: Whether its calls must not be merged, for a reason that
            the shapes in the graph do not tell.

        Raises:
          PermissionDeniedError: A fetch names an operation, not a tensor: which
            ops run is not up to callers of a batch. Permanent.
          InvalidArgumentError: A name is not in the graph. Permanent.
        """
        key = (tuple(fetches), tuple(feeds))
        function = self._functions.get(key)
        if function is not None:
            return function
        _require_tensors(fetches)
        function = batched_function.BatchedFunction(
            self._session,
            fetches,
            feeds,
            self._clock,
            runs_alone=runs_alone or self._options.never_merges,
            takes_any_shape=takes_any_shape,
            pads_inputs=self._options.pad_variable_length_inputs,
        )
        with self._lock:
            while len(self._functions) >= _MAX_FUNCTIONS:
                del self._functions[next(iter(self._functions))]
            return self._functions.setdefault(key, function)

    def tensor_spec(self, name: str) -> tensor_spec.TensorSpec:
        """Returns dtype and shape of a tensor of the graph.

        Raises:
          InvalidArgumentError: The name is not in the graph. Permanent.
        """
        return self._session.tensor_spec(name)

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., list[npt.NDArray[Any]]]:
        """Returns a function that does what run() does, with feeds in order.

        Raises:
          PermissionDeniedError, InvalidArgumentError: See function().
        """
        function = self.function(fetches, feed_list)
        return lambda *feeds: self._schedule(function, feeds, math.inf).result()

    def run(
        self,
        fetches: Sequence[str],
        feed_dict: Mapping[str, npt.ArrayLike],
        *,
        deadline: float = math.inf,
    ) -> list[npt.NDArray[Any]]:
        """Returns the fetched tensors, each with as many rows as the inputs.

        Args:
          fetches: Names of tensors ("y:0"), of shape [rows, ...].
          feed_dict: Arrays of shape [rows, ...], by tensor name.
          deadline: When the result is no longer useful, in seconds of the
          clock.

        Raises:
          PermissionDeniedError: A fetch names an operation, not a tensor.
            Permanent.
          InvalidArgumentError: A name is not in the graph; the inputs do not
            fit it, have no common number of rows, or more rows than fit in a
            batch. Permanent.
          FailedPreconditionError: The outputs do not have a row for each row of
            the inputs, or the session is closed. Permanent.
          UnavailableError: Too many calls wait. Transient.
          DeadlineExceededError: The deadline came before the run. Transient.
          ServingError: What the wrapped session raised.
        """
        return self.run_async(fetches, feed_dict, deadline=deadline).result()

    def run_async(
        self,
        fetches: Sequence[str],
        feed_dict: Mapping[str, npt.ArrayLike],
        *,
        deadline: float = math.inf,
    ) -> concurrent.futures.Future[list[npt.NDArray[Any]]]:
        """Returns a future with what run() would return or raise.

        Waits for nothing but a retrier, if the scheduler is one.

        A future that is cancelled before its call runs takes the call out of
        the queue. Its callbacks are called on a batch thread, or on the one
        that watches deadlines; they must not block.

        Raises:
          PermissionDeniedError, InvalidArgumentError, UnavailableError,
            FailedPreconditionError, DeadlineExceededError: The call was not
            accepted; see run().
        """
        if isinstance(fetches, str):
            raise errors.InvalidArgumentError(
                f"fetches must be a list of names; got the text {fetches!r}"
            )
        feeds = sorted(feed_dict)
        return self._schedule(
            self.function(fetches, feeds),
            [feed_dict[name] for name in feeds],
            deadline,
        )

    def _schedule(
        self,
        function: batched_function.BatchedFunction,
        inputs: Sequence[npt.ArrayLike],
        deadline: float,
    ) -> concurrent.futures.Future[list[npt.NDArray[Any]]]:
        """Returns the future of a task that waits."""
        future: concurrent.futures.Future[list[npt.NDArray[Any]]] = (
            concurrent.futures.Future()
        )
        task = function.task(inputs, _FUTURES, deadline, context=future)
        self._scheduler.schedule(task)

        def forget(future: concurrent.futures.Future[Any]) -> None:
            if future.cancelled():
                self._scheduler.cancel(task)

        future.add_done_callback(forget)
        return future

    def statistics(self) -> Statistics:
        """Returns a snapshot."""
        scheduler = self._scheduler.statistics()
        with self._lock:
            return Statistics(
                scheduler,
                self._runs.num_rows,
                self._runs.num_padding_rows,
                self._num_failed_runs,
                self._num_rerun_calls,
                self._runs.by_size(),
            )

    def num_runs(self) -> Mapping[run_size.RunSize, int]:
        """Returns how many runs did not fail."""
        with self._lock:
            return self._runs.by_size()

    def close(self) -> None:
        """Finishes the calls that wait; closes the session if it owns it."""
        self._scheduler.close()
        if self._on_closed is not None:
            self._on_closed(self)
        if self._owns_session:
            self._session.close()

    def _process_batch(
        self, batch: batch_scheduler.Batch[batched_function.FunctionTask]
    ) -> float:
        """Runs a batch; see ProcessBatch.

        A group of tasks that fails is run again in halves, until those that are
        at fault are alone: of n tasks with one of them, that takes about
        2 log2(n) runs more.
        """
        batch.wait_until_closed()
        seconds = 0.0
        if batch.empty:
            return seconds
        taken_time = self._clock.now()
        groups = task_groups.GroupsToRun(task_groups.groups(batch.tasks))
        batch.let_go_with(groups.pop_tasks)
        while (group := groups.pop()) is not None:
            try:
                run_seconds, again = self._run(group, taken_time)
            except BaseException as error:
                lost = [*group.tasks, *groups.pop_tasks()]
                batched_function.fail_all(lost, error)
                raise
            seconds += run_seconds
            groups.push(again)
        return seconds

    def _after_failure(
        self, group: task_groups.Group, error: Exception
    ) -> list[task_groups.Group]:
        """Fails the tasks of a group, or returns its halves to run again."""
        tasks = group.tasks
        is_transient = isinstance(
            error, errors.ServingError
        ) and errors.is_transient(error)
        if (
            len(tasks) == 1
            or is_transient
            or not self._options.rerun_failed_batches
        ):
            batched_function.fail_all(tasks, error)
            return []
        if not group.is_half:
            self._record_rerun(tasks, error)
        middle = len(tasks) // 2
        return [
            task_groups.Group(half, is_half=True)
            for half in (tasks[:middle], tasks[middle:])
        ]

    def _record_rerun(
        self, tasks: batched_function.Tasks, error: Exception
    ) -> None:
        logging.warning(
            "Running %d calls again in halves; together they failed: %s",
            len(tasks),
            error,
        )
        with self._lock:
            self._num_rerun_calls += len(tasks)

    def _run(
        self, group: task_groups.Group, taken_time: float
    ) -> tuple[float, list[task_groups.Group]]:
        """Runs tasks as one.

        Returns:
          How long that took, and what has to be run again.
        """
        tasks = group.tasks
        sizes = self._options.allowed_batch_sizes
        start_time = self._clock.now()
        try:
            timing = tasks[0].function.execute(tasks, taken_time, sizes)
        except Exception as error:
            with self._lock:
                self._num_failed_runs += 1
            again = self._after_failure(group, error)
            return self._clock.now() - start_time, again
        if timing is None:
            again = task_groups.groups(tasks)
            return self._clock.now() - start_time, again
        if sizes and timing.num_rows > sizes[-1]:
            logging.error(
                "Batch size must be at most the last of allowed_batch_sizes "
                "%s; got %d. Ran it unpadded",
                list(sizes),
                timing.num_rows,
            )
        with self._lock:
            self._runs.add(timing.num_rows, timing.num_padding_rows)
        return timing.end_time - timing.start_time, []


def _require_tensors(fetches: Sequence[str]) -> None:
    for name in fetches:
        if ":" not in name:
            raise errors.PermissionDeniedError(
                "fetches of a batching session must be tensors, such as "
                f"y:0; got the operation {name}"
            )


def create_retrying_basic_batching_session(
    scheduler_options: basic_batch_scheduler.Options,
    retrier_options: batch_scheduler_retrier.Options,
    options: Options,
    session: batched_function.WrappedSession,
) -> BatchingSession:
    """Returns a batching session with threads of its own.

    Raises:
      InvalidArgumentError: The last of the allowed batch sizes is not
        max_batch_size.
    """
    options.require_max_batch_size(scheduler_options.queue.batch_size_limit)

    def create_scheduler(
        process_batch: batch_scheduler.ProcessBatch[
            batched_function.FunctionTask
        ],
    ) -> batch_scheduler.BatchScheduler[batched_function.FunctionTask]:
        return batch_scheduler_retrier.BatchSchedulerRetrier(
            retrier_options,
            basic_batch_scheduler.BasicBatchScheduler(
                scheduler_options, process_batch
            ),
        )

    return BatchingSession(options, session, create_scheduler)
