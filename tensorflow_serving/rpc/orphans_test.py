"""Tests for orphans; supervisor_program_test has a real first process."""

import os
import sys

from absl.testing import absltest

from tensorflow_serving.rpc import orphans


def _ended_child() -> int:
    """Returns the process id of a child that nobody has waited for yet."""
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-S", "-c", ""], os.environ
    )
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


class OrphansTest(absltest.TestCase):
    """Children of this process, which stand for orphans that came to it."""

    def test_orphans_come_to_the_first_process_only(self) -> None:
        """This process is not the first one of its machine."""
        self.assertEqual(orphans.come_here(), os.getpid() == 1)

    def test_children_that_have_ended_are_reaped(self) -> None:
        """All ended children are reaped at once, and none is left."""
        pids = {_ended_child() for _ in range(2)}
        self.assertEqual(set(orphans.reap(())), pids)
        self.assertEqual(orphans.reap(()), [])

    def test_own_child_is_left_to_who_waits_for_it(self) -> None:
        """Its exit code is still there."""
        pid = _ended_child()
        self.assertEqual(orphans.reap({pid}), [])
        self.assertEqual(os.waitpid(pid, 0), (pid, 0))


if __name__ == "__main__":
    absltest.main()
