"""What is below a base path: the folders of versions, and their files.

Storage that makes trouble must never look like storage that is empty, as then
everything would be unloaded. So what cannot be read is an error here.
"""

import dataclasses
import os
import stat
from collections.abc import Mapping

from tensorflow_serving.util import errors

_MAX_VERSION = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class FileState:
    """What changes when somebody writes a file, or replaces it.

    No inode: on storage in the cloud it may be another one at each look.
    """

    size_bytes: int
    mtime_ns: int


# Of every file below the folder of a version, by its path relative to it, with
# "/" between the parts. Contents that are equal are of files that are the same.
Contents = Mapping[str, FileState]


@dataclasses.dataclass(frozen=True)
class Versions:
    """The versions below a base path."""

    # The path of the folder of each version.
    paths: Mapping[int, str]
    # Names of folders that lost against one with the same number, sorted.
    duplicates: tuple[str, ...] = ()


def find_versions(base_path: str) -> Versions:
    """Returns the folders whose names are whole decimal numbers.

    A number may have leading zeros and is below 2**63. Of names with the same
    number the first one in alphabetical order wins: the one with more zeros.

    Raises:
      InvalidArgumentError: There is no folder with that path. Permanent, but
        for storage that is not mounted yet.
      UnavailableError: The folder cannot be read. Transient.
    """
    try:
        with os.scandir(base_path) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.name.isascii()
                and entry.name.isdecimal()
                and int(entry.name) <= _MAX_VERSION
                and entry.is_dir()
            )
    except (FileNotFoundError, NotADirectoryError):
        raise errors.InvalidArgumentError(
            f"base path must be a folder; got none: {base_path}"
        ) from None
    except OSError as error:
        raise errors.UnavailableError(
            f"base path must be readable; got {error}"
        ) from None
    paths: dict[int, str] = {}
    duplicates = []
    for name in names:
        if int(name) in paths:
            duplicates.append(name)
        else:
            paths[int(name)] = os.path.join(base_path, name)
    return Versions(paths, tuple(duplicates))


def scan(path: str) -> Contents:
    """Returns the files of a version. Links are followed.

    A file that vanishes meanwhile, or a link to nothing, is no file.

    Raises:
      NotFoundError: The folder is gone. Permanent.
      UnavailableError: Something cannot be read. Transient.
    """
    contents: dict[str, FileState] = {}
    try:
        _scan_folder(path, "", contents, ())
    except (FileNotFoundError, NotADirectoryError):
        raise errors.NotFoundError(
            f"version must be a folder; got none: {path}"
        ) from None
    except OSError as error:
        raise errors.UnavailableError(
            f"files of a version must be readable; got {error}"
        ) from None
    return contents


def _scan_folder(
    path: str,
    prefix: str,
    contents: dict[str, FileState],
    parents: tuple[tuple[int, int], ...],
) -> None:
    """Adds the files of a folder; skips links to one of its parents."""
    status = os.stat(path)
    key = (status.st_dev, status.st_ino)
    if key in parents:
        return
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                # Not entry.stat(): some systems give it old values.
                status = os.stat(entry.path)
                if stat.S_ISDIR(status.st_mode):
                    _scan_folder(
                        entry.path,
                        f"{prefix}{entry.name}/",
                        contents,
                        (*parents, key),
                    )
                    continue
            except (FileNotFoundError, NotADirectoryError):
                continue
            contents[prefix + entry.name] = FileState(
                status.st_size, status.st_mtime_ns
            )
