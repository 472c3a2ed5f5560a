"""Warns when API keys can be read by those who should not have them."""

from collections.abc import Iterator

from absl import logging

from tensorflow_serving.model_servers import (
    access_flags,
    model_server_flags,
    rest_api_flags,
)
from tensorflow_serving.rpc import client_channel, server_flags
from tensorflow_serving.util import api_key_file


def warn() -> None:
    """Logs warnings, at most two, if the flags leave keys in clear."""
    path = access_flags.API_KEY_FILE.value
    if not path:
        return
    if api_key_file.is_readable_by_others(path):
        logging.warning(
            "--api_key_file should be a file that only the user of the server "
            "can read; all users of this machine can read %s",
            path,
        )
    if ports := list(_ports_in_clear()):
        logging.warning(
            "API keys go over the network in clear on %s; encrypt them with "
            "--ssl_config_file and --rest_api_ssl_config_file, or listen on "
            "--host=localhost behind a proxy that encrypts",
            " and ".join(ports),
        )


def _ports_in_clear() -> Iterator[str]:
    """Yields the ports that others can reach, and that are not encrypted."""
    if client_channel.is_local(server_flags.address(0)):
        return
    if model_server_flags.has_port() and not (
        model_server_flags.SSL_CONFIG_FILE.value
    ):
        yield f"--{model_server_flags.PORT.name}"
    if rest_api_flags.PORT.value and not rest_api_flags.SSL_CONFIG_FILE.value:
        yield f"--{rest_api_flags.PORT.name}"
