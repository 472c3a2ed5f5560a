"""Warms a model up before it counts as available: by requests, or by zeros.

Example:
    model_warm_up.warm_up(model, bundle, model_warm_up.Options())
    model.warning  # what went wrong, or ""
"""

import contextlib
import dataclasses
import functools
import math
import threading
from typing import Final

from absl import logging

from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.servables.tensorflow import (
    bounded_runs,
    inference,
    served_model,
    warm_up_requests,
)
from tensorflow_serving.servables.tensorflow import warm_up as zeros
from tensorflow_serving.session_bundle import session as session_lib
from tensorflow_serving.session_bundle import session_bundle
from tensorflow_serving.util import bugs, errors
from tensorflow_serving.util import clock as clock_lib

# Few, as other models serve meanwhile.
_NUM_THREADS: Final = 2

_Bundle = session_bundle.SessionBundle[session_lib.Session]


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a warm-up.

    Raises:
      InvalidArgumentError: A value is out of range.
    """

    # How often each request is replayed.
    num_request_iterations: int = 1
    # After how long no further request is replayed. One that then needs as long
    # again is taken for one that never ends. 0: no limit.
    timeout_seconds: float = 120.0
    # Whether a model whose warm-up fails is refused; else it has a warning.
    is_required: bool = False
    # After how long no further run with zeros begins. One that then needs as
    # long again goes on beside the calls of the model. 0: no zeros at all.
    zeros_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Checks the values."""
        errors.require_at_least(
            1, num_request_iterations=self.num_request_iterations
        )
        errors.require_at_least(
            0,
            timeout_seconds=self.timeout_seconds,
            zeros_seconds=self.zeros_seconds,
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a warm-up ended."""

    # Without a file of use it is 0.
    num_requests: int
    failure: errors.ServingError | None


def warm_up(
    model: served_model.ServedModel,
    bundle: _Bundle,
    options: Options,
    clock: clock_lib.Clock = clock_lib.MONOTONIC,
) -> Outcome:
    """Replays the warm-up requests of a version, as callers would send them.

    They wait in the queues of their signatures, and two of them run at the same
    time. A version without such a file, or with one that is of no use, is
    warmed up with zeros, of the least and the largest batch size. What becomes
    of those has no consequence.

    Args:
      model: Is warmed up. If that fails, it has a warning.
      bundle: The bundle of the model, with its path.
      options: See Options.
      clock: Decides when it has taken too long.

    Raises:
      FailedPreconditionError: A run does not end: it would hold a thread of all
        models. The model is closed, which breaks it off. Permanent.
      ServingError: The warm-up failed, and is required. The model is closed.
    """
    try:
        with bounded_runs.BoundedRuns(
            "warm-up",
            _NUM_THREADS,
            options.timeout_seconds or math.inf,
            clock,
        ) as runs:
            outcome = _Replay(model, options, runs).run(bundle)
        if outcome.failure is not None and options.is_required:
            raise outcome.failure
    except errors.ServingError:
        # The bundle first: that breaks off what runs, for which the queues of
        # the model wait.
        bundle.close()
        model.close()
        raise
    if outcome.failure is not None:
        model.warning = errors.short_text(outcome.failure)
    if not outcome.num_requests and options.zeros_seconds:
        _run_zeros(model, bundle, options.zeros_seconds, clock)
    return outcome


def _run_zeros(
    model: served_model.ServedModel,
    bundle: _Bundle,
    seconds: float,
    clock: clock_lib.Clock,
) -> None:
    with bounded_runs.BoundedRuns(
        "warm-up", _NUM_THREADS, seconds, clock
    ) as runs:
        with contextlib.suppress(errors.DeadlineExceededError):
            for run in zeros.runs(bundle, model.batch_sizes, clock):
                runs.submit(run)
        if not runs.wait():
            logging.warning(
                "Runs with zeros take longer than a warm-up may; they go on "
                "while the version serves: %s",
                bundle.path,
            )


class _Replay:
    """Runs the requests of a version."""

    def __init__(
        self,
        model: served_model.ServedModel,
        options: Options,
        runs: bounded_runs.BoundedRuns,
    ) -> None:
        # Who answers is of no interest: responses are dropped.
        self._version = inference.Version("warm-up", 0, model)
        self._options = options
        self._runs = runs
        self._lock = threading.Lock()
        self._failures: list[errors.ServingError] = []  # guarded by _lock

    def run(self, bundle: _Bundle) -> Outcome:
        """Runs all requests; a failure is that which came first.

        Raises:
          FailedPreconditionError: A run does not end.
        """
        number = 0
        try:
            for number, log in enumerate(warm_up_requests.read(bundle.path), 1):
                self._runs.submit(functools.partial(self._replay, number, log))
        except errors.NotFoundError:
            pass
        except errors.ServingError as error:
            self._fail(error)
        if not self._runs.wait():
            raise errors.FailedPreconditionError(
                "runs of a warm-up must end; got one that hangs, so the "
                f"version is not served: {bundle.path}"
            )
        if number:
            logging.info(
                "Replayed %d warm-up requests of %s", number, bundle.path
            )
        return Outcome(number, self._failure())

    def _replay(
        self, number: int, log: prediction_log_pb2.PredictionLog
    ) -> None:
        """Replays a request; runs on a thread of its own."""
        try:
            for _ in range(self._options.num_request_iterations):
                warm_up_requests.begin(self._version, log).run()
        except Exception as error:
            what = f"warm-up request {number}"
            shown = bugs.as_serving_error(what, error)
            self._fail(
                errors.from_code(
                    shown.code, f"{what} failed: {shown.code.name}: {shown}"
                )
            )

    def _fail(self, error: errors.ServingError) -> None:
        with self._lock:
            self._failures.append(error)

    def _failure(self) -> errors.ServingError | None:
        """Returns the first failure, with the number of the others."""
        with self._lock:
            if not self._failures:
                return None
            first, *others = self._failures
        text = f" (and {len(others)} more failures)" if others else ""
        return errors.from_code(first.code, f"{first}{text}")
