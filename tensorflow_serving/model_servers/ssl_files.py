"""The files that Python's ssl needs, from the texts of an SSLConfig.

Example:
    with ssl_files.tls_options(config) as options:
        Server(address, services, Options(tls=options))
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from tensorflow_serving.config import ssl_config_pb2
from tensorflow_serving.rpc import options as options_lib
from tensorflow_serving.rpc import tls
from tensorflow_serving.util import errors


@contextlib.contextmanager
def tls_options(
    config: ssl_config_pb2.SSLConfig, flag: str = "ssl_config_file"
) -> Iterator[options_lib.TlsOptions]:
    """Yields files with the texts of a config; only this user can read them.

    Args:
      config: The configuration of a server.
      flag: The flag that named it, for errors.

    Raises:
      InvalidArgumentError: A text is missing, or is not what it should be; the
        error names the flag and the field. Permanent.
    """
    if not config.server_key or not config.server_cert:
        raise errors.InvalidArgumentError(
            f"--{flag} must have a server_key and a server_cert, as "
            "texts in PEM format; one of them is empty"
        )
    if config.client_verify and not config.custom_ca:
        raise errors.InvalidArgumentError(
            f"--{flag} must have a custom_ca, the issuers of the "
            "certificates of clients, with client_verify"
        )
    with tempfile.TemporaryDirectory() as folder:
        options = options_lib.TlsOptions(
            _write(folder, "server_key", config.server_key),
            _write(folder, "server_cert", config.server_cert),
            _write(folder, "custom_ca", config.custom_ca)
            if config.client_verify
            else "",
        )
        _require_usable(options, flag)
        yield options


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _require_usable(options: options_lib.TlsOptions, flag: str) -> None:
    """Names the fields where ssl would name files that are gone soon."""
    for rule, part in (
        (
            "a key without a password as server_key, and its certificate as "
            "server_cert, both in PEM format",
            options_lib.TlsOptions(
                options.private_key_file, options.certificate_chain_file
            ),
        ),
        ("certificates in PEM format as custom_ca", options),
    ):
        try:
            tls.create_context(part)
        except errors.InvalidArgumentError:
            raise errors.InvalidArgumentError(
                f"--{flag} must have {rule}; got something else"
            ) from None
