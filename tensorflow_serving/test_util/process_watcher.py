"""The resources that a process and its children take."""

import contextlib
import dataclasses

import psutil


@dataclasses.dataclass(frozen=True)
class Usage:
    """The resources that a tree of processes takes."""

    # Since its start, of users and of the system.
    cpu_seconds: float
    # Now. Pages that processes share count in each of them.
    resident_bytes: int
    num_descriptors: int
    num_threads: int


class ProcessWatcher:
    """Looks at a process, its children, their children, and so on.

    Thread-safe.
    """

    def __init__(self, pid: int) -> None:
        """Takes the process at the top.

        Raises:
          psutil.NoSuchProcess: There is no such process.
        """
        self._process = psutil.Process(pid)

    def usage(self) -> Usage:
        """Returns the usage so far.

        Raises:
          psutil.NoSuchProcess: The one at the top is gone.
        """
        usages = [_usage(self._process)]
        for child in self._process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                usages.append(_usage(child))
        return Usage(
            cpu_seconds=sum(usage.cpu_seconds for usage in usages),
            resident_bytes=sum(usage.resident_bytes for usage in usages),
            num_descriptors=sum(usage.num_descriptors for usage in usages),
            num_threads=sum(usage.num_threads for usage in usages),
        )


def _usage(process: psutil.Process) -> Usage:
    times = process.cpu_times()
    return Usage(
        # With the children that have ended.
        cpu_seconds=times.user
        + times.system
        + times.children_user
        + times.children_system,
        resident_bytes=process.memory_info().rss,
        num_descriptors=process.num_fds(),
        num_threads=process.num_threads(),
    )
