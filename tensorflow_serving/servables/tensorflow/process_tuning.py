"""Settings of a process that serves while it loads.

Example:
    process_tuning.tune()
"""

import os
import sys

# Instead of 5 ms.
_SWITCH_SECONDS = 0.0001
# Errors, and nothing less.
_MIN_LOG_LEVEL = "2"


def tune() -> None:
    """Tunes the process: loads must not disturb calls, nor values be logged.

    Call it before the first load. A thread that needs the interpreter while a
    load runs Python waits for the switch interval, several times for each call.
    And oneDNN hands its work to the one pool of the process, where it waits
    behind the warm-up of a large model: a batch of 32 took up to 30 ms there,
    and 4 ms on the calling thread.

    TensorFlow itself logs a warning for each run that fails, often with values
    of the call. So its warnings are left out; callers get the errors.

    Values of TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD and TF_CPP_MIN_LOG_LEVEL in
    the environment stay.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _MIN_LOG_LEVEL)
    os.environ.setdefault("TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD", "1")
