"""Tests for signals: this file is also a program that hangs."""

import ctypes
import faulthandler
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest.mock
from collections.abc import Callable

from absl.testing import absltest, parameterized

from tensorflow_serving.util import signals

# Longer than anything here takes.
_TIMEOUT_SECONDS = 30

_PR_SET_PDEATHSIG = 1

# Functions of the C library, which let others run Python, and which do not.
_LIBRARY = ctypes.CDLL(None)
_LIBRARY_WITH_INTERPRETER = ctypes.PyDLL(None)


class TerminationTest(parameterized.TestCase):
    """SIGTERM and Ctrl-C."""

    def setUp(self) -> None:
        """Puts the handlers back afterwards."""
        super().setUp()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.addCleanup(signal.set_wakeup_fd, -1)

    def _termination(
        self, *, ignores_the_next: bool = False
    ) -> signals.Termination:
        termination = signals.Termination(ignores_the_next=ignores_the_next)
        self.addCleanup(termination.close)
        return termination

    @parameterized.parameters("SIGINT", "SIGTERM")
    def test_first_signal_ends_the_wait(self, name: str) -> None:
        """A signal that came before ends the wait, too; the next one kills."""
        termination = self._termination()
        os.kill(os.getpid(), signal.Signals[name])
        self.assertEqual(termination.wait(), name)
        for number in (signal.SIGINT, signal.SIGTERM):
            self.assertEqual(signal.getsignal(number), signal.SIG_DFL)

    def test_next_signal_may_be_ignored(self) -> None:
        """Several others may ask a worker to end while it drains."""
        termination = self._termination(ignores_the_next=True)
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(termination.wait(), "SIGTERM")
        os.kill(os.getpid(), signal.SIGTERM)

    def test_signal_may_come_to_any_thread(self) -> None:
        """A signal to any thread wakes the main thread, which waits."""
        termination = self._termination()
        go_on = threading.Event()

        def signal_this_thread() -> None:
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            go_on.wait()

        thread = threading.Thread(target=signal_this_thread)
        thread.start()
        self.assertEqual(termination.wait(), "SIGTERM")
        go_on.set()
        thread.join()

    def test_wait_may_be_for_something_else_too(self) -> None:
        """wake() ends it, also one that came before; so does the time."""
        termination = self._termination()
        self.assertIsNone(termination.wait_or_woken(0))
        termination.wake()
        self.assertIsNone(termination.wait_or_woken(60))
        waker = threading.Thread(target=termination.wake)
        waker.start()
        self.assertIsNone(termination.wait_or_woken(60))
        waker.join()
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(termination.wait_or_woken(60), "SIGTERM")
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.SIG_DFL)

    def test_wake_without_end_does_not_block(self) -> None:
        """Wakes that nobody waits for do not block, and are no signal."""
        termination = self._termination()
        for _ in range(100_000):
            termination.wake()
        self.assertIsNone(termination.wait_or_woken(0))

    def test_signal_that_was_waited_for_is_remembered(self) -> None:
        """Whoever waits later gets its name, too."""
        termination = self._termination()
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(termination.wait(), "SIGTERM")
        self.assertEqual(termination.wait_or_woken(0), "SIGTERM")
        self.assertEqual(termination.wait(), "SIGTERM")

    def test_signal_after_the_start_is_for_the_wait(self) -> None:
        """It does not end the process, which has something to finish by now."""
        termination = self._termination()
        with termination.ending_at_once():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(termination.wait(), "SIGTERM")

    def test_hangup_calls_a_function_each_time(self) -> None:
        """It is no reason to end, and the last function is the one."""
        termination = self._termination()
        termination.call_on_hangup(self.fail)
        termination.call_on_hangup(termination.wake)
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            self.assertIsNone(termination.wait_or_woken(_TIMEOUT_SECONDS))

    def test_limit_of_any_length_is_good(self) -> None:
        """Timers take less, but nobody waits that long."""
        termination = self._termination()
        termination.end_within(float("inf"))
        os.kill(os.getpid(), signal.SIGTERM)
        self.assertEqual(termination.wait(), "SIGTERM")

    def test_signal_counts_when_there_are_no_more_threads(self) -> None:
        """One of the ways to end in time needs a thread; the others remain."""
        termination = self._termination()
        termination.end_within(1000)
        with unittest.mock.patch.object(
            faulthandler, "dump_traceback_later", side_effect=RuntimeError
        ):
            os.kill(os.getpid(), signal.SIGTERM)
            self.assertEqual(termination.wait(), "SIGTERM")

    def test_close_gives_everything_back(self) -> None:
        """The handlers are those from before, and the process goes on."""
        before = signal.getsignal(signal.SIGTERM)
        termination = signals.Termination()
        termination.end_within(1000)
        os.kill(os.getpid(), signal.SIGTERM)
        termination.wait()
        self.assertGreater(signal.getitimer(signal.ITIMER_REAL)[0], 0)
        termination.close()
        termination.close()
        self.assertEqual(signal.getitimer(signal.ITIMER_REAL)[0], 0)
        self.assertIs(signal.getsignal(signal.SIGTERM), before)


class HangingProgramTest(parameterized.TestCase):
    """The program below, which hangs in each of the ways that there are."""

    def setUp(self) -> None:
        """Makes a fifo that nobody ever writes to."""
        super().setUp()
        folder = self.enter_context(tempfile.TemporaryDirectory())
        self.fifo = os.path.join(folder, "fifo")
        os.mkfifo(self.fifo)

    def _start(
        self, *arguments: str, prefix: tuple[str, ...] = ()
    ) -> subprocess.Popen[str]:
        """Returns the program, which is about to hang."""
        program = subprocess.Popen(
            [*prefix, sys.executable, __file__, "program", *arguments],
            env={**os.environ, "FIFO": self.fifo},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.enter_context(program)
        self.addCleanup(program.kill)
        assert program.stdout is not None
        self.assertEqual(program.stdout.readline(), "ready\n")
        return program

    def _end(self, program: subprocess.Popen[str]) -> tuple[int, str]:
        """Waits for the end; returns the exit code and the log."""
        _, log = program.communicate(timeout=_TIMEOUT_SECONDS)
        return program.returncode, log

    @parameterized.product(
        name=("SIGINT", "SIGTERM"), hang=("hang_in_open", "hang_in_c")
    )
    def test_first_signal_ends_a_start(self, name: str, hang: str) -> None:
        """The exit code is 0, and the log names the signal."""
        program = self._start("start", hang)
        program.send_signal(signal.Signals[name])
        self.assertEqual(
            self._end(program),
            (0, f"Stopping because of {name}, during the start\n"),
        )

    def test_signal_before_the_start_ends_it(self) -> None:
        """It may have come before the program knew what it would do."""
        program = self._start("signalled_start", "hang_in_c")
        self.assertEqual(self._end(program)[0], 0)

    def test_signal_that_the_parent_blocked_ends_a_start(self) -> None:
        """A signal mask is inherited."""
        blocked = {signal.SIGTERM, signal.SIGINT}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        try:
            program = self._start("start", "hang_in_c")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        program.send_signal(signal.SIGTERM)
        self.assertEqual(self._end(program)[0], 0)

    @parameterized.parameters("SIGINT", "SIGTERM")
    def test_second_signal_ends_the_program_wherever_it_is(
        self, name: str
    ) -> None:
        """A second signal ends a program whose main thread hangs."""
        program = self._start("stop", "hang_in_c")
        program.send_signal(signal.SIGTERM)
        assert program.stdout is not None
        self.assertEqual(program.stdout.readline(), "stopping\n")
        program.send_signal(signal.Signals[name])
        self.assertEqual(self._end(program)[0], -signal.Signals[name])

    def test_second_signal_ends_a_program_that_does_not_wait(self) -> None:
        """A second signal of another kind ends it before the wait as well."""
        program = self._start("go_on", "hang_in_c")
        program.send_signal(signal.SIGTERM)
        program.send_signal(signal.SIGINT)
        self.assertIn(self._end(program)[0], (-signal.SIGINT, -signal.SIGTERM))

    def test_second_signal_ends_a_program_whose_interpreter_is_stuck(
        self,
    ) -> None:
        """A second signal ends an interpreter that was stuck before."""
        program = self._start("start", "hang_with_interpreter")
        program.send_signal(signal.SIGTERM)
        # It stops once it got the first one; two that wait would be one.
        program.send_signal(signal.SIGSTOP)
        os.waitpid(program.pid, os.WUNTRACED)
        program.send_signal(signal.SIGTERM)
        program.send_signal(signal.SIGCONT)
        self.assertEqual(self._end(program)[0], -signal.SIGTERM)

    @parameterized.parameters("stop", "stop_worker", "stop_late")
    def test_end_that_takes_too_long_is_cut_short(self, how: str) -> None:
        """An end that takes too long exits with 1, stacks and a reason."""
        program = self._start(how, "hang_in_c", "0.1")
        program.send_signal(signal.SIGTERM)
        code, log = self._end(program)
        self.assertEqual(code, 1)
        self.assertIn("in _hang_in_c\n", log)
        self.assertRegex(
            log.splitlines()[-1], "^The end must take at most 0.1 s after SIGT"
        )

    def test_what_hangs_in_the_end_may_be_no_loss(self) -> None:
        """Then the exit code is 0, and the log names what hung."""
        program = self._start("stop_clean", "hang_in_c", "0.1")
        program.send_signal(signal.SIGTERM)
        code, log = self._end(program)
        self.assertEqual(code, 0)
        self.assertIn("in _hang_in_c\n", log)

    def test_stuck_interpreter_does_not_keep_the_program(self) -> None:
        """A thread without Python ends it, and the stacks are in the log."""
        program = self._start("stop", "hang_with_interpreter", "0.1")
        program.send_signal(signal.SIGTERM)
        code, log = self._end(program)
        self.assertEqual(code, 1)
        self.assertIn("Timeout", log)
        self.assertIn("in _hang_with_interpreter\n", log)

    def test_log_that_nobody_reads_does_not_keep_the_program(self) -> None:
        """Nothing can be written; the system itself ends it."""
        program = self._start("stop", "hang_with_full_log", "0.1")
        program.send_signal(signal.SIGTERM)
        code = program.wait(timeout=_TIMEOUT_SECONDS)
        self.assertEqual(code, -signal.SIGALRM)

    def test_log_that_nobody_reads_does_not_keep_a_start(self) -> None:
        """There is no line then, and another end."""
        program = self._start("start", "hang_with_full_log")
        program.send_signal(signal.SIGTERM)
        code = program.wait(timeout=_TIMEOUT_SECONDS)
        self.assertEqual(code, -signal.SIGALRM)

    def test_thread_that_never_ends_does_not_keep_the_program(self) -> None:
        """The interpreter waits for it, after the main thread has ended."""
        program = self._start("stop", "leave_a_thread", "0.1")
        program.send_signal(signal.SIGTERM)
        self.assertEqual(self._end(program)[0], 1)

    def test_end_in_time_is_the_end_that_it_would_be(self) -> None:
        """The limit does nothing then."""
        program = self._start("stop", "return", "1000")
        program.send_signal(signal.SIGTERM)
        self.assertEqual(self._end(program), (0, ""))

    @parameterized.named_parameters(
        ("first_signal", "start", 1, 0), ("second_signal", "stop", 2, 143)
    )
    def test_first_process_of_a_container_is_ended(
        self, how: str, num_signals: int, code: int
    ) -> None:
        """A first process ends, though the system spares it by default."""
        prefix = (
            *("unshare", "--map-root-user", "--pid", "--fork"),
            "--kill-child",
        )
        if shutil.which("unshare") is None or subprocess.call(
            [*prefix, "true"], stderr=subprocess.DEVNULL
        ):
            self.skipTest("this machine makes no process number 1")
        container = self._start(how, "hang_in_c", prefix=prefix)
        (pid,) = _children(container.pid)
        for number in range(num_signals):
            os.kill(pid, signal.SIGTERM)
            if number + 1 < num_signals:
                assert container.stdout is not None
                self.assertEqual(container.stdout.readline(), "stopping\n")
        self.assertEqual(self._end(container)[0], code)


def _children(pid: int) -> list[int]:
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text().split()]


# The program.


def _hang_in_open() -> None:
    open(os.environ["FIFO"], "rb").close()


def _hang_in_c() -> None:
    """Waits for a lock that this thread has; no signal ends that."""
    lock = ctypes.create_string_buffer(256)
    _LIBRARY.pthread_mutex_lock(lock)
    _LIBRARY.pthread_mutex_lock(lock)


def _hang_with_interpreter() -> None:
    """The same, and no other thread runs Python."""
    lock = ctypes.create_string_buffer(256)
    _LIBRARY_WITH_INTERPRETER.pthread_mutex_lock(lock)
    _LIBRARY_WITH_INTERPRETER.pthread_mutex_lock(lock)


def _fill_log() -> None:
    """Makes a pipe of standard error that nobody reads block."""
    os.set_blocking(2, False)
    while select.select([], [2], [], 0)[1]:
        os.write(2, b"x" * 4096)
    os.set_blocking(2, True)


def _leave_a_thread() -> None:
    threading.Thread(target=_hang_in_c).start()


_HANGS: dict[str, Callable[[], object]] = {
    "hang_in_open": _hang_in_open,
    "hang_in_c": _hang_in_c,
    "hang_with_interpreter": _hang_with_interpreter,
    "hang_with_full_log": _hang_in_c,
    "leave_a_thread": _leave_a_thread,
    "return": lambda: None,
}


def _run_program(how: str, hang: str, seconds: str = "1000") -> None:
    # However the test ends, this program goes with it.
    _LIBRARY.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    termination = signals.Termination(ignores_the_next=how == "stop_worker")
    if how != "stop_late":
        termination.end_within(float(seconds))
    if hang == "hang_with_interpreter":
        sys.setswitchinterval(1000)
    if hang == "hang_with_full_log":
        _fill_log()
    if how == "signalled_start":
        os.kill(os.getpid(), signal.SIGTERM)
    print("ready", flush=True)
    if how in ("start", "signalled_start"):
        with termination.ending_at_once():
            _HANGS[hang]()
    elif how != "go_on":
        termination.wait()
        print("stopping", flush=True)
        if how == "stop_late":
            termination.end_within(float(seconds))
        elif how == "stop_clean":
            termination.end_within(float(seconds), exit_code=0)
    _HANGS[hang]()


if __name__ == "__main__":
    if "program" in sys.argv:
        sys.argv.remove("program")
        _run_program(*sys.argv[1:])
        sys.exit()
    absltest.main()
