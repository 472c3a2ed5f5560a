"""Batch threads that sessions share, made from a configuration."""

import dataclasses
from typing import Any

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler,
    batch_scheduler_retrier,
    batched_function,
    batching_session,
    shared_batch_scheduler,
)
from tensorflow_serving.servables.tensorflow import session_bundle_config_pb2


@dataclasses.dataclass(frozen=True)
class Defaults:
    """The values for fields that a configuration does not set."""

    queue: batch_queue.QueueOptions = batch_queue.QueueOptions()
    threads: shared_batch_scheduler.Options = shared_batch_scheduler.Options()
    session: batching_session.Options = batching_session.Options()


class BatchThreads:
    """Threads, and what the batching sessions that they run have in common.

    Each session has a queue of its own; the threads visit the queues in turn.

    Thread-safe.
    """

    def __init__(
        self,
        parameters: session_bundle_config_pb2.BatchingParameters,
        defaults: Defaults = Defaults(),
    ) -> None:
        """Checks the parameters, then starts the threads.

        Raises:
          InvalidArgumentError: A parameter is out of range, or the last of the
            allowed batch sizes is not the maximum. Permanent.
          ResourceExhaustedError: The system has no more threads. Transient.
        """
        self._queue = _updated(
            defaults.queue,
            parameters,
            "max_batch_size",
            "batch_timeout_micros",
            "max_enqueued_batches",
            "idle_means_go",
            "enable_large_batch_splitting",
            "max_execution_batch_size",
        )
        self._retrier = _updated(
            batch_scheduler_retrier.Options(),
            parameters,
            "max_time_micros",
            "retry_delay_micros",
        )
        session = _updated(defaults.session, parameters, "rerun_failed_batches")
        self._session = dataclasses.replace(
            session,
            allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
            pad_variable_length_inputs=parameters.pad_variable_length_inputs,
        )
        self._session.require_max_batch_size(self._queue.batch_size_limit)
        self._scheduler = shared_batch_scheduler.SharedBatchScheduler(
            _updated(
                defaults.threads,
                parameters,
                "num_batch_threads",
                "thread_pool_name",
            )
        )

    def session(
        self,
        session: batched_function.WrappedSession,
        *,
        owns_session: bool = True,
    ) -> batching_session.BatchingSession:
        """Returns a batching session with its own queue.

        Args:
          session: Runs the batches.
          owns_session: See BatchingSession.

        Raises:
          FailedPreconditionError: The threads are closed. Permanent.
        """
        return batching_session.BatchingSession(
            self._session,
            session,
            self._create_queue,
            owns_session=owns_session,
        )

    def close(self) -> None:
        """Makes no more sessions; those that are open go on. Idempotent."""
        self._scheduler.close()

    def _create_queue(
        self,
        process_batch: batch_scheduler.ProcessBatch[
            batched_function.FunctionTask
        ],
    ) -> batch_scheduler.BatchScheduler[batched_function.FunctionTask]:
        return batch_scheduler_retrier.BatchSchedulerRetrier(
            self._retrier, self._scheduler.add_queue(self._queue, process_batch)
        )


def _updated(
    defaults: Any,
    parameters: session_bundle_config_pb2.BatchingParameters,
    *names: str,
) -> Any:
    """Returns options with the values of the parameters that are set."""
    return dataclasses.replace(
        defaults,
        **{
            field.name: wrapper.value
            for field, wrapper in parameters.ListFields()
            if field.name in names
        },
    )
