"""Counts of values by size."""

import bisect
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

import numpy as np

_Key = TypeVar("_Key")

# It pays to call numpy when there are so many values.
_MANY: Final = 32


class Histogram:
    """Counts of values by size. Not thread-safe."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Takes ascending upper bounds; a last bucket has none."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        # The sum of all values.
        self.total = 0.0

    def add(self, values: Sequence[float]) -> None:
        """Counts values."""
        bounds, counts = self.bounds, self.counts
        self.total += sum(values)
        if len(values) >= _MANY:
            found = np.bincount(np.searchsorted(bounds, values)).tolist()
            for index, number in enumerate(found):
                counts[index] += number
            return
        for value in values:
            counts[bisect.bisect_left(bounds, value)] += 1

    def add_many(self, value: float, number: int) -> None:
        """Counts a value that came several times."""
        self.counts[bisect.bisect_left(self.bounds, value)] += number
        self.total += value * number

    def add_all(self, other: "Histogram") -> None:
        """Counts the values of a histogram with the same bounds."""
        self.counts = [
            own + its
            for own, its in zip(self.counts, other.counts, strict=True)
        ]
        self.total += other.total

    def copy(self) -> "Histogram":
        """Returns the counts as they are now."""
        copied = Histogram(self.bounds)
        copied.counts = list(self.counts)
        copied.total = self.total
        return copied


class Histograms(Generic[_Key], dict[_Key, Histogram]):
    """Histograms with the same bounds, made as they are needed.

    Not thread-safe.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        """Takes the bounds of all; see Histogram."""
        super().__init__()
        self._bounds = bounds

    def __missing__(self, key: _Key) -> Histogram:
        """Makes the histogram of a key."""
        self[key] = Histogram(self._bounds)
        return self[key]

    def copies(self) -> dict[_Key, Histogram]:
        """Returns the counts as they are now."""
        return {key: each.copy() for key, each in self.items()}
