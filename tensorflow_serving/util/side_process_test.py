"""Tests for side_process, with real processes."""

import math
import operator
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import ml_dtypes
import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.util import errors, side_process

_OWNER = (
    "import os, signal\n"
    "from tensorflow_serving.util import side_process\n"
    "side = side_process.SideProcess()\n"
    "print(side.run(os.getpid), flush=True)\n"
)


class SideProcessTest(parameterized.TestCase):
    """A process for each test."""

    def setUp(self) -> None:
        """Starts none yet."""
        super().setUp()
        self.side = self.enter_context(side_process.SideProcess())

    def test_functions_run_in_one_other_process(self) -> None:
        """It is started once."""
        first = self.side.run(os.getpid)
        self.assertNotEqual(first, os.getpid())
        self.assertEqual(self.side.run(os.getpid), first)

    @parameterized.parameters(
        "float32", "bool", "complex128", "int8", ml_dtypes.bfloat16, "object"
    )
    def test_arrays_come_and_go_as_they_are(self, dtype: Any) -> None:
        """Also large ones, and those that are not in one piece."""
        for size in (0, 1, 100_000):
            array = np.arange(2 * size).astype(dtype)[::2]
            found = self.side.run(np.copy, array)
            self.assertEqual(found.dtype, array.dtype)
            np.testing.assert_array_equal(found, array)

    def test_error_has_the_class_of_its_code(self) -> None:
        """Its text is that of the function, for the caller."""
        with self.assertRaisesRegex(errors.InvalidArgumentError, "^x must be"):
            self.side.run(errors.require_at_least, 1, x=0)
        self.assertEqual(self.side.run(operator.add, 1, 2), 3)

    def test_bug_is_an_internal_error(self) -> None:
        """The caller need not know more, and the process stays."""
        with self.assertRaisesRegex(errors.InternalError, "see the log"):
            self.side.run(math.sqrt, -1)
        self.assertEqual(self.side.run(math.sqrt, 4), 2)

    def test_process_that_was_killed_starts_again(self) -> None:
        """Only what it ran is lost."""
        with self.assertRaises(errors.UnavailableError):
            self.side.run(signal.raise_signal, signal.SIGKILL)
        self.assertEqual(self.side.run(operator.add, 1, 2), 3)

    def test_function_that_takes_too_long_ends(self) -> None:
        """One that hangs does not keep those that come after it."""
        with side_process.SideProcess(timeout_seconds=0.5) as side:
            with self.assertRaises(errors.DeadlineExceededError):
                side.run(signal.pause)
            self.assertEqual(side.run(operator.add, 1, 2), 3)

    def test_close_ends_a_function_that_hangs(self) -> None:
        """Nobody waits for it."""
        self.side.run(os.getpid)
        caught: list[Exception] = []

        def run() -> None:
            try:
                self.side.run(signal.pause)
            except errors.UnavailableError as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        self.side.close()
        # Perhaps it had not begun, and starts another process.
        while thread.is_alive():
            self.side.close()
            thread.join(0.1)
        self.assertEqual(len(caught), 1)

    @parameterized.named_parameters(
        ("idle", "os.kill(os.getpid(), 9)"),
        (
            "busy",
            "side.run(exec, f'import os, signal; os.kill({os.getpid()}, 9); "
            "signal.pause()')",
        ),
    )
    def test_process_ends_with_one_that_is_killed(self, script: str) -> None:
        """No process is left without anybody who could use it."""
        owner = subprocess.run(
            [sys.executable, "-c", _OWNER + script],
            stdout=subprocess.PIPE,
            check=False,
        )
        # Both had the pipe, which ended with the last one.
        self.assertEqual(owner.returncode, -signal.SIGKILL)
        self.assertGreater(int(owner.stdout), 0)


if __name__ == "__main__":
    absltest.main()
