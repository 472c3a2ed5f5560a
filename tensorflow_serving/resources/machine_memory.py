"""The main memory that this process may use at most."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator


def total_bytes(root: str = "/") -> int | None:
    """Returns the memory of this machine, or of the container if that is less.

    Formats: proc_meminfo(5), cgroups(7), of which both versions count, with all
    groups above that of this process.

    Args:
      root: Where the file systems /proc and /sys are.

    Returns:
      None on a system that has neither.
    """
    limits = [*_machine_bytes(root), *_group_bytes(root)]
    return min(limits, default=None)


def _machine_bytes(root: str) -> Iterator[int]:
    text = _read(os.path.join(root, "proc/meminfo"))
    if match := re.search(r"^MemTotal:\s*(\d+) kB$", text, re.MULTILINE):
        yield int(match[1]) << 10


def _group_bytes(root: str) -> Iterator[int]:
    """Yields the limits of the groups that this process is in."""
    for line in _read(os.path.join(root, "proc/self/cgroup")).splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            mount, name = "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        path = pathlib.PurePosixPath(group)
        for each in (path, *path.parents):
            # In a container, the group that it sees as the topmost one is where
            # the file system is mounted.
            folder = os.path.join(root, mount, str(each).lstrip("/"))
            # "max" is no limit.
            with contextlib.suppress(ValueError):
                yield int(_read(os.path.join(folder, name)))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
