"""The flags about who may call the model server.

Example:
    flags.adopt_module_key_flags(access_flags)  # shows them in --help
    server.Options(addresses, api_key_file=access_flags.api_key_file())
"""

from absl import flags

from tensorflow_serving.model_servers import api_keys
from tensorflow_serving.util import api_key_file as file_lib

API_KEY_FILE = flags.DEFINE_string(
    api_keys.FLAG,
    "",
    "File with API keys, a line each. Every call, of gRPC and of the REST API, "
    "then needs one of them, but for those that ask for health. The file is "
    "read again when it changes. Empty: callers need no key.",
)


def api_key_file() -> str:
    """Returns the path of the file, which holds keys; or an empty text.

    Raises:
      InvalidArgumentError: See api_key_file.read(). Permanent.
    """
    path: str = API_KEY_FILE.value
    if path:
        file_lib.read(path, api_keys.FLAG)
    return path
