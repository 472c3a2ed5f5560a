"""Tests for program: this file is also the program that is run."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from unittest import mock

from absl import app
from absl.testing import absltest, parameterized

from tensorflow_serving.util import errors, program


def _main(argv: Sequence[str]) -> int:
    match argv[1:]:
        case ["serving_error"]:
            raise errors.NotFoundError("no such thing")
        case ["system_error"]:
            open("/no/such/file", "rb").close()
        case ["lack_of_threads"]:
            threading.stack_size(1 << 60)
            threading.Thread(target=print).start()
        case ["lack_of_memory"]:
            bytearray(1 << 60)
        case ["bug"]:
            raise ZeroDivisionError("a bug")
        case ["interrupted"]:
            signal.raise_signal(signal.SIGINT)
        case ["print", text]:
            print(text)
            return 0
        case ["say", text]:
            program.say(text)
            return 0
        case ["folder"]:
            raise errors.NotFoundError(os.getcwd())
        case ["garbage"]:
            return int(gc.isenabled())
        case ["code", number]:
            return int(number)
    raise app.UsageError("there must be arguments")


def _main_of_tool() -> int:
    with contextlib.closing(_Resource()):
        signal.raise_signal(signal.SIGTERM)
    return 0


class _Resource:
    """Something that must not outlive the program."""

    def close(self) -> None:
        """Says so."""
        print("closed", file=sys.stderr)


class ProgramTest(parameterized.TestCase):
    """Running a program whose errors are for people."""

    def _run(self, *arguments: str, kind: str = "program") -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, __file__, kind, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.returncode, ended.stderr

    @parameterized.named_parameters(
        ("serving_error", "serving_error", "ERROR: no such thing\n"),
        (
            "system_error",
            "system_error",
            "ERROR: [Errno 2] No such file or directory: '/no/such/file'\n",
        ),
    )
    def test_error_is_one_line(self, argument: str, text: str) -> None:
        """An error is one line without a stack trace, and exit code 1."""
        self.assertEqual(self._run(argument), (1, text))

    @parameterized.parameters("lack_of_threads", "lack_of_memory")
    def test_lack_is_one_line(self, argument: str) -> None:
        """It is for whoever has set the limits."""
        code, text = self._run(argument)
        self.assertEqual(code, 1)
        self.assertRegex(text, r"^ERROR: memory and threads must be .*\n$")

    def test_bug_shows_its_stack(self) -> None:
        """It is for programmers."""
        code, text = self._run("bug")
        self.assertNotEqual(code, 0)
        self.assertIn("Traceback", text)

    def test_garbage_is_collected_once_all_is_imported(self) -> None:
        """A program may switch that off for its imports, as this one does."""
        self.assertEqual(self._run("garbage"), (1, ""))

    def test_relative_paths_are_those_of_the_caller_of_bazel_run(self) -> None:
        """Bazel says where that was; without Bazel nothing changes."""
        folder = os.path.realpath(self.create_tempdir().full_path)
        with mock.patch.dict(os.environ, BUILD_WORKING_DIRECTORY=folder):
            self.assertEqual(self._run("folder"), (1, f"ERROR: {folder}\n"))
        self.assertEqual(self._run("folder"), (1, f"ERROR: {os.getcwd()}\n"))

    def test_folder_of_the_caller_that_is_gone_is_one_line(self) -> None:
        """The variable is named."""
        with mock.patch.dict(os.environ, BUILD_WORKING_DIRECTORY="/no/such"):
            self.assertEqual(
                self._run("folder"),
                (
                    1,
                    "ERROR: BUILD_WORKING_DIRECTORY must be a folder that can "
                    "be entered; got /no/such: No such file or directory\n",
                ),
            )

    def test_ctrl_c_is_one_line(self) -> None:
        """The exit code is that of a shell command that SIGINT ended."""
        self.assertEqual(self._run("interrupted"), (130, "Interrupted.\n"))

    def test_output_that_cannot_be_encoded_is_escaped(self) -> None:
        """A folder may have any name, whatever the terminal."""
        with mock.patch.dict(os.environ, PYTHONIOENCODING="ascii"):
            ended = subprocess.run(
                [sys.executable, __file__, "program", "print", "\u044f"],
                capture_output=True,
                check=False,
            )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(ended.stdout, b"\\u044f\n")

    def test_program_goes_on_if_nobody_can_hear_it(self) -> None:
        """A disk that is full does not keep a server from serving."""
        with open("/dev/full", "wb") as full:
            ended = subprocess.run(
                [sys.executable, __file__, "program", "say", "running"],
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertIn(b"No space left on device", ended.stderr)

    def test_exit_code_is_what_main_returns(self) -> None:
        """An exit code of 0 is success."""
        self.assertEqual(self._run("code", "0")[0], 0)
        self.assertEqual(self._run("code", "3")[0], 3)

    def test_wrong_arguments_and_flags_are_named(self) -> None:
        """A wrong argument or flag is named, and the exit code is not 0."""
        code, text = self._run()
        self.assertNotEqual(code, 0)
        self.assertIn("there must be arguments", text)
        code, text = self._run("--no_such_flag")
        self.assertNotEqual(code, 0)
        self.assertIn("no_such_flag", text)

    def test_tool_that_is_terminated_leaves_nothing_behind(self) -> None:
        """SIGTERM ends a tool by its with blocks; shells know the exit code."""
        self.assertEqual(self._run(kind="tool"), (143, "closed\n"))

    def test_arguments_of_a_tool_are_refused(self) -> None:
        """A tool has flags only, and names the arguments that it got."""
        code, text = self._run("--", "one", "two", kind="tool")
        self.assertNotEqual(code, 0)
        self.assertIn("must be flags; got ['one', 'two']", text)


if __name__ == "__main__":
    if "program" in sys.argv:
        sys.argv.remove("program")
        gc.disable()
        program.run(_main)
    if "tool" in sys.argv:
        sys.argv.remove("tool")
        program.run_tool(_main_of_tool)
    absltest.main()
