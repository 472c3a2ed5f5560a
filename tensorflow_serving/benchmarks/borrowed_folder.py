"""The folder that a program was given to put models in."""

import os
import shutil

from tensorflow_serving.util import errors


class BorrowedFolder:
    """An empty folder, which is left as it was found.

    A context manager that removes what is in the folder, and the folder itself
    if it was made here.
    """

    def __init__(self, path: str) -> None:
        """Makes the folder if there is none.

        Raises:
          FailedPreconditionError: There is something in it. Permanent.
          OSError: It cannot be made or read.
        """
        self._path = os.path.abspath(path)
        self._is_new = not os.path.exists(self._path)
        os.makedirs(self._path, exist_ok=True)
        if found := os.listdir(self._path):
            raise errors.FailedPreconditionError(
                "MODEL_BASE must be an empty folder, or one that is not there "
                f"yet, such as /tmp/models; got one with {sorted(found)[0]!r} "
                f"in it: {path}"
            )

    def folder(self, name: str) -> str:
        """Returns the path of a new folder in it."""
        path = os.path.join(self._path, name)
        os.mkdir(path)
        return path

    def __enter__(self) -> "BorrowedFolder":
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Removes the content."""
        for name in os.listdir(self._path):
            shutil.rmtree(os.path.join(self._path, name), ignore_errors=True)
        if self._is_new:
            shutil.rmtree(self._path, ignore_errors=True)
