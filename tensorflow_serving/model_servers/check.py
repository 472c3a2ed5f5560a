"""Checks a configuration before a server is started with it.

    tensorflow_model_server --check --model_config_file=/etc/models.config

says what is wrong with flags, files and folders, a line for each, and loads
nothing; --check=load also loads the models, and shows them as a table.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence

from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import (
    model_configs,
    model_server_flags,
    options,
    rest_server,
    server_core,
    ssl_files,
    supervision,
    trial_load,
)
from tensorflow_serving.rpc import listener, server_flags, shutdown
from tensorflow_serving.sources.storage_path import version_folder
from tensorflow_serving.util import errors


def run(check: model_server_flags.Check) -> int:
    """Checks what the flags say; returns the exit code of the program."""
    problems = list(dict.fromkeys(_problems()))
    if not problems and check is model_server_flags.Check.LOAD:
        return _load()
    if not problems:
        names = model_configs.names(options.models())
        print(f"The configuration is valid; its models are {names}")
    return _report(problems)


def _report(problems: Sequence[str]) -> int:
    for problem in problems:
        print(f"ERROR: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _load() -> int:
    """Loads the models and prints what they offer; returns the exit code."""
    models = options.models()
    with trial_load.TrialLoad(options.core_options(), models) as trial:
        trial.wait([each for model in models for each in _ids(model)])
        print(trial.table(), flush=True)
        exit_code = _report([*trial.problems()])
        if trial.is_loading:
            # It would keep the process for as long as it likes.
            shutdown.leave(exit_code)
    return exit_code


def _problems() -> Iterator[str]:
    """Yields what is wrong; the same may come twice."""
    for require in (
        options.batching,
        options.session_config,
        _require_core,
        _require_server,
        _require_host,
        _require_socket,
    ):
        yield from _problem_of(require)
    try:
        config = options.model_config()
    except errors.ServingError as error:
        yield str(error)
        return
    problems = model_configs.problems(config)
    path = model_server_flags.MODEL_CONFIG_FILE.value
    for problem in problems:
        yield f"{problem}: {path}" if path else problem
    if not problems:
        models = options.models()
        yield from _problem_of(lambda: options.require_labels(models))
        if model_server_flags.NUM_WORKERS.value > 1:
            yield from _problem_of(lambda: supervision.require_memory(models))
        for model in models:
            yield from _problems_of_log(model)
            yield from _problems_of_model(model)


def _problem_of(require: Callable[[], object]) -> Iterator[str]:
    try:
        require()
    except errors.ServingError as error:
        yield str(error)


def _require_core() -> None:
    """Has a core without models take all options of cores."""
    server_core.ServerCore(options.core_options(), ()).close()


def _require_server() -> None:
    server_options = options.server_options()
    if server_options.ssl is not None:
        with ssl_files.tls_options(server_options.ssl):
            pass
    rest = server_options.rest
    if rest is not None and rest.ssl is not None:
        with ssl_files.tls_options(rest.ssl, rest_server.SSL_FLAG):
            pass


def _require_host() -> None:
    """Takes another port: this one may be that of a server that runs."""
    try:
        listener.Listener(server_flags.address(0)).close()
    except (OSError, ValueError) as error:
        raise errors.InvalidArgumentError(
            "--host must be a name or an address of this machine; got "
            f"{server_flags.HOST.value} ({errors.reason(error)})"
        ) from None


def _require_socket() -> None:
    path = model_server_flags.GRPC_SOCKET_PATH.value
    folder = os.path.dirname(path) or "."
    if not path or (
        len(os.fsencode(path)) <= listener.MAX_PATH_BYTES
        and os.access(folder, os.W_OK)
    ):
        return
    raise errors.InvalidArgumentError(
        "--grpc_socket_path must be a path of at most "
        f"{listener.MAX_PATH_BYTES} bytes in a folder that can be written to; "
        f"got {path}"
    )


def _problems_of_log(model: model_configs.ModelConfig) -> Iterator[str]:
    """Yields why calls of a model cannot be logged."""
    if model.logging is not None and not os.access(
        model.logging.folder, os.W_OK
    ):
        yield (
            f"model {model.name}: filename_prefix must be in a folder that can "
            f"be written to; got none: {model.logging.folder}"
        )


def _problems_of_model(model: model_configs.ModelConfig) -> Iterator[str]:
    """Yields what is wrong with the versions of a model that are wanted."""
    try:
        found = version_folder.find_versions(model.base_path).paths
        wanted = model_configs.wanted_versions(model.version_policy, found)
    except errors.ServingError as error:
        yield f"model {model.name}: {error}"
        return
    if not found:
        yield (
            f"model {model.name}: base path must hold a version, a folder such "
            f"as 00000001; got none: {model.base_path}"
        )
    check = model.monitored.version_check
    for version in wanted:
        try:
            path = found[version]
            check(path, version_folder.scan(path, check.parts))
            options.require_batching_of_version(path)
        except KeyError:
            yield (
                f"model {model.name}: version {version} must be a folder of "
                f"the base path; got none: {model.base_path}"
            )
        except errors.ServingError as error:
            yield f"model {model.name}: {error}"


def _ids(model: model_configs.ModelConfig) -> Iterator[servable.ServableId]:
    """Yields the versions that a server loads of a model."""
    found = version_folder.find_versions(model.base_path).paths
    for version in model_configs.wanted_versions(model.version_policy, found):
        yield servable.ServableId(model.name, version)
