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

    TensorFlow itself logs a warning for each run that fails, often with values
    of the call. So its warnings are left out; callers get the errors. A value
    of TF_CPP_MIN_LOG_LEVEL in the environment stays.

    oneDNN stays on the one pool of the process. On the calling thread
    (TF_ONEDNN_THREADPOOL_USE_CALLER_THREAD=1) a small batch never waits there
    behind the load of a large model, but a ResNet-50 gives a fifth less.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _MIN_LOG_LEVEL)
