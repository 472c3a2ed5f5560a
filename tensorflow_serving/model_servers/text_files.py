"""Messages in text format, in files that flags name."""

from typing import TypeVar

from google.protobuf import message, text_format

from tensorflow_serving.util import errors

MessageT = TypeVar("MessageT", bound=message.Message)


def read(flag: str, path: str, target: MessageT) -> MessageT:
    """Reads a message in text format.

    Raises:
      InvalidArgumentError: The file cannot be read, or is something else; the
        text names flag, file and line. Permanent.
    """
    name = target.DESCRIPTOR.full_name
    try:
        with open(path, encoding="utf-8") as file:
            text_format.Parse(file.read(), target)
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InvalidArgumentError(
            f"--{flag} must be a file that can be read; got {error}"
        ) from None
    except text_format.ParseError as error:
        raise errors.InvalidArgumentError(
            f"--{flag} must be a {name} in text format; got {path}:{error}"
        ) from None
    return target
