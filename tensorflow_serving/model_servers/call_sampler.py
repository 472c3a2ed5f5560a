"""A random choice of calls.

Example:
    sampler = CallSampler(0.01)
    sampler.choose(32)  # nearly always []
"""

import math
import random
import threading
from collections.abc import Callable, Sequence


class CallSampler:
    """Chooses each call with the same probability, whatever the others.

    Draws no number for a call: the gap from one chosen call to the next has a
    geometric distribution, so one number for each gap is enough. Thread-safe.
    """

    def __init__(
        self, rate: float, draw: Callable[[], float] = random.random
    ) -> None:
        """Takes a probability, from 0 to 1.

        Args:
          rate: The probability.
          draw: Returns numbers of at least 0 and below 1.
        """
        self._draw = draw
        self._log_of_miss = math.log1p(-rate) if rate < 1 else -math.inf
        self._lock = threading.Lock()
        # How many calls come before the next one that is chosen.
        self._gap = self._draw_gap()  # guarded by _lock

    def choose(self, num_calls: int) -> Sequence[int]:
        """Returns which of some calls are chosen, in order."""
        with self._lock:
            chosen = []
            index = self._gap
            while index < num_calls:
                chosen.append(int(index))
                index += 1 + self._draw_gap()
            self._gap = index - num_calls
        return chosen

    def _draw_gap(self) -> float:
        """Returns a number of calls, perhaps infinite."""
        if not self._log_of_miss:
            return math.inf
        return math.log1p(-self._draw()) // self._log_of_miss
