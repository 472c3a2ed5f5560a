"""The kind of a file, such as a folder, for texts of errors."""

import stat


def describe(mode: int) -> str:
    """Returns what a file is, such as "a folder".

    Args:
      mode: Its st_mode.
    """
    if stat.S_ISREG(mode):
        return "a file"
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
