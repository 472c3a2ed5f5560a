"""Tests for output_port."""

import concurrent.futures
from collections.abc import Sequence

from absl.testing import absltest

from tensorflow_serving.core import output_port, servable
from tensorflow_serving.util import errors


def _ignore(name: str, versions: Sequence[servable.ServableData[str]]) -> None:
    """A target that does nothing."""


class OutputPortTest(absltest.TestCase):
    """A source for its owner to speak through."""

    def test_callback_is_that_of_the_target(self) -> None:
        """A port that is connected does not make anybody wait."""
        port = output_port.OutputPort[str]()
        port.set_aspired_versions_callback(_ignore)
        self.assertIs(port.wait_for_callback(), _ignore)

    def test_owner_waits_for_a_target(self) -> None:
        """A call waits for a target, however long it takes."""
        with concurrent.futures.ThreadPoolExecutor() as threads:
            port = output_port.OutputPort[str]()
            waits = [threads.submit(port.wait_for_callback) for _ in range(3)]
            port.set_aspired_versions_callback(_ignore)
            for wait in waits:
                self.assertIs(wait.result(timeout=60), _ignore)

    def test_close_ends_the_wait(self) -> None:
        """The thread of a source can be joined though nothing listens."""
        with concurrent.futures.ThreadPoolExecutor() as threads:
            port = output_port.OutputPort[str]()
            waits = [threads.submit(port.wait_for_callback) for _ in range(3)]
            port.close()
            port.close()  # idempotent
            for wait in waits:
                self.assertIsNone(wait.result(timeout=60))

    def test_closed_port_has_no_callback(self) -> None:
        """A closed port has no callback, connected before or after."""
        before, after = (
            output_port.OutputPort[str](),
            output_port.OutputPort[str](),
        )
        before.set_aspired_versions_callback(_ignore)
        before.close()
        after.close()
        after.set_aspired_versions_callback(_ignore)
        self.assertIsNone(before.wait_for_callback())
        self.assertIsNone(after.wait_for_callback())

    def test_second_target_is_refused(self) -> None:
        """A second target is refused, and the first one stays."""
        port = output_port.OutputPort[str]()
        port.set_aspired_versions_callback(_ignore)
        with self.assertRaisesRegex(
            errors.FailedPreconditionError, "already has a target"
        ):
            port.set_aspired_versions_callback(lambda name, versions: None)
        self.assertIs(port.wait_for_callback(), _ignore)


if __name__ == "__main__":
    absltest.main()
