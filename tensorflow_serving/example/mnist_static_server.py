"""Serves one export of MNIST in this process, which is a worker or alone.

Example:
    mnist_static_server.serve(
        export_dir, signals.Termination(), None, enables_batching=True
    )
"""

import contextlib

from tensorflow_serving.example import (
    mnist_batches,
    mnist_batching_flags,
    mnist_classifier,
    mnist_server,
    mnist_server_flags,
    mnist_service,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import server_flags, worker
from tensorflow_serving.servables.tensorflow import (
    process_tuning,
    session_bundle_factory,
)
from tensorflow_serving.util import signals


def serve(
    export_dir: str,
    termination: signals.Termination,
    this_worker: worker.Worker | None,
    *,
    enables_batching: bool,
) -> None:
    """Serves an export until a signal comes.

    The model is checked and warmed up before the port is opened. A signal until
    then ends the process at once, with exit code 0; an end that takes longer
    than --shutdown_grace_seconds and 2 s is cut short, with exit code 1.

    Args:
      export_dir: The folder of the version.
      termination: Waits for the signal.
      this_worker: The worker that this process is, which then shares the port
        with others; None if it is alone.
      enables_batching: Whether to run concurrent calls as batches.

    Raises:
      ServingError: The export cannot be loaded, its model cannot answer, or the
        port is in use.
    """
    termination.end_within(server_flags.shutdown().max_seconds)
    with contextlib.ExitStack() as stack:
        with termination.ending_at_once():
            process_tuning.tune()
            service = _service(
                stack, stack.enter_context(_load(export_dir)), enables_batching
            )

        def say_running(port: int) -> None:
            if this_worker:
                this_worker.ready()
            else:
                mnist_server_flags.say_running(port)

        mnist_server.serve(
            service,
            termination,
            say_running,
            reuse_port=this_worker is not None,
            heartbeat=this_worker.heartbeat if this_worker else None,
        )


def _load(export_dir: str) -> mnist_classifier.MnistClassifier:
    """Returns the model of an export, which has answered a batch."""
    config = mnist_classifier.session_bundle_config()
    with contextlib.ExitStack() as stack:
        factory = stack.enter_context(
            session_bundle_factory.SessionBundleFactory.create(config)
        )
        bundle = stack.enter_context(factory.create_session_bundle(export_dir))
        options = mnist_batching_flags.scheduler_options()
        classifier = mnist_classifier.MnistClassifier(
            bundle,
            max_batch_size=options.queue.batch_size_limit,
        )
        # The bundle is the classifier's from here on, and outlives the factory.
        stack.pop_all()
    return classifier


def _service(
    stack: contextlib.ExitStack,
    classifier: mnist_classifier.MnistClassifier,
    enables_batching: bool,
) -> call_lib.Service:
    if not enables_batching:
        return mnist_service.MnistService(classifier.classify).service()
    return stack.enter_context(
        mnist_batches.serving(
            lambda images: [classifier.classify(images)],
            [mnist_batches.SCORES],
            mnist_batching_flags.scheduler_options(),
        )
    )
