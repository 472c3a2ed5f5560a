"""How long the model of a queue runs, and whether that is quick."""

import collections
import dataclasses
import math

# A quick batch is run by the thread that brings its tasks, which does nothing
# else in the meantime: 3 ms are what a caller does not notice, and waking
# another thread for less takes a good part of that time. A batch becomes quick
# again below 2 ms; between the two it stays what it is, so that a model that
# takes about 3 ms does not move from thread to thread.
_SLOW_SECONDS = 0.003
_QUICK_SECONDS = 0.002
# The shortest of so many runs counts. What makes a run longer than the model
# needs (other processes, a collection of garbage, waiting for the interpreter)
# seldom hits as many in a row; and a model that has become slow holds a caller
# no more often than that.
_NUM_RUNS = 4
# A run of this length is no hiccup. It counts alone: three more like it would
# hold the caller for a second.
_CERTAIN_SECONDS = 0.25
# Up to here a slow run may be a quick one that waited for the interpreter: the
# switch interval is 5 ms, and a run waits for it twice or three times.
_DOUBTFUL_SECONDS = 0.02
# A doubtful batch is tried by a caller after this time, then after twice as
# long, and so on. A model that is really that slow holds callers ten times in
# the first minute, and once a minute later.
_FIRST_TRIAL_SECONDS = 0.1
_LAST_TRIAL_SECONDS = 60.0
# How long a caller runs tasks one after the other. As long as that, other calls
# wait to be read; but the more there are then, the less each of them costs.
_ROUND_SECONDS = 0.001
# How much one run counts in the typical length of a run.
_WEIGHT_OF_A_RUN = 0.2


class RunTimes:
    """The lengths of the last runs, by the size of the batch.

    Batches are alike if the next power of two is the same. Alike batches are
    quick if the shortest of their last runs was, and slow before the first run.

    The threads that run slow batches compete with busy callers for the
    interpreter, and take longer than the model needs. If only that counted,
    what was slow once would be slow forever. Therefore a caller tries a slow
    batch now and then, if it could be a quick one.

    All times are seconds of one clock. Not thread-safe.
    """

    def __init__(self) -> None:
        """Knows of no run."""
        # By the binary logarithm of the size, rounded up.
        self._kinds: dict[int, _Kind] = {}
        self._typical_seconds: float | None = None

    @property
    def typical_seconds(self) -> float:
        """How long a run takes, on a sliding average; 0 before the first."""
        return self._typical_seconds or 0.0

    @property
    def round_size(self) -> int:
        """How many runs a caller makes before it looks for other calls."""
        if not self._typical_seconds:
            return 1
        return max(1, int(_ROUND_SECONDS / self._typical_seconds))

    def record(self, size: int, seconds: float, now: float) -> None:
        """Records a run that is over.

        Args:
          size: The rows of the batch; at least 1.
          seconds: How long the model ran.
          now: The time.
        """
        kind = self._kinds.get((size - 1).bit_length())
        if kind is None:
            kind = self._kinds[(size - 1).bit_length()] = _Kind()
        kind.record(seconds, now)
        if self._typical_seconds is None:
            self._typical_seconds = seconds
        else:
            self._typical_seconds += _WEIGHT_OF_A_RUN * (
                seconds - self._typical_seconds
            )

    def may_run_here(self, size: int, now: float) -> bool:
        """Returns whether a caller should run a batch itself.

        It must do so then, because it may be a trial.
        """
        kind = self._kinds.get((size - 1).bit_length())
        return kind is not None and (kind.is_quick or kind.begin_trial(now))


@dataclasses.dataclass
class _Kind:
    """Batches of about the same size."""

    is_quick: bool = True
    last_seconds: collections.deque[float] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=_NUM_RUNS)
    )
    next_trial: float = math.inf
    trial_seconds: float = _FIRST_TRIAL_SECONDS

    def record(self, seconds: float, now: float) -> None:
        """Records a run, and decides whether the next one is quick."""
        if seconds > _CERTAIN_SECONDS:
            self.last_seconds.clear()
        self.last_seconds.append(seconds)
        shortest = min(self.last_seconds)
        if self.is_quick and shortest > _SLOW_SECONDS:
            self.is_quick = False
            self.trial_seconds = _FIRST_TRIAL_SECONDS
            self.next_trial = now + self.trial_seconds
        elif shortest < _QUICK_SECONDS:
            self.is_quick = True

    def begin_trial(self, now: float) -> bool:
        """Returns whether it is time to try a slow batch."""
        if now < self.next_trial or min(self.last_seconds) > _DOUBTFUL_SECONDS:
            return False
        self.trial_seconds = min(2 * self.trial_seconds, _LAST_TRIAL_SECONDS)
        self.next_trial = now + self.trial_seconds
        return True
