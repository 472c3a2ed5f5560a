"""Processes whose parent has ended, and that the system gives to process 1."""

import os
from collections.abc import Collection
from typing import Final

_INIT_PID: Final = 1


def come_here() -> bool:
    """Whether orphans become children of this process.

    So it is in a container whose first process is this one. Somebody has to
    wait for them, or they stay in the table of processes.
    """
    return os.getpid() == _INIT_PID


def reap(own_pids: Collection[int]) -> list[int]:
    """Waits for the children that have ended; returns their process ids.

    Does not block. One of own_pids that has ended, and that somebody else waits
    for, may hide others until the next call.

    Args:
      own_pids: The children that are not orphans. No other child may be started
        meanwhile.
    """
    reaped: list[int] = []
    options = os.WEXITED | os.WNOHANG
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, options | os.WNOWAIT)
            if ended is None or ended.si_pid in own_pids:
                return reaped
            os.waitid(os.P_PID, ended.si_pid, options)
        except ChildProcessError:  # there is no child
            return reaped
        reaped.append(ended.si_pid)
