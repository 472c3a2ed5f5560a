"""The calls of one load, with their times and their ends."""

import collections
import dataclasses
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.util import errors

# A call that HTTP calls a success, and that brought no answer.
NO_ANSWER = "NO_ANSWER"


@dataclasses.dataclass(frozen=True)
class Calls:
    """Each call of a load; the arrays have one value a call."""

    # When the load began: seconds since the epoch.
    begin_time: float
    # The time in which calls were made.
    seconds: float
    # From the moment when the call was meant to start to its end: float64.
    latency_seconds: npt.NDArray[Any]
    # By how much it started later than meant: float64.
    late_seconds: npt.NDArray[Any]
    # When it ended, since the beginning of the load: float64.
    done_seconds: npt.NDArray[Any]
    # Numbers of errors.StatusCode: int16.
    codes: npt.NDArray[Any]
    # How many of the calls that are OK had a wrong answer.
    num_wrong: int = 0
    # OK calls that carried no message. It is not known which ones: see
    # h2load.py.
    num_unanswered: int = 0

    @property
    def num_calls(self) -> int:
        """The number of calls that were made."""
        return len(self.codes)

    @property
    def end_time(self) -> float:
        """The time after which no call started: seconds since the epoch."""
        return self.begin_time + self.seconds

    @property
    def answers_per_second(self) -> float:
        """Answers that came while calls were made, without errors."""
        in_time = self.done_seconds <= self.seconds
        num_answers = int(np.count_nonzero(self._is_ok & in_time))
        return max(0, num_answers - self.num_unanswered) / self.seconds

    @property
    def offered_per_second(self) -> float:
        """Calls that were made."""
        return self.num_calls / self.seconds

    def latency_percentiles_ms(
        self, percentiles: list[float]
    ) -> list[float | None]:
        """Returns percentiles of the latency of calls that are OK."""
        return _percentiles_ms(self.latency_seconds[self._is_ok], percentiles)

    def late_percentiles_ms(
        self, percentiles: list[float]
    ) -> list[float | None]:
        """Returns percentiles of how late calls started."""
        return _percentiles_ms(self.late_seconds, percentiles)

    def errors(self) -> collections.Counter[str]:
        """Returns the number of calls that failed, by name of the status."""
        codes, counts = np.unique(self.codes[~self._is_ok], return_counts=True)
        counter = collections.Counter(
            {
                errors.StatusCode(code).name: int(count)
                for code, count in zip(codes, counts, strict=True)
            }
        )
        if self.num_unanswered:
            counter[NO_ANSWER] = self.num_unanswered
        return counter

    @property
    def _is_ok(self) -> npt.NDArray[Any]:
        is_ok: npt.NDArray[Any] = self.codes == errors.StatusCode.OK
        return is_ok


def _percentiles_ms(
    seconds: npt.NDArray[Any], percentiles: list[float]
) -> list[float | None]:
    if not len(seconds):
        return [None] * len(percentiles)
    return [float(each) for each in np.percentile(seconds, percentiles) * 1e3]
