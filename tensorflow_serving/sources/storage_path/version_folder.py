"""The folders of versions below a base path, and their files.

Storage that makes trouble must never look like storage that is empty, as then
everything would be unloaded. So what cannot be read is an error here: of the
base path if its list cannot be had, else of one version.
"""

import errno
import os
import re
import stat
import types
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tensorflow_serving.util import errors, storage_errors, version_name

# Every file, but not what file systems and tools leave behind.
ANY_FILE: Final = re.compile(r"(?!\.|lost\+found/).*")

# A folder without versions is described by this many of its names.
_MAX_OTHER_NAMES = 3
# Files that are in the folder of a version, and never in a base path.
_MAIN_FILES = (
    "export.meta",
    "saved_model.pb",
    "saved_model.pbtxt",
    "model.tflite",
)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class FileState(NamedTuple):
    """The attributes that change when somebody writes or replaces a file.

    Neither the time of the last change of its attributes nor the count of its
    links: a backup or a chmod changes those.
    """

    size_bytes: int
    mtime_ns: int
    inode: int = 0


# The states of files below the folder of a version, by their paths relative to
# it, with "/" between the parts. Two equal Contents describe identical files.
Contents = Mapping[str, FileState]


class Versions(NamedTuple):
    """The versions below a base path."""

    # The path of the folder of each version.
    paths: Mapping[int, str]
    # The paths of more folders with the same number, sorted.
    duplicates: Mapping[int, Sequence[str]] = types.MappingProxyType({})
    # A sentence on what is there in place of versions; "" if nothing is.
    hint: str = ""


def find_versions(base_path: str) -> Versions:
    """Returns the folders whose names are whole decimal numbers.

    A number may have leading zeros and is below 2**63. Of names with the same
    number the first one in alphabetical order, which has more zeros, is the one
    of that version, and the others are duplicates.
    An entry that cannot be looked at is among them: scan() says what is wrong.

    Raises:
      InvalidArgumentError: There is no folder with that path. Permanent, but
        for storage that is not mounted yet.
      UnavailableError: The folder cannot be read. Transient.
    """
    numbers: dict[str, int] = {}
    others: list[str] = []
    try:
        with os.scandir(base_path) as entries:
            for entry in entries:
                number = version_name.parse(entry.name)
                if number is not None and _may_be_folder(entry):
                    numbers[entry.name] = number
                else:
                    others.append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        raise errors.InvalidArgumentError(
            f"base path must be a folder; got none: {base_path}"
        ) from None
    except OSError as error:
        raise errors.UnavailableError(
            f"base path must be readable; got {error}"
        ) from None
    paths: dict[int, str] = {}
    duplicates: dict[int, list[str]] = {}
    for name in sorted(numbers):
        if numbers[name] in paths:
            duplicates.setdefault(numbers[name], []).append(
                os.path.join(base_path, name)
            )
        else:
            paths[numbers[name]] = os.path.join(base_path, name)
    return Versions(paths, duplicates, "" if paths else _hint(others))


def scan(path: str, parts: re.Pattern[str] = ANY_FILE) -> Contents:
    """Returns the files of a version that matter. Links are followed.

    A file that vanishes meanwhile, or a link to nothing or to itself, is no
    file; nor is a named pipe, a socket or a device.

    Args:
      path: The folder of the version.
      parts: Matches the relative paths of the files that matter, and those of
        their folders with "/" at the end. Nothing else is looked at.

    Raises:
      NotFoundError: The folder is gone. Permanent.
      UnavailableError: Something cannot be read. Transient.
    """
    contents: dict[str, FileState] = {}
    try:
        _scan_folder(path, "", parts, contents, ())
    except (FileNotFoundError, NotADirectoryError):
        raise errors.NotFoundError(
            f"version must be a folder; got none: {path}"
        ) from None
    except OSError as error:
        raise storage_errors.unreadable(error) from None
    return contents


def _may_be_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or cannot be looked at."""
    try:
        return entry.is_dir()
    except OSError:
        return True


def _hint(names: list[str]) -> str:
    main_file = next((each for each in _MAIN_FILES if each in names), None)
    if main_file is not None:
        return (
            f"It holds {main_file}, so it is a version; give the folder that "
            "it is in"
        )
    shown = sorted(name for name in names if not name.startswith("."))
    if not shown:
        return ""
    return (
        f"It holds {', '.join(map(ascii, shown[:_MAX_OTHER_NAMES]))}"
        f"{' and more' if len(shown) > _MAX_OTHER_NAMES else ''}, but versions "
        "are folders named by whole numbers, such as 1"
    )


def _scan_folder(
    path: str,
    prefix: str,
    parts: re.Pattern[str],
    contents: dict[str, FileState],
    parents: tuple[tuple[int, int], ...],
) -> None:
    """Adds the files of a folder; skips links to one of its parents."""
    status = os.stat(path)
    key = (status.st_dev, status.st_ino)
    if key in parents:
        return
    for name in os.listdir(path):
        relative = prefix + name
        is_part = parts.fullmatch(relative) is not None
        if not is_part and parts.fullmatch(f"{relative}/") is None:
            continue
        child = f"{path}/{name}"
        try:
            # Not what a listing knows: some systems give it old values.
            status = os.stat(child)
            if stat.S_ISDIR(status.st_mode):
                if parts.fullmatch(f"{relative}/") is not None:
                    _scan_folder(
                        child, f"{relative}/", parts, contents, (*parents, key)
                    )
            elif stat.S_ISREG(status.st_mode) and is_part:
                contents[relative] = FileState(
                    status.st_size, status.st_mtime_ns, status.st_ino
                )
        except OSError as error:
            if error.errno not in _GONE:
                raise
