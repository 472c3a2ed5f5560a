"""Messages in text format, in files that people write.

Example:
    if _CONFIG_FILE.value:
        config = text_files.read(_CONFIG_FILE, config_pb2.ConfigProto())
"""

import errno
import os
import re
import stat
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
        text = read_text(path)
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


def read_text(path: str) -> str:
    """Returns the text in a file, or in a pipe that somebody writes to.

    Never waits for somebody who might open a named pipe.

    Raises:
      OSError: It cannot be read; also a pipe that nobody writes to.
      UnicodeDecodeError: It is not UTF-8.
    """
    with open(path, encoding="utf-8", opener=_open) as file:
        text = file.read()
        if not text and stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.ENODATA, "a pipe that nobody writes to")
        return text


def _open(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


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
