"""A model server of several processes: the one that keeps them, and the others.

Example:
    this_worker = worker.Worker.from_environment()
    if this_worker is None:
        return supervision.supervise(termination, on_ready)
    with contextlib.ExitStack() as stack:
        served = supervision.join(this_worker, stack)
        ...serve served.core and served.models on served.options.addresses...
"""

import contextlib
import dataclasses
import signal
from collections.abc import Callable
from typing import Final

from absl import logging

from tensorflow_serving.model_servers import (
    all_workers,
    metrics_rounds,
    model_configs,
    model_server_flags,
    options,
    served_models,
    server,
    server_core,
    worker_memory,
    worker_notes,
)
from tensorflow_serving.resources import machine_memory
from tensorflow_serving.rpc import (
    board_hub,
    server_flags,
    shared_port,
    supervisor,
    worker,
    worker_board,
    worker_process,
)
from tensorflow_serving.servables.tensorflow import model_bundle_factory
from tensorflow_serving.util import errors, signals

# The worker that has the UNIX socket, and polls the configuration file.
_FIRST: Final = 0


def supervise(
    termination: signals.Termination,
    on_ready: Callable[[server.Options, int], None],
) -> int:
    """Keeps workers until a signal comes; returns the exit code.

    SIGHUP is for one of them: the configuration that it reads is for all.

    Args:
      termination: Waits for the signal.
      on_ready: Called with options and the port once all workers answer calls.

    Raises:
      ServingError: The flags, or a file that they name, are not valid.
      ResourceExhaustedError: The models do not fit into the memory.
      UnavailableError: The port cannot be taken.
    """
    with contextlib.ExitStack() as stack:
        with termination.ending_at_once():
            server_options = options.server_options()
            models = _checked_models()
        address = server_flags.address(model_server_flags.PORT.value)
        port = _held("port", address, stack)
        if server_options.rest is not None:
            _held("rest_api_port", server_options.rest.address, stack)
        num_workers = model_server_flags.NUM_WORKERS.value
        rounds = stack.enter_context(metrics_rounds.MetricsRounds(num_workers))
        workers = stack.enter_context(
            supervisor.Supervisor(
                worker_process.own_command([f"--port={port}"]),
                supervisor.Options(num_workers),
                termination,
                board=board_hub.BoardHub(
                    {worker_notes.CONFIG: worker_notes.pack(models)}, rounds
                ),
            )
        )
        termination.call_on_hangup(lambda: _hang_up(workers))
        return workers.run(
            lambda: on_ready(server_options, port),
            server_options.shutdown.seconds_with_calls,
        )


@dataclasses.dataclass(frozen=True)
class Member:
    """The part of one process in a server."""

    # The models in this process, and those of all processes.
    core: server_core.ServerCore
    models: served_models.ServedModels
    options: server.Options
    # How often to read the configuration file, which one process does; 0:
    # never.
    poll_seconds: float
    # The board of all processes; None if this one is alone.
    board: worker_board.WorkerBoard | None = None


def alone(stack: contextlib.ExitStack) -> Member:
    """Returns the whole server in this process.

    Args:
      stack: Unloads the models when it is closed.
    """
    core = stack.enter_context(
        server_core.ServerCore(options.core_options(), options.models())
    )
    return Member(
        core, core, options.server_options(), options.config_poll_seconds()
    )


def join(this_worker: worker.Worker, stack: contextlib.ExitStack) -> Member:
    """Joins the other workers; returns once this one may be called.

    Args:
      this_worker: This process.
      stack: Leaves them when it is closed.
    """
    stack.enter_context(this_worker)
    board = stack.enter_context(worker_board.WorkerBoard.from_environment())
    core_options = options.core_options()
    core = stack.enter_context(
        server_core.ServerCore(
            core_options,
            all_workers.first_models(board),
            is_one_of_several=True,
        )
    )
    models = stack.enter_context(
        all_workers.AllWorkers(
            core,
            board,
            model_server_flags.NUM_WORKERS.value,
            core_options.model_load_timeout_seconds,
        )
    )
    models.catch_up()
    is_first = board.number == _FIRST
    return Member(
        core,
        models,
        _options(this_worker, is_first),
        options.config_poll_seconds() if is_first else 0,
        board,
    )


def _options(this_worker: worker.Worker, is_first: bool) -> server.Options:
    """Returns the part of one worker in the options of all."""
    found = options.server_options()
    addresses = tuple(
        each
        for each in found.addresses
        if is_first or not each.startswith("unix:")
    )
    rest = found.rest and dataclasses.replace(found.rest, reuse_port=True)
    return dataclasses.replace(
        found,
        addresses=addresses,
        reuse_port=True,
        heartbeat=this_worker.heartbeat,
        rest=rest,
    )


def _held(flag: str, address: str, stack: contextlib.ExitStack) -> int:
    """Takes a port for all workers; returns it."""
    try:
        port = shared_port.SharedPort(address)
    except errors.UnavailableError as error:
        raise errors.UnavailableError(
            f"--{flag} must be a free port, and --host an address of this "
            f"machine; {error}"
        ) from None
    return stack.enter_context(port).port


def _checked_models() -> model_configs.Models:
    """Returns the first models; see supervise() for what it raises."""
    models = options.models()
    options.require_labels(models)
    require_memory(models)
    return models


def require_memory(models: model_configs.Models) -> None:
    """Checks that all workers fit into the memory; see worker_memory."""
    config = options.core_options().session
    # This process loads no TensorFlow.
    config.ClearField("op_libraries")
    with model_bundle_factory.ModelBundleFactory(config) as factory:
        worker_memory.require(
            model_server_flags.NUM_WORKERS.value,
            models,
            factory.estimate_resource_requirement,
            machine_memory.total_bytes(),
        )


def _hang_up(workers: supervisor.Supervisor) -> None:
    if not workers.send_to_one(signal.SIGHUP):
        logging.warning(
            "SIGHUP must come when a worker is ready; the configuration is not "
            "read"
        )
