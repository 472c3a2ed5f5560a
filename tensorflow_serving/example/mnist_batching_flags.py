"""The flags that control how a server of MnistService batches calls.

Example:
    flags.adopt_module_key_flags(mnist_batching_flags)  # shows them in --help
    basic_batch_scheduler.BasicBatchScheduler(
        mnist_batching_flags.scheduler_options(), process_batch
    )

Imports nothing that serves, so that a supervisor stays small.
"""

import os

from absl import flags

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batch_queue,
    shared_batch_scheduler,
)

MAX_BATCH_SIZE = flags.DEFINE_integer(
    "max_batch_size", 64, "Largest number of images in a batch.", lower_bound=1
)
BATCH_TIMEOUT_MICROS = flags.DEFINE_integer(
    "batch_timeout_micros",
    batch_queue.QueueOptions.batch_timeout_micros,
    "How long the first image of a batch waits for others; 0: not at all.",
    lower_bound=0,
)
IDLE_MEANS_GO = flags.DEFINE_bool(
    "idle_means_go",
    True,
    "Whether a batch thread with nothing else to do takes what waits, instead "
    "of waiting for --batch_timeout_micros.",
)
MAX_ENQUEUED_BATCHES = flags.DEFINE_integer(
    "max_enqueued_batches",
    64,
    "How many batches may wait for a batch thread; calls beyond that are "
    "refused with UNAVAILABLE.",
    lower_bound=1,
)
NUM_BATCH_THREADS = flags.DEFINE_integer(
    "num_batch_threads",
    os.cpu_count() or 1,
    "How many batches run at the same time, each on one thread.",
    lower_bound=1,
)

_THREAD_POOL_NAME = "mnist_service_batch_threads"


def scheduler_options() -> basic_batch_scheduler.Options:
    """Returns what the flags say, for a batch scheduler."""
    return basic_batch_scheduler.Options(
        batch_queue.QueueOptions(
            max_batch_size=MAX_BATCH_SIZE.value,
            batch_timeout_micros=BATCH_TIMEOUT_MICROS.value,
            max_enqueued_batches=MAX_ENQUEUED_BATCHES.value,
            idle_means_go=IDLE_MEANS_GO.value,
        ),
        shared_batch_scheduler.Options(
            num_batch_threads=NUM_BATCH_THREADS.value,
            thread_pool_name=_THREAD_POOL_NAME,
        ),
    )
