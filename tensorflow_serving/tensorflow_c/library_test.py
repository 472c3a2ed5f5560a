"""Tests for library."""

import ctypes
import subprocess
import sys

from absl.testing import absltest, parameterized

from tensorflow_serving.tensorflow_c import library
from tensorflow_serving.util import errors


class LibraryTest(parameterized.TestCase):
    """The functions of TensorFlow's C API."""

    def test_library_is_loaded_once(self) -> None:
        """Every caller gets the same functions, and their version."""
        loaded = library.load()
        self.assertIs(library.load(), loaded)
        self.assertEqual(loaded.functions.TF_Version().decode(), loaded.version)
        self.assertRegex(loaded.version, r"^2\.")

    def test_threads_get_one_library(self) -> None:
        """Threads that ask at the same time get the same functions."""
        program = "\n".join(
            [
                "from concurrent import futures",
                "from tensorflow_serving.tensorflow_c import library",
                "with futures.ThreadPoolExecutor(4) as threads:",
                "    tasks = [threads.submit(library.load) for _ in range(4)]",
                "print(len({id(task.result()) for task in tasks}))",
            ]
        )
        self.assertEqual(_run(program), ["1"])

    def test_other_threads_run_while_it_is_loaded(self) -> None:
        """A server that answers calls meanwhile goes on to do so."""
        program = "\n".join(
            [
                "import signal, threading",
                "from tensorflow_serving.tensorflow_c import library",
                "thread = threading.Thread(target=library.load)",
                "ticks = []",
                "signal.signal(signal.SIGALRM, lambda *_: ticks.append(None))",
                "signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)",
                "thread.start()",
                "thread.join()",
                "signal.setitimer(signal.ITIMER_REAL, 0)",
                "print(len(ticks))",
            ]
        )
        (num_ticks,) = map(int, _run(program))
        self.assertGreater(num_ticks, 25)

    def test_tensorflow_is_not_imported(self) -> None:
        """Its libraries are found without running any of its Python."""
        library.load()
        self.assertNotIn("tensorflow", sys.modules)

    @parameterized.parameters(
        ("import tensorflow", "library.load()"),
        ("library.load()", "import tensorflow"),
    )
    def test_library_and_tensorflow_live_in_one_process(
        self, first: str, second: str
    ) -> None:
        """They can be loaded in either order, and have one version."""
        program = "\n".join(
            [
                "import sys",
                "from tensorflow_serving.tensorflow_c import library",
                first,
                second,
                "import tensorflow",
                "print(tensorflow.__version__, library.load().version)",
            ]
        )
        self.assertEqual(_run(program), [library.load().version] * 2)

    def test_missing_function_is_named(self) -> None:
        """A missing function is a FAILED_PRECONDITION of the installation."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "must have TF_NoSuchFunction; got"
        ):
            library.declared(ctypes.CDLL(None), "TF_NoSuchFunction", (None, ()))

    @parameterized.parameters("2.16.1", "2.21.0", "2.30.0-dev20270101")
    def test_version_that_fits_is_accepted(self, version: str) -> None:
        """All later versions with the same major version are accepted."""
        library.require_version(version)

    @parameterized.parameters("1.15.0", "2.15.1", "3.0.0", "unknown")
    def test_version_that_does_not_fit_is_refused(self, version: str) -> None:
        """The error says which it is, and which would fit."""
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, f"version 2.16 .* got {version}"
        ):
            library.require_version(version)


def _run(program: str) -> list[str]:
    """Returns the words that a program of Python prints."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path={sys.path}\n{program}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()


if __name__ == "__main__":
    absltest.main()
