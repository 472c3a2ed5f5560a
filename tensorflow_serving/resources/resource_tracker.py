"""A memory budget: what all loaded servables may take together."""

import dataclasses
import threading
from collections.abc import Hashable

from tensorflow_serving.util import errors


@dataclasses.dataclass(frozen=True)
class ResourceAllocation:
    """The part of a machine that a servable takes.

    Raises:
      InvalidArgumentError: A quantity is below 0.
    """

    # Main memory.
    ram_in_bytes: int = 0

    def __post_init__(self) -> None:
        """Checks the quantities."""
        errors.require_at_least(0, ram_in_bytes=self.ram_in_bytes)


class ResourceTracker:
    """Keeps account of a budget. Thread-safe."""

    def __init__(self, total: ResourceAllocation) -> None:
        """Takes what there is."""
        self._total = total
        self._lock = threading.Lock()
        # Guarded by _lock.
        self._reserved: dict[Hashable, ResourceAllocation] = {}
        self._used_bytes = 0

    def reserve(self, owner: Hashable, wanted: ResourceAllocation) -> None:
        """Reserves an amount for an owner, replacing its previous reservation.

        On an error nothing changes.

        Raises:
          ResourceExhaustedError: There is not as much left; the text says by
            how much. Transient: until others release theirs.
        """
        with self._lock:
            before = self._reserved.get(owner, ResourceAllocation())
            others = self._used_bytes - before.ram_in_bytes
            free = self._total.ram_in_bytes - others
            if wanted.ram_in_bytes > free:
                raise errors.ResourceExhaustedError(
                    f"memory of {owner} must be at most {free} bytes, "
                    f"what is left of {self._total.ram_in_bytes}; got an "
                    f"estimate of {wanted.ram_in_bytes}, "
                    f"{wanted.ram_in_bytes - free} too many"
                )
            self._reserved[owner] = wanted
            self._used_bytes = others + wanted.ram_in_bytes

    def release(self, owner: Hashable) -> bool:
        """Gives back what an owner had reserved; returns whether it had."""
        with self._lock:
            reserved = self._reserved.pop(owner, None)
            if reserved is None:
                return False
            self._used_bytes -= reserved.ram_in_bytes
            return True

    @property
    def used(self) -> ResourceAllocation:
        """The sum of all reservations."""
        with self._lock:
            return ResourceAllocation(self._used_bytes)
