"""Running a program whose errors are for people, not for programmers."""

import gc
import os
import sys
from collections.abc import Callable, Sequence

from absl import app, logging

from tensorflow_serving.util import background_log, errors


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs main with the arguments that are left after the flags; exits.

    An error of util/errors.py and one of the operating system become one line
    on standard error and the exit code 1, without a stack trace. So do errors
    in flags, which absl names; raise app.UsageError for wrong arguments.

    Log lines are written in the background, so that nobody waits for a standard
    error that is full. Under "bazel run", relative paths are those of the
    caller's folder.
    """
    # Bazel starts programs in a folder of its own.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    logging.set_verbosity(logging.INFO)
    # What imports made stays. TensorFlow makes so much that going through it in
    # search of garbage would stop a server for a tenth of a second.
    gc.freeze()

    def guarded_main(argv: Sequence[str]) -> int | None:
        background_log.take_over()
        try:
            return main(argv)
        except (errors.ServingError, OSError) as error:
            print(f"ERROR: {error}", file=sys.stderr)
            return 1
        finally:
            background_log.flush()

    app.run(guarded_main)
