"""How many runs there were of each size."""

import collections
import dataclasses
from collections.abc import Mapping
from typing import Final

# Batches have at most so many rows as a rule. Calls that run alone may have any
# number, and are counted by the next power of two, so that counts stay few.
_MAX_EXACT_ROWS: Final = 1024


@dataclasses.dataclass(frozen=True, slots=True)
class RunSize:
    """The size of a run."""

    # Without padding; a large number is rounded up.
    num_rows: int
    num_padding_rows: int


class RunCounts:
    """How many runs there were, by size. Not thread-safe."""

    __slots__ = ("_numbers", "num_padding_rows", "num_rows")

    def __init__(self) -> None:
        """Starts without runs."""
        # The exact sums over all runs.
        self.num_rows = self.num_padding_rows = 0
        # By rows, rounded, and padding.
        self._numbers: collections.Counter[tuple[int, int]] = (
            collections.Counter()
        )

    def add(self, num_rows: int, num_padding_rows: int) -> None:
        """Counts a run."""
        self.num_rows += num_rows
        self.num_padding_rows += num_padding_rows
        self._numbers[rounded(num_rows), num_padding_rows] += 1

    def by_size(self) -> Mapping[RunSize, int]:
        """Returns the numbers as they are now."""
        return {
            RunSize(*size): number for size, number in self._numbers.items()
        }


def rounded(num_rows: int) -> int:
    """Returns the number of rows by which a run is counted."""
    if num_rows <= _MAX_EXACT_ROWS:
        return num_rows
    return 1 << (num_rows - 1).bit_length()
