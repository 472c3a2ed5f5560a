"""The flags of the REST API, and the options that they make.

Example:
    flags.adopt_module_key_flags(rest_api_flags)  # shows them in --help
    server.Options(addresses, rest=rest_api_flags.options())
"""

from collections.abc import Mapping
from typing import Any, Final

from absl import flags

from tensorflow_serving.config import monitoring_config_pb2, ssl_config_pb2
from tensorflow_serving.http import options as http_options
from tensorflow_serving.model_servers import (
    access_flags,
    http_rest_api_handler,
    model_server_flags,
    rest_server,
    text_files,
)
from tensorflow_serving.rpc import server_flags
from tensorflow_serving.util import errors

_MILLISECONDS: Final = 1000

PORT = flags.DEFINE_integer(
    "rest_api_port",
    0,
    "TCP port for the REST API; 0: none.",
    lower_bound=0,
    upper_bound=server_flags.MAX_PORT,
)
_TIMEOUT_IN_MS = flags.DEFINE_integer(
    "rest_api_timeout_in_ms",
    30_000,
    "How long a call of the REST API may wait and run; 0: any time.",
    lower_bound=0,
)
_ENABLE_CORS_SUPPORT = flags.DEFINE_bool(
    "rest_api_enable_cors_support",
    False,
    "Whether web pages from other servers may call the REST API.",
)
_MAX_BODY_BYTES = flags.DEFINE_integer(
    "rest_api_max_body_bytes",
    http_options.Limits.max_body_bytes,
    "The largest body of a request to the REST API, also once it is "
    "decompressed. All bodies together may have eight times as many.",
    lower_bound=1,
)
SSL_CONFIG_FILE = flags.DEFINE_string(
    "rest_api_ssl_config_file",
    "",
    "File with an SSLConfig in text format, which holds the PEM texts "
    "themselves; connections to the REST API are then encrypted. "
    "--ssl_config_file is for gRPC alone, as in TensorFlow Serving.",
)
_ENABLE_WEB_PAGE = flags.DEFINE_bool(
    "enable_web_page",
    True,
    "Whether GET / of the REST API is a page for people, with models, calls "
    "and errors, and with forms that send requests.",
)

_BODIES: Final = 8
_MONITORING_CONFIG_FILE = flags.DEFINE_string(
    "monitoring_config_file",
    "",
    "File with a MonitoringConfig in text format, which may name another path "
    "for metrics than /metrics of the REST API.",
)
# The path of TensorFlow Serving.
_METRICS_PATH: Final = "/monitoring/prometheus/metrics"


def options() -> rest_server.Options | None:
    """Returns how the REST API can be called; None if it is off.

    Raises:
      InvalidArgumentError: A file is not what it should be. Permanent.
    """
    if not PORT.value:
        return None
    max_body_bytes = _MAX_BODY_BYTES.value
    ssl = None
    if SSL_CONFIG_FILE.value:
        ssl = text_files.read(SSL_CONFIG_FILE, ssl_config_pb2.SSLConfig())
    return rest_server.Options(
        server_flags.address(PORT.value),
        http_rest_api_handler.Options(
            timeout_seconds=_TIMEOUT_IN_MS.value / _MILLISECONDS,
            enables_cors=_ENABLE_CORS_SUPPORT.value,
            asks_for_keys=bool(access_flags.API_KEY_FILE.value),
        ),
        http_options.Limits(
            max_body_bytes=max_body_bytes,
            max_total_body_bytes=_BODIES * max_body_bytes,
            max_concurrent_requests=server_flags.MAX_CONCURRENT_CALLS.value,
        ),
        ssl,
        metrics_paths=_metrics_paths(),
        num_processes=model_server_flags.NUM_WORKERS.value,
        has_web_page=_ENABLE_WEB_PAGE.value,
    )


def _metrics_paths() -> tuple[str, ...]:
    default = rest_server.Options.metrics_paths
    if not _MONITORING_CONFIG_FILE.value:
        return default
    config = text_files.read(
        _MONITORING_CONFIG_FILE, monitoring_config_pb2.MonitoringConfig()
    ).prometheus_config
    if not config.enable:
        return default
    path = config.path or _METRICS_PATH
    if not path.startswith("/"):
        raise errors.InvalidArgumentError(
            "--monitoring_config_file must have a path that begins with /; "
            f"got {path}: {_MONITORING_CONFIG_FILE.value}"
        )
    return (*default, path)


def _are_ports_different(values: Mapping[str, Any]) -> bool:
    return not values["port"] or values["port"] != values["rest_api_port"]


flags.register_multi_flags_validator(
    [model_server_flags.PORT, PORT],
    _are_ports_different,
    "--rest_api_port must be another port than --port",
)
