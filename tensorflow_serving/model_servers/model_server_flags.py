"""The flags of the model server: those of TensorFlow Serving, and some more.

Example:
    flags.adopt_module_key_flags(model_server_flags)  # shows them in --help
"""

import enum
from collections.abc import Mapping
from typing import Any, Final

from absl import flags
from typing_extensions import override

from tensorflow_serving.rpc import server_flags

_MAX_INTERPRETERS: Final = 1024

PORT = flags.DEFINE_integer(
    "port",
    8500,
    "TCP port for gRPC; 0: none with --grpc_socket_path and one worker, "
    "otherwise one that is free, which is printed.",
    lower_bound=0,
    upper_bound=server_flags.MAX_PORT,
)
GRPC_SOCKET_PATH = flags.DEFINE_string(
    "grpc_socket_path", "", "UNIX socket for gRPC, in addition to --port."
)
NUM_WORKERS = flags.DEFINE_integer(
    "num_workers",
    1,
    "How many processes serve on the port, each with a copy of all models; one "
    "of them has the UNIX socket.",
    lower_bound=1,
)
MODEL_NAME = flags.DEFINE_string(
    "model_name",
    "default",
    "Name by which requests call the model of --model_base_path.",
)
MODEL_BASE_PATH = flags.DEFINE_string(
    "model_base_path",
    "",
    "Folder with the versions of a model, such as /models/mnist. For several "
    "models see --model_config_file.",
)
MODEL_CONFIG_FILE = flags.DEFINE_string(
    "model_config_file",
    "",
    "File with a ModelServerConfig in text format; then --model_name and "
    "--model_base_path are ignored.",
)
MODEL_CONFIG_FILE_POLL_WAIT_SECONDS = flags.DEFINE_integer(
    "model_config_file_poll_wait_seconds",
    0,
    "How often to look whether --model_config_file has changed; 0: never.",
    lower_bound=0,
)
ENABLE_BATCHING = flags.DEFINE_bool(
    "enable_batching", False, "Whether concurrent calls are run as batches."
)
BATCHING_PARAMETERS_FILE = flags.DEFINE_string(
    "batching_parameters_file",
    "",
    "File with BatchingParameters in text format; needs --enable_batching.",
)
ENABLE_PER_MODEL_BATCHING_PARAMETERS = flags.DEFINE_bool(
    "enable_per_model_batching_parameters",
    False,
    "Whether a version has BatchingParameters of its own, as "
    "batching_params.pbtxt in its folder; one without is not batched, and of "
    "--batching_parameters_file only the threads count. Wants "
    "--enable_batching.",
)
ALLOW_VERSION_LABELS_FOR_UNAVAILABLE_MODELS = flags.DEFINE_bool(
    "allow_version_labels_for_unavailable_models",
    False,
    "Whether a new label may point at a version that is not available yet.",
)
FILE_SYSTEM_POLL_WAIT_SECONDS = flags.DEFINE_float(
    "file_system_poll_wait_seconds",
    1.0,
    "How often to look for new versions; 0: only at the start; below 0: never.",
)
NUM_LOAD_THREADS = flags.DEFINE_integer(
    "num_load_threads",
    0,
    "How many versions are loaded at the same time; 0: one for each CPU, and "
    "four at least.",
    lower_bound=0,
)
NUM_UNLOAD_THREADS = flags.DEFINE_integer(
    "num_unload_threads",
    0,
    "How many versions are unloaded at the same time; 0: four.",
    lower_bound=0,
)
MAX_NUM_LOAD_RETRIES = flags.DEFINE_integer(
    "max_num_load_retries",
    5,
    "How often a load that failed for the moment is tried again.",
    lower_bound=0,
)
LOAD_RETRY_INTERVAL_MICROS = flags.DEFINE_integer(
    "load_retry_interval_micros",
    60_000_000,
    "Microseconds between two tries; below 0: none.",
)
MODEL_LOAD_TIMEOUT_SECONDS = flags.DEFINE_float(
    "model_load_timeout_seconds",
    0.0,
    "How long HandleReloadConfigRequest waits for new models; 0: for as long "
    "as it takes.",
    lower_bound=0.0,
)
MAX_MEMORY_BYTES = flags.DEFINE_integer(
    "max_memory_bytes",
    0,
    "Memory that all models may take together, by estimate; 0: no limit.",
    lower_bound=0,
)
TENSORFLOW_SESSION_PARALLELISM = flags.DEFINE_integer(
    "tensorflow_session_parallelism",
    0,
    "Threads within an operation, and between operations; 0: TensorFlow "
    "decides.",
    lower_bound=0,
)
TENSORFLOW_INTRA_OP_PARALLELISM = flags.DEFINE_integer(
    "tensorflow_intra_op_parallelism",
    0,
    "Threads within an operation; 0: TensorFlow decides.",
    lower_bound=0,
)
TENSORFLOW_INTER_OP_PARALLELISM = flags.DEFINE_integer(
    "tensorflow_inter_op_parallelism",
    0,
    "Threads between operations; 0: TensorFlow decides.",
    lower_bound=0,
)
TENSORFLOW_SESSION_CONFIG_FILE = flags.DEFINE_string(
    "tensorflow_session_config_file",
    "",
    "File with a ConfigProto in text format, for all sessions.",
)
PER_PROCESS_GPU_MEMORY_FRACTION = flags.DEFINE_float(
    "per_process_gpu_memory_fraction",
    0.0,
    "The share of GPU memory to take; 0: TensorFlow decides.",
    lower_bound=0.0,
    upper_bound=1.0,
)
MIXED_PRECISION = flags.DEFINE_enum(
    "mixed_precision",
    "",
    ["", "bfloat16"],
    "The type in which parts of graphs of float32 may run, where the CPU is "
    "faster with it; empty: as they are.",
)
# --tensorflow_session_config_file takes the place of these.
OF_SESSIONS: Final = (
    TENSORFLOW_SESSION_PARALLELISM,
    TENSORFLOW_INTRA_OP_PARALLELISM,
    TENSORFLOW_INTER_OP_PARALLELISM,
    PER_PROCESS_GPU_MEMORY_FRACTION,
)
PLATFORM_CONFIG_FILE = flags.DEFINE_string(
    "platform_config_file",
    "",
    "File with a PlatformConfigMap in text format, in the place of all flags "
    "about sessions, tags, TFLite and batching.",
)
SAVED_MODEL_TAGS = flags.DEFINE_string(
    "saved_model_tags",
    "serve",
    "Tags of the graph of a SavedModel, separated by commas.",
)
PREFER_TFLITE_MODEL = flags.DEFINE_bool(
    "prefer_tflite_model",
    False,
    "Whether a version with both a model.tflite and a SavedModel is served by "
    "the former.",
)
NUM_TFLITE_POOLS = flags.DEFINE_integer(
    "num_tflite_pools",
    0,
    "How many pools of interpreters a TFLite model has; 0: one for each CPU.",
    lower_bound=0,
    upper_bound=_MAX_INTERPRETERS,
)
NUM_TFLITE_INTERPRETERS_PER_POOL = flags.DEFINE_integer(
    "num_tflite_interpreters_per_pool",
    1,
    "How many interpreters a pool has. Each runs one call at a time, with "
    "its own copy of the weights.",
    lower_bound=1,
    upper_bound=_MAX_INTERPRETERS,
)
LOAD_OP_LIBRARIES = flags.DEFINE_list(
    "load_op_libraries",
    [],
    "Operations that are not TensorFlow's own: paths of shared libraries, or "
    "names of installed packages such as tensorflow_text.",
)
ENABLE_SERIALIZATION_AS_TENSOR_CONTENT = flags.DEFINE_bool(
    "enable_serialization_as_tensor_content",
    False,
    "Whether Predict answers with tensor_content instead of float_val and its "
    "like: the same numbers, which some clients read faster.",
)
SSL_CONFIG_FILE = flags.DEFINE_string(
    "ssl_config_file",
    "",
    "File with an SSLConfig in text format, which holds the PEM texts "
    "themselves; connections are then encrypted.",
)
GRPC_MAX_MESSAGE_BYTES = flags.DEFINE_integer(
    "grpc_max_message_bytes",
    2**31 - 1,
    "Largest request, in bytes.",
    lower_bound=1,
    upper_bound=2**31 - 1,
)
GRPC_CHANNEL_ARGUMENTS = flags.DEFINE_string(
    "grpc_channel_arguments",
    "",
    "Options of gRPC, such as grpc.max_connection_age_ms=2000,"
    "grpc.max_concurrent_streams=100.",
)
GRPC_MAX_THREADS = flags.DEFINE_integer(
    "grpc_max_threads",
    0,
    "How many calls run at the same time without batching; 0: four for each "
    "CPU.",
    lower_bound=0,
)
ENABLE_PROFILER = flags.DEFINE_bool(
    "enable_profiler",
    True,
    "Whether clients may record profiles, which this process then writes to a "
    "folder that they name.",
)
flags.adopt_module_key_flags(server_flags)
VERSION = flags.DEFINE_bool("version", False, "Prints versions and exits.")


class Check(enum.Enum):
    """How much to check before the program ends; by the values of --check."""

    NOTHING = "false"
    CONFIGURATION = "true"
    LOAD = "load"

    def __bool__(self) -> bool:
        """Returns whether to check anything."""
        return self is not Check.NOTHING


class _CheckParser(flags.ArgumentParser[Check]):
    """Reads a value of --check; without one it is "true", as of a bool."""

    @override
    def parse(self, argument: str | Check) -> Check:
        try:
            return Check(argument)
        except ValueError:
            raise ValueError("must be --check or --check=load") from None


CHECK = flags.DEFINE_flag(
    flags.Flag(
        _CheckParser(),
        None,
        "check",
        Check.NOTHING,
        "Checks flags, files and folders and exits, with 1 if something is "
        "wrong; --check=load also loads the models, and shows them.",
        boolean=True,
    )
)


def has_port() -> bool:
    """Returns whether gRPC has a port, beside the UNIX socket or without."""
    return PORT.value > 0 or not GRPC_SOCKET_PATH.value or NUM_WORKERS.value > 1


def _are_parameters_used(values: Mapping[str, Any]) -> bool:
    return values["enable_batching"] or not values["batching_parameters_file"]


def _are_own_parameters_used(values: Mapping[str, Any]) -> bool:
    return (
        values["enable_batching"]
        or not values["enable_per_model_batching_parameters"]
    )


def _is_parallelism_clear(values: Mapping[str, Any]) -> bool:
    return not all(values.values())


flags.register_multi_flags_validator(
    [ENABLE_BATCHING, BATCHING_PARAMETERS_FILE],
    _are_parameters_used,
    "--batching_parameters_file must be given with --enable_batching only",
)
flags.register_multi_flags_validator(
    [ENABLE_BATCHING, ENABLE_PER_MODEL_BATCHING_PARAMETERS],
    _are_own_parameters_used,
    "--enable_per_model_batching_parameters must be given with "
    "--enable_batching only",
)
flags.register_multi_flags_validator(
    [
        TENSORFLOW_SESSION_PARALLELISM,
        TENSORFLOW_INTRA_OP_PARALLELISM,
        TENSORFLOW_INTER_OP_PARALLELISM,
    ],
    _is_parallelism_clear,
    "--tensorflow_session_parallelism must not be given with both of "
    "--tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism",
)
