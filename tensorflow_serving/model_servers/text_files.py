"""Messages in text format, in files that people write.

Example:
    if _CONFIG_FILE.value:
        config = text_files.read(_CONFIG_FILE, config_pb2.ConfigProto())
"""

import re
from typing import Final, TypeVar

from absl import flags
from google.protobuf import message, text_format

from tensorflow_serving.util import errors

MessageT = TypeVar("MessageT", bound=message.Message)

# The parser quotes the line that it is in, or the rest of a text without an
# end: that may be long, or hold a key.
_QUOTED_LINE: Final = re.compile(r"^(\d+:\d+ : )'.*': ", re.DOTALL)
_QUOTED_REST: Final = re.compile(r": '.*'$", re.DOTALL)


def read(flag: flags.FlagHolder[str], target: MessageT) -> MessageT:
    """Returns a message with what the file of a flag says.

    Args:
      flag: The flag, which is given.
      target: An empty message, which is filled.

    Raises:
      InvalidArgumentError: The file cannot be read, or is something else; the
        text names flag, file and line. Permanent.
    """
    path = flag.value
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InvalidArgumentError(
            f"--{flag.name} must be a file that can be read; got {path} "
            f"({errors.reason(error)})"
        ) from None
    try:
        return parse(path, text, target)
    except errors.InvalidArgumentError as error:
        raise errors.InvalidArgumentError(
            f"--{flag.name} must be a {target.DESCRIPTOR.full_name} in text "
            f"format; got {error}"
        ) from None


def parse(path: str, text: str, target: MessageT) -> MessageT:
    """Returns a message with what a text says.

    Args:
      path: The path of the file, for the error.
      text: The content of the file.
      target: An empty message, which is filled.

    Raises:
      InvalidArgumentError: The text is something else; the error has path, line
        and column, and the field if there is no such one. Permanent.
    """
    try:
        return text_format.Parse(text, target)
    except text_format.ParseError as error:
        reason = _QUOTED_LINE.sub(r"\1", str(error))
        reason = _QUOTED_REST.sub("", reason)
        raise errors.InvalidArgumentError(f"{path}:{reason}") from None
