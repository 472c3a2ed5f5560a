"""The flags of the access log, and the options that they make.

Example:
    flags.adopt_module_key_flags(access_log_flags)  # shows them in --help
    server.Options(addresses, log=access_log_flags.options())
"""

from collections.abc import Mapping
from typing import Any

from absl import flags

from tensorflow_serving.model_servers import access_log, access_log_lines
from tensorflow_serving.util import appended_file

_ACCESS_LOG = flags.DEFINE_enum(
    "access_log",
    "",
    ["", *(each.value for each in access_log_lines.Format)],
    "Whether each call has a line in a log, and how it looks; empty: no lines.",
)
_ACCESS_LOG_FILE = flags.DEFINE_string(
    "access_log_file",
    "",
    "File for these lines, which is made anew when it is moved. Empty: they go "
    "to standard error.",
)
_ACCESS_LOG_SAMPLING_RATE = flags.DEFINE_float(
    "access_log_sampling_rate",
    1.0,
    "The share of the calls that succeed which have a line; those that fail "
    "always have one.",
    lower_bound=0.0,
    upper_bound=1.0,
)


def options() -> access_log.Options | None:
    """Returns the options of the log; None if there is none.

    Raises:
      InvalidArgumentError: The file cannot be written. Permanent.
    """
    if not _ACCESS_LOG.value:
        return None
    path: str = _ACCESS_LOG_FILE.value
    if path:
        appended_file.require(path, _ACCESS_LOG_FILE.name)
    return access_log.Options(
        access_log_lines.Format(_ACCESS_LOG.value),
        path,
        _ACCESS_LOG_SAMPLING_RATE.value,
    )


def _is_file_used(values: Mapping[str, Any]) -> bool:
    return bool(values["access_log"]) or not values["access_log_file"]


def _is_rate_used(values: Mapping[str, Any]) -> bool:
    return bool(values["access_log"] or values["access_log_sampling_rate"] == 1)


flags.register_multi_flags_validator(
    [_ACCESS_LOG, _ACCESS_LOG_FILE],
    _is_file_used,
    "--access_log_file must be given with --access_log only",
)
flags.register_multi_flags_validator(
    [_ACCESS_LOG, _ACCESS_LOG_SAMPLING_RATE],
    _is_rate_used,
    "--access_log_sampling_rate must be given with --access_log only",
)
