"""Batch threads that sessions share, made from a configuration."""

import collections
import dataclasses
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    batch_scheduler_retrier,
    batched_function,
    batching_session,
    run_size,
    shared_batch_scheduler,
)
from tensorflow_serving.servables.tensorflow import session_bundle_config_pb2


@dataclasses.dataclass(frozen=True)
class Options:
    """How calls become batches, and the threads that run them.

    Raises:
      InvalidArgumentError: The last of the allowed batch sizes is not the
        maximum.
    """

    queue: batch_queue.QueueOptions = batch_queue.QueueOptions()
    threads: shared_batch_scheduler.Options = shared_batch_scheduler.Options()
    session: batching_session.Options = batching_session.Options()
    # How long callers of run() wait for room; schedule_all() tries once.
    retrier: batch_scheduler_retrier.Options = batch_scheduler_retrier.Options()

    def __post_init__(self) -> None:
        """Checks whether the options fit together."""
        self.session.require_max_batch_size(self.queue.batch_size_limit)

    def updated(
        self, parameters: session_bundle_config_pb2.BatchingParameters
    ) -> "Options":
        """Returns these options with the parameters that are set.

        Raises:
          InvalidArgumentError: A parameter is out of range, or does not fit the
            others. Permanent.
        """
        values: dict[str, Any] = {
            field.name: getattr(value, "value", value)
            for field, value in parameters.ListFields()
        }
        if parameters.allowed_batch_sizes:
            values["allowed_batch_sizes"] = tuple(
                parameters.allowed_batch_sizes
            )
        return Options(
            *(
                _replaced(getattr(self, field.name), values)
                for field in dataclasses.fields(self)
            )
        )


def _replaced(options: Any, values: Mapping[str, Any]) -> Any:
    """Returns options with the values that are theirs."""
    names = {field.name for field in dataclasses.fields(options)}
    return dataclasses.replace(
        options, **{name: values[name] for name in names & values.keys()}
    )


class BatchThreads:
    """Threads, and what the batching sessions that they run have in common.

    Each session has a queue of its own; the threads visit the queues in turn.

    Thread-safe.
    """

    def __init__(
        self, options: Options, on_stuck: Callable[[], None] = lambda: None
    ) -> None:
        """Starts the threads.

        Args:
          options: See Options.
          on_stuck: See SharedBatchScheduler.

        Raises:
          ResourceExhaustedError: The system has no more threads. Transient.
        """
        self.options: Final = options
        self._lock = threading.Lock()
        # Both guarded by _lock. The sessions that are open, and the runs of
        # those that were closed.
        self._sessions: set[batching_session.BatchingSession] = set()
        self._num_ended_runs: collections.Counter[run_size.RunSize] = (
            collections.Counter()
        )
        self._scheduler = shared_batch_scheduler.SharedBatchScheduler(
            options.threads, on_stuck=on_stuck
        )

    def session(
        self,
        session: batched_function.WrappedSession,
        options: Options | None = None,
        *,
        owns_session: bool = True,
    ) -> batching_session.BatchingSession:
        """Returns a batching session with its own queue.

        Args:
          session: Runs the batches.
          options: How its calls become batches, if not as those of the others;
            the threads are the same.
          owns_session: See BatchingSession.

        Raises:
          FailedPreconditionError: The threads are closed. Permanent.
        """
        own = options or self.options
        created = batching_session.BatchingSession(
            own.session,
            session,
            lambda process: self._queue(own, process),
            owns_session=owns_session,
            on_closed=self._end,
        )
        with self._lock:
            self._sessions.add(created)
        return created

    def num_runs(self) -> Mapping[run_size.RunSize, int]:
        """Returns how many runs of all sessions there ever were."""
        with self._lock:
            found = self._num_ended_runs.copy()
            for each in self._sessions:
                found.update(each.num_runs())
        return found

    def close(self) -> None:
        """Makes no more sessions; those that are open go on. Idempotent."""
        self._scheduler.close()

    def _end(self, session: batching_session.BatchingSession) -> None:
        with self._lock:
            if session in self._sessions:
                self._sessions.remove(session)
                self._num_ended_runs.update(session.num_runs())

    def _queue(
        self,
        options: Options,
        process: batch_scheduler.ProcessBatch[batched_function.FunctionTask],
    ) -> batch_scheduler.BatchScheduler[batched_function.FunctionTask]:
        queue = self._scheduler.add_queue(options.queue, process)
        if not options.retrier.max_time_micros:
            return queue
        return batch_scheduler_retrier.BatchSchedulerRetrier(
            options.retrier, queue
        )
