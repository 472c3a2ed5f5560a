"""Serves one export of MNIST in this process, which is a worker or alone.

Example:
    flags.adopt_module_key_flags(mnist_static_server)  # shows them in --help
    mnist_static_server.serve(export_dir, signals.Termination(), None)
"""

import contextlib
from typing import cast

from absl import flags

from tensorflow_serving.batching import batching_session
from tensorflow_serving.example import (
    mnist_batching_flags,
    mnist_classifier,
    mnist_server,
    mnist_server_flags,
    mnist_service,
)
from tensorflow_serving.rpc import call as call_lib
from tensorflow_serving.rpc import worker
from tensorflow_serving.servables.tensorflow import (
    session_bundle_config_pb2,
    session_bundle_factory,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.util import signals

_ENABLE_BATCHING = flags.DEFINE_bool(
    "enable_batching", True, "Whether to run concurrent calls as batches."
)
flags.adopt_module_key_flags(mnist_batching_flags)


def serve(
    export_dir: str,
    termination: signals.Termination,
    this_worker: worker.Worker | None,
) -> None:
    """Serves an export until a signal comes.

    A signal during the load ends the process at once, with exit code 0; an end
    that takes longer than --shutdown_grace_seconds and 2 s is cut short, with
    exit code 1.

    Args:
      export_dir: The folder of the version.
      termination: Waits for the signal.
      this_worker: The worker that this process is, which then shares the port
        with others; None if it is alone.

    Raises:
      ServingError: The export cannot be loaded, or the port is in use.
    """
    termination.end_within(mnist_server_flags.max_seconds_to_end())
    with contextlib.ExitStack() as stack:
        with termination.ending_at_once():
            mnist_classifier.prepare_process()
            factory = stack.enter_context(
                session_bundle_factory.SessionBundleFactory.create(_config())
            )
            bundle = stack.enter_context(
                factory.create_session_bundle(export_dir)
            )
            service = _service(bundle)

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


def _config() -> session_bundle_config_pb2.SessionBundleConfig:
    config = mnist_classifier.session_bundle_config()
    if _ENABLE_BATCHING.value:
        config.batching_parameters.CopyFrom(
            mnist_batching_flags.batching_parameters()
        )
    return config


def _service(
    bundle: session_bundle.SessionBundle[session.Session],
) -> call_lib.Service:
    if not _ENABLE_BATCHING.value:
        return mnist_service.MnistService(bundle).service()
    return mnist_service.AsyncMnistService.of_bundle(
        cast(
            session_bundle.SessionBundle[batching_session.BatchingSession],
            bundle,
        )
    ).service()
