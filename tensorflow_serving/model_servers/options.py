"""Options of the server, made from its flags and the files that they name."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Final

from tensorflow_serving.batching import (
    batch_queue,
    batch_scheduler_retrier,
    batching_session,
    shared_batch_scheduler,
)
from tensorflow_serving.config import model_server_config_pb2, ssl_config_pb2
from tensorflow_serving.core import basic_manager
from tensorflow_serving.model_servers import (
    access_flags,
    access_log_flags,
    model_batching,
    model_configs,
    model_server_flags,
    platform_config,
    recording_flags,
    rest_api_flags,
    server,
    server_core,
    text_files,
    version_labels,
    warm_up_flags,
)
from tensorflow_serving.rpc import channel_arguments, server_flags
from tensorflow_serving.rpc import options as rpc_options
from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    model_warm_up,
    session_bundle_config_pb2,
)
from tensorflow_serving.tensorflow_c import op_packages
from tensorflow_serving.tensorflow_c.protos import config_pb2
from tensorflow_serving.util import errors

_NUM_CPUS: Final = os.cpu_count() or 1
# A load that hangs keeps its thread.
_MIN_LOAD_THREADS: Final = 4
_NUM_UNLOAD_THREADS: Final = 4
# Without batching there is no reason to refuse a call that waits.
_MANY: Final = 1 << 20
_THREAD_POOL_NAME: Final = "model_server_batch_threads"
# Calls are scheduled by a thread that must not wait.
_NO_RETRIES: Final = batch_scheduler_retrier.Options(max_time_micros=0)
# The defaults of today's TensorFlow Serving.
_BATCHING: Final = batch_threads.Options(
    batch_queue.QueueOptions(
        max_batch_size=1000,
        batch_timeout_micros=0,
        max_enqueued_batches=10,
    ),
    shared_batch_scheduler.Options(_NUM_CPUS, _THREAD_POOL_NAME),
    retrier=_NO_RETRIES,
)


def model_config() -> model_server_config_pb2.ModelServerConfig:
    """Returns the configuration of models that the flags name, unchecked.

    Raises:
      InvalidArgumentError: There is none, or the file is something else.
        Permanent.
      NotFoundError: There is no such file. Permanent.
      UnavailableError: It cannot be read. Transient.
    """
    if path := model_server_flags.MODEL_CONFIG_FILE.value:
        return model_configs.read(path)
    base_path = model_server_flags.MODEL_BASE_PATH.value
    if not base_path:
        raise errors.InvalidArgumentError(
            "--model_base_path must be the folder with the versions of a "
            "model, such as /models/mnist, or --model_config_file a file with "
            "several models; got neither"
        )
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(
        name=model_server_flags.MODEL_NAME.value,
        base_path=os.path.abspath(base_path),
        model_platform=model_configs.PLATFORM,
    )
    return config


def models() -> model_configs.Models:
    """Returns the models that the flags name.

    Raises:
      InvalidArgumentError: There are none, or the configuration is not valid.
        Permanent.
      NotFoundError, UnavailableError: See model_config().
    """
    return _parse(model_config())


def changed_models() -> model_configs.Models:
    """Returns the models that the flags name by now.

    A file is empty for a moment while it is written, so that is an error here.
    For no models at all it must say "model_config_list {}".

    Raises:
      InvalidArgumentError, NotFoundError, UnavailableError: See models().
    """
    config = model_config()
    if not config.ByteSize():
        raise errors.InvalidArgumentError(
            "--model_config_file must hold a model_config_list; got an empty "
            f"file: {model_server_flags.MODEL_CONFIG_FILE.value}"
        )
    return _parse(config)


def config_poll_seconds() -> float:
    """Returns how often to look for changed_models(); 0 for never.

    Without a file there is nothing that changes, and a look would take back
    what a reload has brought.
    """
    if not model_server_flags.MODEL_CONFIG_FILE.value:
        return 0.0
    return float(model_server_flags.MODEL_CONFIG_FILE_POLL_WAIT_SECONDS.value)


def server_options() -> server.Options:
    """Returns where and how the server can be called.

    Raises:
      InvalidArgumentError: A file is not what it should be; the text names the
        flag. Permanent.
    """
    return server.Options(
        _addresses(),
        max_request_bytes=model_server_flags.GRPC_MAX_MESSAGE_BYTES.value,
        max_concurrent_calls=server_flags.MAX_CONCURRENT_CALLS.value,
        channel_arguments=_channel_arguments(),
        api_key_file=access_flags.api_key_file(),
        log=access_log_flags.options(),
        ssl=_ssl_config(),
        shutdown=server_flags.shutdown(),
        can_be_profiled=model_server_flags.ENABLE_PROFILER.value,
        answers_as_content=(
            model_server_flags.ENABLE_SERIALIZATION_AS_TENSOR_CONTENT.value
        ),
        rest=rest_api_flags.options(),
    )


def core_options() -> server_core.Options:
    """Returns the options of the core.

    Raises:
      InvalidArgumentError: A file is not what it should be; the text names the
        flag. Permanent.
    """
    requested = _requested()
    interval = model_server_flags.LOAD_RETRY_INTERVAL_MICROS.value
    return server_core.Options(
        session=_session_config(requested),
        tags=tuple(requested.saved_model_tags) or server_core.Options.tags,
        batching=_batching(requested),
        manager=basic_manager.Options(
            num_load_threads=model_server_flags.NUM_LOAD_THREADS.value
            or max(_NUM_CPUS, _MIN_LOAD_THREADS),
            num_unload_threads=model_server_flags.NUM_UNLOAD_THREADS.value
            or _NUM_UNLOAD_THREADS,
            max_num_load_retries=model_server_flags.MAX_NUM_LOAD_RETRIES.value,
            load_retry_interval_micros=max(0, interval),
        ),
        file_system_poll_wait_seconds=(
            model_server_flags.FILE_SYSTEM_POLL_WAIT_SECONDS.value
        ),
        max_memory_bytes=model_server_flags.MAX_MEMORY_BYTES.value or None,
        model_load_timeout_seconds=(
            model_server_flags.MODEL_LOAD_TIMEOUT_SECONDS.value
        ),
        allows_labels_for_unavailable_models=(
            model_server_flags.ALLOW_VERSION_LABELS_FOR_UNAVAILABLE_MODELS.value
        ),
        warm_up=_warm_up(requested),
        recording=recording_flags.options(),
    )


def batching() -> model_batching.Options:
    """Returns how calls become batches.

    Raises:
      InvalidArgumentError: See core_options().
    """
    return _batching(_requested())


def require_labels(models: model_configs.Models) -> None:
    """Checks the labels of models before any version is available.

    Raises:
      FailedPreconditionError: There are some, and no flag allows them.
        Permanent.
    """
    flag = model_server_flags.ALLOW_VERSION_LABELS_FOR_UNAVAILABLE_MODELS
    version_labels.assigned(
        models, {}, lambda *_: False, allows_unavailable=flag.value
    )


def require_batching_of_version(path: str) -> None:
    """Checks the batching parameters of a version, if it may have its own.

    Raises:
      FailedPreconditionError, UnavailableError: See model_batching.of_version.
    """
    if _requested().enable_per_model_batching_params:
        model_batching.of_version(path, _BATCHING)


def session_config() -> session_bundle_config_pb2.SessionBundleConfig:
    """Returns how sessions are opened.

    Raises:
      InvalidArgumentError: See core_options().
    """
    return _session_config(_requested())


def _warm_up(
    requested: session_bundle_config_pb2.SessionBundleConfig,
) -> model_warm_up.Options | None:
    options = warm_up_flags.options() if requested.enable_model_warmup else None
    wanted = requested.model_warmup_options
    if options is None or not wanted.HasField("num_request_iterations"):
        return options
    file = model_server_flags.PLATFORM_CONFIG_FILE
    try:
        return dataclasses.replace(
            options, num_request_iterations=wanted.num_request_iterations.value
        )
    except errors.InvalidArgumentError as error:
        raise errors.InvalidArgumentError(
            f"--{file.name}: {error}: {file.value}"
        ) from None


def _requested() -> session_bundle_config_pb2.SessionBundleConfig:
    """Returns how models are loaded, by a file for all of it or by flags."""
    if model_server_flags.PLATFORM_CONFIG_FILE.value:
        return platform_config.read(model_server_flags.PLATFORM_CONFIG_FILE)
    config = session_bundle_config_pb2.SessionBundleConfig(
        session_config=_config_proto(),
        saved_model_tags=filter(
            None, model_server_flags.SAVED_MODEL_TAGS.value.split(",")
        ),
        enable_model_warmup=True,  # see warm_up_flags
        enable_per_model_batching_params=(
            model_server_flags.ENABLE_PER_MODEL_BATCHING_PARAMETERS.value
        ),
        mixed_precision=model_server_flags.MIXED_PRECISION.value,
        prefer_tflite_model=model_server_flags.PREFER_TFLITE_MODEL.value,
        num_tflite_pools=model_server_flags.NUM_TFLITE_POOLS.value,
        num_tflite_interpreters_per_pool=(
            model_server_flags.NUM_TFLITE_INTERPRETERS_PER_POOL.value
        ),
    )
    if model_server_flags.ENABLE_BATCHING.value:
        config.batching_parameters.SetInParent()
        if model_server_flags.BATCHING_PARAMETERS_FILE.value:
            text_files.read(
                model_server_flags.BATCHING_PARAMETERS_FILE,
                config.batching_parameters,
            )
    return config


def _session_config(
    requested: session_bundle_config_pb2.SessionBundleConfig,
) -> session_bundle_config_pb2.SessionBundleConfig:
    config = session_bundle_config_pb2.SessionBundleConfig()
    config.CopyFrom(requested)
    config.ClearField("batching_parameters")
    config.op_libraries.extend(_op_libraries())
    if config.mixed_precision:
        rewriters = config.session_config.graph_options.rewrite_options
        rewriters.auto_mixed_precision_onednn_bfloat16 = rewriters.ON
    return config


def _batching(
    requested: session_bundle_config_pb2.SessionBundleConfig,
) -> model_batching.Options:
    without = _without_batching()
    if not requested.HasField("batching_parameters"):
        return model_batching.Options(without)
    file = (
        model_server_flags.PLATFORM_CONFIG_FILE
        if model_server_flags.PLATFORM_CONFIG_FILE.value
        else model_server_flags.BATCHING_PARAMETERS_FILE
    )
    try:
        of_all = _BATCHING.updated(requested.batching_parameters)
    except errors.InvalidArgumentError as error:
        raise errors.InvalidArgumentError(
            f"--{file.name}: {error}: {file.value}"
        ) from None
    if not requested.enable_per_model_batching_params:
        return model_batching.Options(of_all)
    model_batching.warn_of_all_but_threads(
        requested.batching_parameters, file.value
    )
    return model_batching.Options(
        dataclasses.replace(_BATCHING, threads=of_all.threads), without
    )


def _parse(
    config: model_server_config_pb2.ModelServerConfig,
) -> model_configs.Models:
    try:
        return model_configs.parse(config)
    except errors.InvalidArgumentError as error:
        path = model_server_flags.MODEL_CONFIG_FILE.value
        raise errors.InvalidArgumentError(
            f"{error}: {path}" if path else str(error)
        ) from None


def _op_libraries() -> Sequence[str]:
    try:
        return [
            path
            for each in model_server_flags.LOAD_OP_LIBRARIES.value
            for path in op_packages.library_paths(each)
        ]
    except errors.NotFoundError as error:
        raise errors.InvalidArgumentError(
            f"--load_op_libraries must name libraries that are there: {error}"
        ) from None


def _config_proto() -> config_pb2.ConfigProto:
    if model_server_flags.TENSORFLOW_SESSION_CONFIG_FILE.value:
        return text_files.read(
            model_server_flags.TENSORFLOW_SESSION_CONFIG_FILE,
            config_pb2.ConfigProto(),
        )
    parallelism = model_server_flags.TENSORFLOW_SESSION_PARALLELISM.value
    config = config_pb2.ConfigProto(
        intra_op_parallelism_threads=(
            model_server_flags.TENSORFLOW_INTRA_OP_PARALLELISM.value
            or parallelism
        ),
        inter_op_parallelism_threads=(
            model_server_flags.TENSORFLOW_INTER_OP_PARALLELISM.value
            or parallelism
        ),
        allow_soft_placement=True,
    )
    config.gpu_options.per_process_gpu_memory_fraction = (
        model_server_flags.PER_PROCESS_GPU_MEMORY_FRACTION.value
    )
    config.gpu_options.allow_growth = True
    config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"
    return config


def _channel_arguments() -> str:
    text: str = model_server_flags.GRPC_CHANNEL_ARGUMENTS.value
    try:
        channel_arguments.applied(text, rpc_options.Options())
    except errors.InvalidArgumentError as error:
        raise errors.InvalidArgumentError(
            f"--grpc_channel_arguments: {error}"
        ) from None
    return text


def _addresses() -> tuple[str, ...]:
    addresses = []
    path = model_server_flags.GRPC_SOCKET_PATH.value
    if model_server_flags.has_port():
        addresses.append(server_flags.address(model_server_flags.PORT.value))
    if path:
        addresses.append(f"unix:{path}")
    return tuple(addresses)


def _ssl_config() -> ssl_config_pb2.SSLConfig | None:
    if not model_server_flags.SSL_CONFIG_FILE.value:
        return None
    return text_files.read(
        model_server_flags.SSL_CONFIG_FILE, ssl_config_pb2.SSLConfig()
    )


def _without_batching() -> batch_threads.Options:
    """Returns how each call is a run of its own, several at a time."""
    num_threads = model_server_flags.GRPC_MAX_THREADS.value or 4 * _NUM_CPUS
    return batch_threads.Options(
        batch_queue.QueueOptions(
            max_batch_size=1000,
            batch_timeout_micros=0,
            max_enqueued_batches=_MANY,
            runs_tasks_alone=True,
        ),
        shared_batch_scheduler.Options(num_threads, _THREAD_POOL_NAME),
        batching_session.Options(never_merges=True),
        _NO_RETRIES,
    )
