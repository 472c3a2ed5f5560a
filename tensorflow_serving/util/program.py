"""Running a program whose errors are for people, not for programmers."""

import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final

from absl import app, logging

from tensorflow_serving.util import background_log, errors

_INTERRUPTED: Final = 128 + signal.SIGINT
_LACK: Final = (
    "memory and threads must be enough to start; see ulimit -u, ulimit -v, and "
    "the limits of the container"
)


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Runs main with the arguments that are left after the flags; exits.

    An error of util/errors.py and one of the operating system become one line
    on standard error and the exit code 1, without a stack trace; so does a lack
    of threads or memory. So do errors in flags, which absl names; raise
    app.UsageError for wrong arguments. After Ctrl-C the exit code is 130, as
    shells have it.

    Standard output takes any text: characters that its encoding does not have
    are escaped.

    Log lines are written in the background, so that nobody waits for a standard
    error that is full. Under "bazel run", relative paths are those of the
    caller's folder.
    """
    _go_to_the_callers_folder()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.set_verbosity(logging.INFO)
    # Objects that imports made stay. TensorFlow makes so much that going
    # through it in search of garbage would stop a server for a tenth of a
    # second. A program may have put it off until here.
    gc.freeze()
    gc.enable()

    def guarded_main(argv: Sequence[str]) -> int | None:
        background_log.take_over()
        try:
            return main(argv)
        except (errors.ServingError, OSError) as error:
            print(f"ERROR: {error}", file=sys.stderr)
            return 1
        except (MemoryError, RuntimeError) as error:
            if not _is_lack(error):
                raise
            print(f"ERROR: {_LACK} ({error})", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
            return _INTERRUPTED
        finally:
            background_log.flush()

    app.run(guarded_main)


def run_tool(main: Callable[[], int | None]) -> None:
    """Runs main, which takes no arguments but flags; see run().

    SIGTERM raises SystemExit in it, so that processes and files that its with
    blocks have made do not outlive it.
    """

    def main_without_arguments(argv: Sequence[str]) -> int | None:
        if len(argv) > 1:
            raise app.UsageError(f"arguments must be flags; got {argv[1:]}")
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        return main()

    run(main_without_arguments)


def say(text: str) -> None:
    """Prints a line for those who wait for it, and goes on without them.

    A server serves though its standard output has no room or no reader; the
    log says so.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        logging.warning(
            "Standard output cannot be written: %s", errors.reason(error)
        )
        # All that is left to be written would make the exit code that of a
        # failure.
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


def _is_lack(error: Exception) -> bool:
    """Returns whether the system has no memory, or no more threads."""
    return isinstance(error, MemoryError) or "start new thread" in str(error)


def _go_to_the_callers_folder() -> None:
    """Leaves the folder in which "bazel run" starts programs."""
    folder = os.environ.get("BUILD_WORKING_DIRECTORY", ".")
    try:
        os.chdir(folder)
    except OSError as error:
        sys.exit(
            "ERROR: BUILD_WORKING_DIRECTORY must be a folder that can be "
            f"entered; got {folder}: {error.strerror}"
        )
