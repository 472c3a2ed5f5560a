"""Tests for batch_threads."""

import queue
import threading
from collections.abc import Callable, Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest
from typing_extensions import override

from tensorflow_serving.batching import (
    batch_queue,
    batching_session,
    run_size,
)
from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    session_bundle_config_pb2,
)
from tensorflow_serving.test_util import fake_session
from tensorflow_serving.util import errors


def _parameters(
    **fields: int,
) -> session_bundle_config_pb2.BatchingParameters:
    parameters = session_bundle_config_pb2.BatchingParameters()
    for name, value in fields.items():
        getattr(parameters, name).value = value
    return parameters


class _GatedSession(fake_session.FakeSession):
    """Records who runs; the first run waits until a gate is open."""

    def __init__(
        self, name: str, gate: threading.Event, order: list[str]
    ) -> None:
        super().__init__()
        self.started = threading.Event()
        self._name = name
        self._gate = gate
        self._order = order

    @override
    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., list[npt.NDArray[Any]]]:
        run = super().make_callable(fetches, feed_list)

        def gated(*feeds: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
            self._order.append(self._name)
            self.started.set()
            self._gate.wait()
            return run(*feeds)

        return gated


class _Caller:
    """Counts the tasks that are done."""

    def __init__(self, done: "queue.Queue[None]") -> None:
        self._done = done

    def succeed(self, tasks: Sized, outputs: object, timing: object) -> None:
        """Counts."""
        for _ in range(len(tasks)):
            self._done.put(None)

    def fail(self, tasks: Sized, error: Exception) -> None:
        """Raises the error."""
        raise error


class BatchThreadsTest(absltest.TestCase):
    """Tests of sessions on shared threads."""

    def test_runs_of_closed_sessions_count(self) -> None:
        """A version that goes takes none of the runs with it."""
        threads = batch_threads.BatchThreads(batch_threads.Options())
        self.addCleanup(threads.close)
        expected: dict[run_size.RunSize, int] = {}
        for num_rows in (1, 3):
            session = threads.session(fake_session.FakeSession())
            session.run(["y:0"], {"x:0": np.zeros(num_rows)})
            expected[run_size.RunSize(num_rows, 0)] = 1
            self.assertEqual(threads.num_runs(), expected)
            session.close()
            session.close()
            self.assertEqual(threads.num_runs(), expected)

    def test_parameters_that_are_set_override_defaults(self) -> None:
        """Set parameters override defaults; the others keep them."""
        defaults = batch_threads.Options(
            batch_queue.QueueOptions(max_batch_size=3, batch_timeout_micros=0)
        )
        threads = batch_threads.BatchThreads(
            defaults.updated(_parameters(max_batch_size=2))
        )
        self.addCleanup(threads.close)
        session = threads.session(fake_session.FakeSession())
        self.addCleanup(session.close)
        np.testing.assert_array_equal(
            session.run(["y:0"], {"x:0": [0.0, 2.0]}), [[2, 3]]
        )
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "rows must be at most 2, the maximum batch size; got 3",
        ):
            session.run(["y:0"], {"x:0": np.zeros(3)})

    def test_padding_of_inputs_is_that_of_the_parameters(self) -> None:
        """A long call waits until a short one comes; off, both run apart."""
        for pads, num_runs in ((False, 2), (True, 1)):
            parameters = _parameters(
                max_batch_size=2, batch_timeout_micros=60_000_000
            )
            parameters.pad_variable_length_inputs = pads
            threads = batch_threads.BatchThreads(
                batch_threads.Options().updated(parameters)
            )
            self.addCleanup(threads.close)
            wrapped = fake_session.FakeSession()
            session = threads.session(wrapped)
            self.addCleanup(session.close)
            futures = [
                session.run_async(["y:0"], {"x:0": [row]})
                for row in ([0.0, 2.0], [4.0])
            ]
            y = [future.result()[0].tolist() for future in futures]
            self.assertEqual(len(wrapped.inputs), num_runs)
            self.assertEqual(y, [[[2, 3]], [[4, 4] if pads else [4]]])

    def test_sessions_outlive_the_closing_of_the_threads(self) -> None:
        """Those that are open go on; there are no new ones."""
        threads = batch_threads.BatchThreads(batch_threads.Options())
        self.addCleanup(threads.close)
        session = threads.session(fake_session.FakeSession())
        self.addCleanup(session.close)
        threads.close()
        np.testing.assert_array_equal(
            session.run(["y:0"], {"x:0": [0.0]}), [[2]]
        )
        with self.assertRaises(errors.FailedPreconditionError):
            threads.session(fake_session.FakeSession())

    def test_flooded_session_does_not_starve_another(self) -> None:
        """A session whose queue is full has one batch, then another has one."""
        threads = batch_threads.BatchThreads(
            batch_threads.Options(batch_queue.QueueOptions(1, 0, 9))
        )
        self.addCleanup(threads.close)
        gate, order = threading.Event(), list[str]()
        done = queue.Queue[None]()
        sessions = []
        for name in ("flooded", "other"):
            wrapped = _GatedSession(name, gate, order)
            sessions.append((wrapped, threads.session(wrapped)))
            self.addCleanup(sessions[-1][1].close)
        (flooded, flooded_session), (_, other_session) = sessions
        self.addCleanup(gate.set)

        def schedule(
            session: batching_session.BatchingSession, num_tasks: int
        ) -> None:
            function = session.function(["y:0"], ["x:0"])
            session.scheduler.schedule_all(
                [
                    function.task([[0.0]], _Caller(done))
                    for _ in range(num_tasks)
                ]
            )

        schedule(flooded_session, 6)
        flooded.started.wait()
        schedule(other_session, 1)
        gate.set()
        for _ in range(7):
            done.get(timeout=60)
        self.assertEqual(order[:3], ["flooded", "other", "flooded"])

    def test_sessions_without_batching_run_each_call_alone(self) -> None:
        """The rows of a call do not count against the size of a batch."""
        options = batch_threads.Options(
            batch_queue.QueueOptions(max_batch_size=1),
            session=batching_session.Options(never_merges=True),
        )
        threads = batch_threads.BatchThreads(options)
        self.addCleanup(threads.close)
        session = threads.session(fake_session.FakeSession())
        self.addCleanup(session.close)
        self.assertEqual(session.run(["sum:0"], {"x:0": np.ones(5)}), [5])


if __name__ == "__main__":
    absltest.main()
