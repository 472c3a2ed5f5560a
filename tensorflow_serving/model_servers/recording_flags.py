"""The flags about records of calls, and the options that they make.

Example:
    flags.adopt_module_key_flags(recording_flags)  # shows them in --help
    server_core.Options(recording=recording_flags.options())
"""

import os
from collections.abc import Mapping
from typing import Any

from absl import flags

from tensorflow_serving.model_servers import (
    call_recording,
    log_files,
    model_server_flags,
    warm_up_recording,
)
from tensorflow_serving.servables.tensorflow import warm_up_requests
from tensorflow_serving.util import errors

_MAX_FILE_BYTES = flags.DEFINE_integer(
    "request_log_max_file_bytes",
    log_files.Options.max_file_bytes,
    "When a file of logged requests is complete: before it is larger; see "
    "logging_config of a model in --model_config_file.",
    lower_bound=1,
)
_MAX_FILE_SECONDS = flags.DEFINE_float(
    "request_log_max_file_seconds",
    log_files.Options.max_file_seconds,
    "After how long it is complete, however small it is.",
    lower_bound=1.0,
)
_MAX_TOTAL_BYTES = flags.DEFINE_integer(
    "request_log_max_total_bytes",
    log_files.Options.max_total_bytes,
    "How large all files with one filename_prefix may be; the oldest are "
    "deleted.",
    lower_bound=1,
)
_MODEL_WARMUP_RECORD = flags.DEFINE_integer(
    "model_warmup_record",
    0,
    "How many requests of each signature of a version to record, for later "
    "versions to replay; 0: none. Needs --model_warmup_record_path.",
    lower_bound=0,
    upper_bound=warm_up_requests.MAX_RECORDS,
)
_MODEL_WARMUP_RECORD_PATH = flags.DEFINE_string(
    "model_warmup_record_path",
    "",
    "Folder for what --model_warmup_record records.",
)


def options() -> call_recording.Options:
    """Returns which calls are recorded, and where to.

    Raises:
      InvalidArgumentError: The folder of a flag cannot be written to.
        Permanent.
    """
    warm_up = None
    if _MODEL_WARMUP_RECORD.value:
        folder = _MODEL_WARMUP_RECORD_PATH.value
        if not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
            raise errors.InvalidArgumentError(
                "--model_warmup_record_path must be a folder that can be "
                f"written to; got {folder}"
            )
        warm_up = warm_up_recording.Options(folder, _MODEL_WARMUP_RECORD.value)
    return call_recording.Options(
        log_files.Options(
            _MAX_FILE_BYTES.value,
            _MAX_FILE_SECONDS.value,
            _MAX_TOTAL_BYTES.value,
        ),
        warm_up,
    )


def _have_files_room(values: Mapping[str, Any]) -> bool:
    least = 2 * values["num_workers"] * values["request_log_max_file_bytes"]
    return bool(values["request_log_max_total_bytes"] >= least)


def _is_path_given(values: Mapping[str, Any]) -> bool:
    return bool(values["model_warmup_record"]) == bool(
        values["model_warmup_record_path"]
    )


flags.register_multi_flags_validator(
    [model_server_flags.NUM_WORKERS, _MAX_FILE_BYTES, _MAX_TOTAL_BYTES],
    _have_files_room,
    "--request_log_max_total_bytes must be at least twice "
    "--request_log_max_file_bytes, for each of --num_workers",
)
flags.register_multi_flags_validator(
    [_MODEL_WARMUP_RECORD, _MODEL_WARMUP_RECORD_PATH],
    _is_path_given,
    "--model_warmup_record and --model_warmup_record_path must be given "
    "together",
)
