"""What an operator does to the folder that a server looks at."""

import os
import shutil
from collections.abc import Iterator, Sequence


def path_of(base_path: str, version: int) -> str:
    """Returns the folder of a version."""
    return os.path.join(base_path, f"{version:08d}")


def put(source: str, base_path: str, version: int) -> None:
    """Moves a folder into place, in one step; both are on the same disk."""
    os.rename(source, path_of(base_path, version))


def remove(base_path: str, version: int) -> None:
    """Removes a version, file by file."""
    shutil.rmtree(path_of(base_path, version))


def copy_in_steps(
    source: str,
    target: str,
    num_steps: int,
    order: Sequence[str] | None = None,
) -> Iterator[None]:
    """Copies a folder as slowly as it is iterated over.

    Yields before each step. Each writes a part of a file; the last one makes
    the copy whole.

    Args:
      source: A folder of files, without folders in it.
      target: The copy, which is made with the first step.
      num_steps: How many; at least one for each file.
      order: The names of the files, the first one first; sorted by default.
    """
    names = sorted(os.listdir(source)) if order is None else order
    num_files = len(names)
    assert num_steps >= num_files, "there must be a step for each file"
    for index, name in enumerate(names):
        # The steps are shared out evenly, without a rest.
        first, last = (
            num_steps * each // num_files for each in (index, index + 1)
        )
        with open(os.path.join(source, name), "rb") as file:
            content = file.read()
        for part in _parts(content, last - first):
            yield
            os.makedirs(target, exist_ok=True)
            with open(os.path.join(target, name), "ab") as file:
                file.write(part)


def _parts(content: bytes, number: int) -> Iterator[bytes]:
    for part in range(number):
        yield content[
            len(content) * part // number : len(content) * (part + 1) // number
        ]
