"""Many callers of one batching session, real threads, the real clock."""

import concurrent.futures
import dataclasses
import logging
import random
from typing import Any

import numpy as np
import numpy.typing as npt
from absl.testing import absltest, parameterized

from tensorflow_serving.batching import (
    basic_batch_scheduler,
    batch_queue,
    batch_scheduler,
    batched_function,
    batching_session,
    shared_batch_scheduler,
)
from tensorflow_serving.test_util import fake_session
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors

_CLOCK = clock_lib.MONOTONIC
_NUM_CALLERS = 4
_CALLS_PER_CALLER = 150
_MAX_ROWS = 12
_MAX_BATCH_SIZE = 5
_FUNCTIONS = (["y:0"], ["x:0", "y:0"], ["picky:0"], ["lost:0"], ["broken:0"])


@dataclasses.dataclass
class _Call:
    """A call, and what may come of it."""

    fetches: list[str]
    x: npt.NDArray[np.float64]
    has_deadline: bool
    future: concurrent.futures.Future[list[npt.NDArray[Any]]]
    was_cancelled: bool = False

    def expected_outputs(self) -> list[npt.NDArray[np.float64]]:
        """Returns the right answer."""
        y = self.x / 2 + 2
        outputs = {"x:0": self.x, "y:0": y, "picky:0": y}
        return [outputs[name] for name in self.fetches]

    def expected_error(self) -> type[errors.ServingError] | None:
        """Returns what the session raises for this call alone."""
        if self.fetches == ["lost:0"]:
            return errors.DataLossError
        if self.fetches == ["broken:0"]:
            return errors.InternalError
        if self.fetches == ["picky:0"] and (self.x < 0).any():
            return errors.OutOfRangeError
        return None


class _Caller:
    """Makes calls, cancels some, and waits only if there is no room."""

    def __init__(
        self, seed: int, session: batching_session.BatchingSession
    ) -> None:
        self._rng = random.Random(seed)
        self._session = session
        self.calls: list[_Call] = []

    def run(self) -> None:
        """Runs on a thread of its own."""
        for _ in range(_CALLS_PER_CALLER):
            self._call()
            if self._rng.random() < 0.2 and self.calls:
                call = self._rng.choice(self.calls[-5:])
                call.was_cancelled |= call.future.cancel()

    def _call(self) -> None:
        (fetches,) = self._rng.choices(_FUNCTIONS, (3, 3, 3, 1, 1))
        most = self._rng.choice([1, 2, _MAX_ROWS])
        shape = (self._rng.randint(0, most), self._rng.choice([1, 2]))
        x = np.array(
            [
                [float(self._rng.randint(-1, 40)) for _ in range(shape[1])]
                for _ in range(shape[0])
            ]
        ).reshape(shape)
        options = {}
        if self._rng.random() < 0.3:
            seconds = self._rng.uniform(0, 0.003)
            options["deadline"] = _CLOCK.now() + seconds
        try:
            future = self._session.run_async(fetches, {"x:0": x}, **options)
        except errors.DeadlineExceededError:
            return
        except errors.UnavailableError:
            pending = [
                call.future for call in self.calls if not call.future.done()
            ]
            concurrent.futures.wait(
                pending, 60, concurrent.futures.FIRST_COMPLETED
            )
            return
        self.calls.append(_Call(fetches, x, bool(options), future))


def _session(
    idle_means_go: bool, num_batch_threads: int
) -> batching_session.BatchingSession:
    def create_scheduler(
        process: batch_scheduler.ProcessBatch[batched_function.FunctionTask],
    ) -> batch_scheduler.BatchScheduler[batched_function.FunctionTask]:
        return basic_batch_scheduler.BasicBatchScheduler(
            basic_batch_scheduler.Options(
                batch_queue.QueueOptions(
                    _MAX_ROWS,
                    200,
                    8,
                    idle_means_go,
                    enable_large_batch_splitting=True,
                    max_execution_batch_size=_MAX_BATCH_SIZE,
                ),
                shared_batch_scheduler.Options(num_batch_threads),
            ),
            process,
        )

    return batching_session.BatchingSession(
        batching_session.Options(
            (2, _MAX_BATCH_SIZE), rerun_failed_batches=True
        ),
        fake_session.FakeSession(),
        create_scheduler,
    )


class BatchingSessionStressTest(parameterized.TestCase):
    """Whatever is cancelled, expires or fails, and with whom."""

    def setUp(self) -> None:
        """Keeps quiet about all the batches that fail."""
        super().setUp()
        logging.disable()
        self.addCleanup(logging.disable, logging.NOTSET)

    @parameterized.product(seed=(1, 2, 3), idle_means_go=(False, True))
    def test_each_call_gets_its_own_answer(
        self, seed: int, idle_means_go: bool
    ) -> None:
        """Each call gets the right values, or an error that is its fault."""
        session = _session(idle_means_go, num_batch_threads=1 + seed)
        callers = [
            _Caller(_NUM_CALLERS * seed + number, session)
            for number in range(_NUM_CALLERS)
        ]
        with concurrent.futures.ThreadPoolExecutor() as threads:
            for done in [threads.submit(caller.run) for caller in callers]:
                done.result()
        session.close()
        for caller in callers:
            for call in caller.calls:
                self._check(call)
        scheduler = session.statistics().scheduler
        self.assertEqual(scheduler.num_enqueued_tasks, 0)
        self.assertLessEqual(
            set(scheduler.num_batches_by_size),
            set(range(1, _MAX_BATCH_SIZE + 1)),
        )

    def _check(self, call: _Call) -> None:
        self.assertTrue(call.future.done())
        if call.was_cancelled:
            self.assertTrue(call.future.cancelled())
            return
        error = call.future.exception()
        if call.has_deadline and isinstance(
            error, errors.DeadlineExceededError
        ):
            return
        self.assertIs(
            call.expected_error(), type(error) if error else None, str(error)
        )
        if error is None:
            for output, expected in zip(
                call.future.result(), call.expected_outputs(), strict=True
            ):
                np.testing.assert_array_equal(output, expected)


if __name__ == "__main__":
    absltest.main()
