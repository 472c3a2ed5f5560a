"""The folder of a version while it is written, published and deleted.

Any number of processes on any number of machines may work below one folder, on
any file system with an atomic rename: each writes to an unfinished folder with
a name of its own, and there are no locks.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from typing import Final

from absl import logging

from tensorflow_serving.session_bundle import constants, gc
from tensorflow_serving.util import errors, version_name

# An unfinished folder in which nothing was written for so long is left by a
# process that was killed.
ABANDONED_SECONDS: Final = 6 * 3600

_UNFINISHED_NAME = re.compile(
    rf"[0-9]{{8,}}(\.[0-9a-f]+)?{constants.UNFINISHED_SUFFIX}"
)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# File systems that cannot sync a folder say so with these.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


def path_of(base: str | os.PathLike[str], version: int) -> str:
    """Returns the absolute path of the folder of a version.

    Raises:
      InvalidArgumentError: No loader would take the version, or the path is not
        one of a file system.
    """
    errors.require_at_least(0, version=version)
    if version > version_name.MAX_VERSION:
        raise errors.InvalidArgumentError(
            f"version must be at most {version_name.MAX_VERSION}; got {version}"
        )
    path = os.fspath(base)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path):
        raise errors.InvalidArgumentError(
            "export folder must be on a file system that is mounted, for "
            f"example /models/mnist; got {path}"
        )
    try:
        path.encode()
    except UnicodeEncodeError:
        raise errors.InvalidArgumentError(
            "export folder must have a path in UTF-8; got "
            f"{os.fsencode(path)!r}"
        ) from None
    return os.path.join(
        os.path.abspath(path), constants.VERSION_FORMAT_SPECIFIER % version
    )


def require_writable(base: str | os.PathLike[str], version: int) -> None:
    """Raises what an export of the version would raise; leaves no trace.

    Call it before a long training.

    Raises:
      AlreadyExistsError: The version exists.
      InvalidArgumentError: See path_of().
      OSError: The folder cannot be written.
    """
    export_dir = path_of(base, version)
    require_new(export_dir)
    parent = os.path.dirname(export_dir)
    while not os.path.lexists(parent):
        parent = os.path.dirname(parent)
    # Only a try tells: permissions are not all that may forbid it.
    os.rmdir(_make_unfinished(os.path.join(parent, "00000000")))


def require_new(export_dir: str) -> None:
    """Raises AlreadyExistsError if the folder of a version exists."""
    if os.path.lexists(export_dir):
        raise errors.AlreadyExistsError(
            f"Export directory must not exist yet; got {export_dir}. Export "
            "another version, or delete this one first"
        )


@contextlib.contextmanager
def publishing(export_dir: str) -> Iterator[str]:
    """Yields a folder to write to, which becomes the version at the end.

    The version appears all at once, complete and on disk. After an exception
    nothing is left. What others left when they were killed is removed.

    Raises:
      AlreadyExistsError: The version exists.
      ResourceExhaustedError: The disk is full, or a file too large. Transient.
      OSError: A file cannot be written.
    """
    require_new(export_dir)
    base = os.path.dirname(export_dir)
    with _no_room_explained(export_dir):
        _make_folders(base)
        unfinished_dir = _make_unfinished(export_dir)
        try:
            _remove_abandoned(base, os.stat(unfinished_dir).st_mtime)
            yield unfinished_dir
            _sync_tree(unfinished_dir)
            _rename_to_new(unfinished_dir, export_dir)
        except BaseException:
            shutil.rmtree(unfinished_dir, ignore_errors=True)
            raise
        _sync_folder(base)


def delete_all_but(keep: gc.Filter, export_dir: str) -> None:
    """Deletes old versions, but never the one that was just exported.

    A kill leaves none of them in part. What cannot be deleted is logged.
    """

    def parser(path: gc.Path) -> gc.Path | None:
        name = os.path.basename(path.path)
        version = version_name.parse(name)
        if version is None or os.path.islink(path.path):
            return None
        # Only what an exporter wrote.
        if name != constants.VERSION_FORMAT_SPECIFIER % version:
            return None
        if not os.path.isdir(path.path):
            return None
        return path._replace(export_version=version)

    paths = gc.get_paths(os.path.dirname(export_dir), parser)
    for path in gc.negation(keep)(paths):
        if path.path != export_dir:
            _delete(path.path)


def _make_unfinished(export_dir: str) -> str:
    """Makes an empty folder that nobody else uses."""
    while True:
        token = secrets.token_hex(4)
        path = f"{export_dir}.{token}{constants.UNFINISHED_SUFFIX}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
            return path


def _make_folders(folder: str) -> None:
    """Makes a folder and those above it, all of them on disk."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    _make_folders(parent)
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    _sync_folder(parent)


def _rename_to_new(unfinished_dir: str, export_dir: str) -> None:
    require_new(export_dir)
    try:
        # Takes the place of no folder that holds anything.
        os.rename(unfinished_dir, export_dir)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            require_new(export_dir)
        raise


def _remove_abandoned(base: str, now: float) -> None:
    """Removes what exporters left that were killed long ago.

    Args:
      base: The folder of the model.
      now: The time on the clock of the file system, in seconds.
    """
    for name in os.listdir(base):
        path = os.path.join(base, name)
        if not _UNFINISHED_NAME.fullmatch(name) or os.path.islink(path):
            continue
        if now - _last_write_seconds(path) >= ABANDONED_SECONDS:
            logging.info("Removing %s: its exporter was killed", path)
            _remove(path)


def _last_write_seconds(folder: str) -> float:
    """Returns when something below a folder was last written."""
    newest = 0.0
    with contextlib.suppress(FileNotFoundError):
        newest = os.lstat(folder).st_mtime
    for directory, folders, names in os.walk(folder):
        for name in folders + names:
            with contextlib.suppress(FileNotFoundError):
                path = os.path.join(directory, name)
                newest = max(newest, os.lstat(path).st_mtime)
    return newest


def _delete(version_dir: str) -> None:
    token = secrets.token_hex(4)
    unfinished_dir = f"{version_dir}.{token}{constants.UNFINISHED_SUFFIX}"
    try:
        os.rename(version_dir, unfinished_dir)
    except FileNotFoundError:
        return  # Another exporter deletes it.
    except OSError as error:
        logging.warning(
            "%s stays, as it cannot be deleted: %s", version_dir, error
        )
        return
    _remove(unfinished_dir)


def _remove(folder: str) -> None:
    """Removes a folder that is not a version, as far as that is possible."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass  # Another exporter removes it.
    except OSError as error:
        logging.warning("Part of %s stays: %s", folder, error)


@contextlib.contextmanager
def _no_room_explained(export_dir: str) -> Iterator[None]:
    """Turns an OSError of full storage into ResourceExhaustedError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise errors.ResourceExhaustedError(
            f"storage must have room for {export_dir}; got: {error.strerror}. "
            "Free some space, or raise the limit, and export again"
        ) from error


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: str) -> None:
    try:
        _sync(path)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def _sync_tree(folder: str) -> None:
    """Writes files to disk, then the folders that name them."""
    for directory, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(os.path.join(directory, name))
        _sync_folder(directory)
