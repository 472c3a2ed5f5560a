"""Which versions of a model to keep, as filters that can be combined.

A filter takes a list of Path and returns those that match, sorted:

    newest = gc.largest_export_versions(2)
    every_tenth = gc.mod_export_version(10)
    keep = gc.union(newest, every_tenth)
    to_delete = gc.negation(keep)
    for path in to_delete(gc.get_paths("/models/mnist", parser)):
        ...

Exporter.export(exports_to_keep=keep) deletes what a filter does not match.

A Path whose version is None matches only negations. Each filter below raises
InvalidArgumentError when it is made with an n below 1.
"""

import heapq
import os
from collections.abc import Callable
from typing import NamedTuple

from tensorflow_serving.util import errors


class Path(NamedTuple):
    """A version on disk."""

    path: str
    export_version: int | None


Filter = Callable[[list[Path]], list[Path]]


def largest_export_versions(n: int) -> Filter:
    """Returns a filter that matches the n highest versions."""
    errors.require_at_least(1, n=n)

    def keep(paths: list[Path]) -> list[Path]:
        return sorted(heapq.nlargest(n, _with_version(paths), key=_version))

    return keep


def one_of_every_n_export_versions(n: int) -> Filter:
    """Returns a filter that matches the highest version of each interval.

    The intervals are [0, n], (n, 2n], (2n, 3n] and so on.
    """
    errors.require_at_least(1, n=n)

    def keep(paths: list[Path]) -> list[Path]:
        highest: dict[int, Path] = {}
        for path in sorted(_with_version(paths), key=_version):
            # Rounded up, in integers: a float holds no version above 2**53.
            highest[max(1, -(-_version(path) // n))] = path
        return sorted(highest.values())

    return keep


def mod_export_version(n: int) -> Filter:
    """Returns a filter that matches the versions that n divides."""
    errors.require_at_least(1, n=n)

    def keep(paths: list[Path]) -> list[Path]:
        return sorted(
            path for path in _with_version(paths) if _version(path) % n == 0
        )

    return keep


def union(first: Filter, second: Filter) -> Filter:
    """Returns a filter that matches what either filter matches."""

    def keep(paths: list[Path]) -> list[Path]:
        return sorted(set(first(paths)) | set(second(paths)))

    return keep


def negation(matches: Filter) -> Filter:
    """Returns a filter that matches what the given filter does not."""

    def keep(paths: list[Path]) -> list[Path]:
        return sorted(set(paths) - set(matches(paths)), key=_sort_key)

    return keep


def get_paths(
    base_dir: str | os.PathLike[str],
    parser: Callable[[Path], Path | None],
) -> list[Path]:
    """Returns the children of a folder that a parser accepts, sorted.

    Args:
      base_dir: The folder.
      parser: Called with each child as Path(path, None); returns it with its
        version, or None to leave it out.

    Raises:
      OSError: The folder cannot be read.
    """
    children = (
        Path(os.path.join(base_dir, name), None)
        for name in os.listdir(base_dir)
    )
    parsed = (parser(child) for child in children)
    return sorted((path for path in parsed if path), key=_sort_key)


def _with_version(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.export_version is not None]


def _version(path: Path) -> int:
    assert path.export_version is not None
    return path.export_version


def _sort_key(path: Path) -> tuple[str, int]:
    """Sorts like Path itself, also where versions are None."""
    version = path.export_version
    return path.path, -1 if version is None else version
