"""The folder of a version, as loaders read it."""

import dataclasses
import os
import re
import stat
from typing import BinaryIO, Final

from typing_extensions import Self

from tensorflow_serving.session_bundle import constants
from tensorflow_serving.util import errors, file_kind

# Linux has the open files of a process here, folders too.
_DESCRIPTORS: Final = "/proc/self/fd"

_SAVED_MODEL_FILENAMES: Final = ("saved_model.pb", "saved_model.pbtxt")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MAX_VERSIONS_IN_TEXT: Final = 3


class ModelFolder:
    """A folder that is held open while its files are read.

    All files are of the folder that was opened, even if another one is renamed
    to its path in the meantime. A file that is not a regular one, such as a
    named pipe, is refused and never waited for.

    Methods raise OSError if the storage fails; see graph_session for what
    becomes of it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        parent: "ModelFolder | None" = None,
    ) -> None:
        """Opens a folder.

        Args:
          path: The path of the folder.
          parent: The open folder that a relative path starts from.

        Raises:
          InvalidArgumentError: The path is a URL. Permanent.
          FileNotFoundError, NotADirectoryError: There is no such folder.
          OSError: The storage failed.
        """
        text = os.fspath(path)
        if _URL.match(text):
            raise errors.InvalidArgumentError(
                "path of a model must be one of this machine, such as "
                f"/models/mnist/1; got the URL {text}. Copy the model here"
            )
        start = None
        if parent is not None:
            text = os.path.join(parent.path, text)
            start = parent._descriptor
        # Absolute; errors name it.
        self.path: str = os.path.abspath(text)
        self._descriptor: int = os.open(
            self.path if parent is None else path,
            os.O_RDONLY | os.O_DIRECTORY,
            dir_fd=start,
        )

    def has(self, name: str) -> bool:
        """Returns whether there is a file or a folder with a name."""
        try:
            os.stat(name, dir_fd=self._descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def has_any(self, prefix: str) -> bool:
        """Returns whether a name in the folder begins with a text."""
        return any(
            name.startswith(prefix) for name in os.listdir(self._descriptor)
        )

    def has_regular(self, name: str) -> bool:
        """Returns whether there is a regular file with a name."""
        try:
            status = os.stat(name, dir_fd=self._descriptor)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return stat.S_ISREG(status.st_mode)

    def read(self, name: str) -> bytes:
        """Returns the content of a file.

        Raises:
          FailedPreconditionError, FileNotFoundError: See open().
        """
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """Opens a file to read it.

        Raises:
          FailedPreconditionError: It is not a regular file. Permanent.
          FileNotFoundError: There is no such file.
        """
        # Without O_NONBLOCK a named pipe would wait for someone to write to it.
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=self._descriptor
        )
        try:
            self._require_regular(name, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return os.fdopen(descriptor, "rb")

    def require_regular(self, name: str) -> None:
        """Checks a file that somebody else is going to read.

        Raises:
          FailedPreconditionError: It is not a regular file. Permanent.
          FileNotFoundError: There is no such file.
        """
        self._require_regular(name, os.stat(name, dir_fd=self._descriptor))

    def shards(self, prefix: str) -> list[str]:
        """Returns the names <prefix>00000-of-0000n and so on.

        Raises:
          NotFoundError: One of them, or all of them are missing. Permanent.
          DataLossError: They are of several checkpoints. Permanent.
          FailedPreconditionError: One is not a regular file. Permanent.
        """
        pattern = re.compile(re.escape(prefix) + r"\d{5}-of-(\d{5})")
        found = {
            name: int(match[1])
            for name in sorted(os.listdir(self._descriptor))
            if (match := pattern.fullmatch(name))
        }
        path = os.path.join(self.path, prefix)
        if not found:
            raise errors.NotFoundError(
                "Expected variables file missing: Not found: "
                f"{path}?????-of-?????"
            )
        if len(counts := set(found.values())) > 1:
            raise errors.DataLossError(
                "Variables files must be of one export; got numbers of files "
                f"{sorted(counts)}: {path}?????-of-?????"
            )
        (count,) = counts
        names = [
            f"{prefix}{shard:05d}-of-{count:05d}" for shard in range(count)
        ]
        for name in names:
            if name not in found:
                raise errors.NotFoundError(
                    "Expected variables file missing: Not found: "
                    f"{os.path.join(self.path, name)}"
                )
            self.require_regular(name)
        return names

    def plain_path(self, name: str) -> str:
        """Returns a path of a file for functions that read paths as patterns.

        TensorFlow does: an asterisk, a bracket or a backslash in the name of a
        folder would lead to other files. This path has no such characters, and
        is good as long as the folder is open.
        """
        folder = f"{_DESCRIPTORS}/{self._descriptor}"
        if not os.path.isdir(folder):
            return os.path.join(self.path, name)
        return f"{folder}/{name}"

    def readable(self, text: str) -> str:
        """Returns a text in which plain paths are replaced by the real one."""
        return text.replace(f"{_DESCRIPTORS}/{self._descriptor}", self.path)

    def close(self) -> None:
        """Closes the folder. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the folder."""
        self.close()

    def _require_regular(self, name: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            kind = file_kind.describe(status.st_mode)
            raise errors.FailedPreconditionError(
                f"files of a model must be regular files; got {kind}: "
                f"{os.path.join(self.path, name)}"
            )


@dataclasses.dataclass(frozen=True)
class MainFile:
    """The file without which a folder is no model of a format."""

    # The words for it in errors, such as "SavedModel".
    what: str
    name: str

    def open_folder(self, path: str | os.PathLike[str]) -> ModelFolder:
        """Opens the folder of a model.

        Raises:
          NotFoundError: There is no such folder. Permanent.
          InvalidArgumentError, OSError: See ModelFolder.
        """
        try:
            return ModelFolder(path)
        except (FileNotFoundError, NotADirectoryError):
            raise self.missing(path) from None

    def read(self, folder: ModelFolder) -> bytes:
        """Returns the content of the file.

        Raises:
          NotFoundError: There is no such file. Permanent.
          FailedPreconditionError, OSError: See ModelFolder.
        """
        try:
            return folder.read(self.name)
        except (FileNotFoundError, NotADirectoryError):
            raise self.missing(folder.path) from None

    def missing(self, path: str | os.PathLike[str]) -> errors.NotFoundError:
        """Returns the error for a folder without the file."""
        file = os.path.join(os.path.abspath(path), self.name)
        return errors.NotFoundError(
            f"Expected {self.what} file missing: Not found: {file}{hint(path)}"
        )


def hint(path: str | os.PathLike[str]) -> str:
    """Returns what a folder without a model holds, and what to do about it.

    Args:
      path: What somebody took for the folder of a version.

    Returns:
      A sentence in parentheses after a space; empty if there is nothing to say.
    """
    path = os.path.abspath(path)
    try:
        names = sorted(os.listdir(path))
    except NotADirectoryError:
        return " (This is a file; give its folder.)"
    except OSError:
        if os.path.basename(path).startswith("~") or "/~" in path:
            return " (Only a shell replaces ~ by a home folder.)"
        return ""
    versions = [name for name in names if name.isascii() and name.isdecimal()]
    if versions:
        some = ", ".join(versions[:_MAX_VERSIONS_IN_TEXT])
        return (
            f" (This folder holds versions, such as {some}; give the folder of "
            "one of them.)"
        )
    for name in _SAVED_MODEL_FILENAMES:
        if name in names:
            return (
                f" (This folder holds a SavedModel, {name}, where an export of "
                "a session bundle is expected.)"
            )
    if constants.META_GRAPH_DEF_FILENAME in names:
        return " (This folder holds a session bundle.)"
    return ""


def asset_name(folder: str, name: str, path: str) -> str:
    """Returns the name of an asset with its folder, in which it must stay.

    Args:
      folder: The folder of assets.
      name: The name that the model gives the asset.
      path: The file that holds the name, for the error.

    Raises:
      FailedPreconditionError: The name is absolute, or leads out of the
        folder. Permanent.
    """
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise errors.FailedPreconditionError(
            "an asset must be in the folder of assets; got the name "
            f"{name!r}: {path}"
        )
    return os.path.join(folder, name)
