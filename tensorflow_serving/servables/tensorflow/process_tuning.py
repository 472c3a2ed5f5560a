"""Settings of a process that serves while it loads.

Example:
    process_tuning.tune()
"""

import os
import sys

# Instead of 5 ms.
_SWITCH_SECONDS = 0.0001


def tune() -> None:
    """Tunes the process so that loading disturbs serving as little as possible.

    Call it before the first load. A thread that needs the interpreter while a
    load runs Python waits for the switch interval, several times for each call.
    And oneDNN hands its work to the one pool of the process, where it waits
    behind the warm-up of a large model: a batch of 32 took up to 30 ms there,
    and 4 ms on the calling thread. A value of
    TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD in the environment stays.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    os.environ.setdefault("TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD", "1")
