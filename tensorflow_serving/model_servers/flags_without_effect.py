"""Flags of TensorFlow Serving that change nothing here, each with the reason.

Start scripts have them, so they are accepted; a value that asks for something
else than what happens anyway gets one warning.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from absl import flags, logging

from tensorflow_serving.model_servers import model_server_flags, platform_config
from tensorflow_serving.rpc import channel_arguments
from tensorflow_serving.util import errors

_XLA: Final = "graphs run as they are, or as tf.function(jit_compile) has them"

# The values that say what happens anyway, and why others have no effect.
_REASONS: Final[Mapping[str, tuple[bool | int | str, str]]] = {
    "enable_grpc_healthcheck_service": (False, "health is always served"),
    "enable_signature_method_name_check": (
        False,
        "signatures are called by their inputs and outputs, whatever their "
        "method_name",
    ),
    "flush_filesystem_caches": (True, "there are no caches of files"),
    "remove_unused_fields_from_bundle_metagraph": (
        True,
        "only what is in use is kept of a model's graph",
    ),
    "rest_api_num_threads": (
        0,
        "one thread reads and writes for the REST API, and models run on the "
        "threads that run the calls of gRPC",
    ),
    "skip_initialize_tpu": (False, "no TPU is used"),
    "thread_pool_factory_config_file": (
        "",
        "there are no thread pool factories; see "
        "--tensorflow_session_parallelism",
    ),
    "use_alts_credentials": (
        False,
        "ALTS works within Google's cloud only, and connections are NOT "
        "ENCRYPTED by it; see --ssl_config_file",
    ),
    "xla_cpu_compilation_enabled": (False, _XLA),
    "xla_gpu_compilation_enabled": (False, _XLA),
}


def _define() -> None:
    for name, (default, reason) in _REASONS.items():
        text = f"Accepted, and without effect: {reason}."
        if isinstance(default, bool):
            flags.DEFINE_bool(name, default, text)
        elif isinstance(default, int):
            flags.DEFINE_integer(name, default, text)
        else:
            flags.DEFINE_string(name, default, text)


_define()


@flags.multi_flags_validator(
    ["use_alts_credentials", "ssl_config_file"],
    "--use_alts_credentials and --ssl_config_file must not be given together",
)
def _is_encryption_clear(values: Mapping[str, object]) -> bool:
    return not all(values.values())


# --platform_config_file takes the place of these.
_OF_PLATFORM: Final = (
    *model_server_flags.OF_SESSIONS,
    model_server_flags.TENSORFLOW_SESSION_CONFIG_FILE,
    model_server_flags.MIXED_PRECISION,
    model_server_flags.SAVED_MODEL_TAGS,
    model_server_flags.PREFER_TFLITE_MODEL,
    model_server_flags.NUM_TFLITE_POOLS,
    model_server_flags.NUM_TFLITE_INTERPRETERS_PER_POOL,
    model_server_flags.ENABLE_BATCHING,
    model_server_flags.BATCHING_PARAMETERS_FILE,
    model_server_flags.ENABLE_PER_MODEL_BATCHING_PARAMETERS,
)


def warn() -> None:
    """Logs a line for each flag that asks for something in vain."""
    for name, (default, reason) in _REASONS.items():
        if flags.FLAGS[name].value != default:
            logging.warning("--%s has no effect: %s", name, reason)
    _warn_of_parts(
        model_server_flags.GRPC_CHANNEL_ARGUMENTS,
        lambda flag: channel_arguments.without_effect(flag.value),
    )
    _warn_of_parts(
        model_server_flags.PLATFORM_CONFIG_FILE,
        platform_config.fields_without_effect,
    )
    if model_server_flags.PLATFORM_CONFIG_FILE.value:
        for flag in _OF_PLATFORM:
            if flag.present:
                logging.warning(
                    "--%s has no effect: --platform_config_file has the whole "
                    "configuration of models",
                    flag.name,
                )
    elif model_server_flags.TENSORFLOW_SESSION_CONFIG_FILE.value:
        for holder in model_server_flags.OF_SESSIONS:
            if holder.value:
                logging.warning(
                    "--%s has no effect: --tensorflow_session_config_file has "
                    "the whole configuration of sessions",
                    holder.name,
                )


def _warn_of_parts(
    flag: flags.FlagHolder[str],
    without_effect: Callable[[flags.FlagHolder[str]], Sequence[str]],
) -> None:
    """Logs a line for a flag of which some parts have no effect."""
    names: Sequence[str] = ()
    if flag.value:
        with contextlib.suppress(errors.InvalidArgumentError):  # see options
            names = without_effect(flag)
    if names:
        logging.warning(
            "--%s has no effect for %s", flag.name, ", ".join(names)
        )
