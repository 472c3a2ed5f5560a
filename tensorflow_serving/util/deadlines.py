"""Items whose time runs out, the first of them first."""

import heapq
import math
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")

# So many discarded entries are kept without a look at their share.
_SLACK = 64


class Deadlines(Generic[ItemT]):
    """A collection from which items are taken when their deadline has come.

        deadlines = Deadlines[Call]()
        ticket = deadlines.push(call.deadline, call)
        ...
        deadlines.discard(ticket)  # the call was answered in time
        ...
        for call in deadlines.pop_expired(now):
            ...

    Most items never expire: they are discarded long before. That takes constant
    time, and the item is free at once. All that is left of it is an entry
    of the heap, a number and a ticket. As soon as more than half of the entries
    are such, the heap is rebuilt without them, so that its size follows the
    number of items, however far away their deadlines are. push() and a popped
    item take logarithmic time.

    Deadlines are seconds of one clock, infinite for never. Not thread-safe.
    """

    __slots__ = ("_heap", "_items", "_next_ticket")

    def __init__(self) -> None:
        """Makes an empty collection."""
        # Deadlines and tickets. Tickets ascend, so that items with the same
        # deadline keep their order, and are never compared themselves.
        self._heap: list[tuple[float, int]] = []
        # By ticket. An entry of the heap without an item was discarded.
        self._items: dict[int, ItemT] = {}
        self._next_ticket = 0

    def __len__(self) -> int:
        """Returns the number of items."""
        return len(self._items)

    def __repr__(self) -> str:
        """Returns the number of items and the first deadline."""
        return (
            f"Deadlines(num_items={len(self)}, "
            f"next_deadline={self.next_deadline})"
        )

    @property
    def next_deadline(self) -> float:
        """The earliest deadline of an item; infinite if there is none."""
        heap, items = self._heap, self._items
        while heap:
            deadline, ticket = heap[0]
            if ticket in items:
                return deadline
            heapq.heappop(heap)
        return math.inf

    def push(self, deadline: float, item: ItemT) -> int:
        """Adds an item; returns the ticket with which to discard it."""
        ticket = self._next_ticket
        self._next_ticket = ticket + 1
        self._items[ticket] = item
        heapq.heappush(self._heap, (deadline, ticket))
        return ticket

    def discard(self, ticket: int) -> None:
        """Removes an item, if it is still there."""
        items = self._items
        items.pop(ticket, None)
        if len(self._heap) > 2 * len(items) + _SLACK:
            self._heap = [entry for entry in self._heap if entry[1] in items]
            heapq.heapify(self._heap)

    def pop_expired(self, now: float) -> list[ItemT]:
        """Removes and returns the items whose deadline has come.

        They are in the order of their deadlines, and of push() if those are
        equal.
        """
        expired = []
        while self.next_deadline <= now:
            expired.append(self.pop_first())
        return expired

    def pop_first(self) -> ItemT:
        """Removes and returns the item of next_deadline; there must be one."""
        while True:
            _, ticket = heapq.heappop(self._heap)
            if ticket in self._items:
                return self._items.pop(ticket)
