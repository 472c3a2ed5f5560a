"""Tests for deadlines."""

import math
import random
import weakref

from absl.testing import absltest, parameterized

from tensorflow_serving.util import deadlines as deadlines_lib


class _Time(float):
    """A number of which a test can see whether anything refers to it."""


class _Item:
    """Something of which a test can see whether anything refers to it."""


class DeadlinesTest(parameterized.TestCase):
    """Items whose time runs out."""

    def test_empty_collection_never_expires(self) -> None:
        """An empty collection has an infinite next deadline."""
        deadlines = deadlines_lib.Deadlines[str]()
        self.assertEqual(deadlines.next_deadline, math.inf)
        self.assertEqual(deadlines.pop_expired(1e300), [])
        self.assertEqual(len(deadlines), 0)

    def test_item_expires_exactly_at_its_deadline(self) -> None:
        """An item is popped when its deadline has come, and not before."""
        deadlines = deadlines_lib.Deadlines[str]()
        deadlines.push(2.0, "item")
        self.assertEqual(deadlines.next_deadline, 2.0)
        self.assertEqual(deadlines.pop_expired(math.nextafter(2.0, 0.0)), [])
        self.assertEqual(deadlines.pop_expired(2.0), ["item"])
        self.assertEqual(deadlines.pop_expired(2.0), [])

    def test_items_expire_in_the_order_of_their_deadlines(self) -> None:
        """Those with the same deadline keep the order in which they came."""
        deadlines = deadlines_lib.Deadlines[str]()
        for deadline, item in (
            (3.0, "late"),
            (2.0, "first"),
            (2.0, "second"),
            (1.0, "early"),
            (9.0, "far"),
        ):
            deadlines.push(deadline, item)
        self.assertEqual(
            deadlines.pop_expired(3.0), ["early", "first", "second", "late"]
        )
        self.assertEqual(len(deadlines), 1)
        self.assertEqual(deadlines.next_deadline, 9.0)

    def test_discarded_item_does_not_expire(self) -> None:
        """The next deadline is that of the items that are left."""
        deadlines = deadlines_lib.Deadlines[str]()
        ticket = deadlines.push(1.0, "discarded")
        deadlines.push(2.0, "kept")
        deadlines.discard(ticket)
        self.assertEqual(len(deadlines), 1)
        self.assertEqual(deadlines.next_deadline, 2.0)
        self.assertEqual(deadlines.pop_expired(2.0), ["kept"])

    def test_discarding_twice_has_no_effect(self) -> None:
        """Neither has discarding an item that expired."""
        deadlines = deadlines_lib.Deadlines[str]()
        discarded = deadlines.push(1.0, "discarded")
        expired = deadlines.push(1.0, "expired")
        deadlines.push(2.0, "kept")
        deadlines.discard(discarded)
        deadlines.discard(discarded)
        self.assertEqual(deadlines.pop_expired(1.0), ["expired"])
        deadlines.discard(expired)
        self.assertEqual(len(deadlines), 1)

    def test_equal_items_are_different_items(self) -> None:
        """A ticket stands for one push, not for all equal items."""
        deadlines = deadlines_lib.Deadlines[list[int]]()
        ticket = deadlines.push(1.0, [])
        deadlines.push(1.0, [])
        deadlines.discard(ticket)
        self.assertEqual(deadlines.pop_expired(1.0), [[]])

    def test_item_without_a_deadline_stays(self) -> None:
        """An infinite deadline does not come."""
        deadlines = deadlines_lib.Deadlines[str]()
        deadlines.push(math.inf, "item")
        self.assertEqual(deadlines.pop_expired(1e300), [])
        self.assertEqual(len(deadlines), 1)

    def test_discarded_item_is_free_at_once(self) -> None:
        """Its deadline may be far away."""
        deadlines = deadlines_lib.Deadlines[_Item]()
        item = _Item()
        reference = weakref.ref(item)
        ticket = deadlines.push(60.0, item)
        del item
        self.assertIsNotNone(reference())
        deadlines.discard(ticket)
        self.assertIsNone(reference())

    def test_discarded_entries_do_not_pile_up(self) -> None:
        """A million quick calls with long deadlines need no more room."""
        deadlines = deadlines_lib.Deadlines[int]()
        times: weakref.WeakSet[_Time] = weakref.WeakSet()
        tickets = []
        for number in range(10_000):
            time = _Time(60 + number)
            times.add(time)
            tickets.append(deadlines.push(time, number))
            del time
            if number >= 100:
                deadlines.discard(tickets[number - 100])
            self.assertLessEqual(len(times), 2 * len(deadlines) + 65)
        self.assertEqual(len(deadlines), 100)
        self.assertEqual(deadlines.pop_expired(1e9), [*range(9_900, 10_000)])

    def test_first_item_is_taken_alone(self) -> None:
        """One that was discarded is passed over; the others stay."""
        deadlines = deadlines_lib.Deadlines[str]()
        deadlines.push(3.0, "last")
        gone = deadlines.push(1.0, "gone")
        deadlines.push(2.0, "first")
        deadlines.discard(gone)
        self.assertEqual(deadlines.pop_first(), "first")
        self.assertEqual(deadlines.pop_expired(3.0), ["last"])

    @parameterized.parameters(range(5))
    def test_collection_agrees_with_a_sorted_list(self, seed: int) -> None:
        """The order is right however items come, leave and expire."""
        rng = random.Random(seed)
        deadlines = deadlines_lib.Deadlines[int]()
        expected: dict[int, tuple[float, int]] = {}
        for number in range(2_000):
            now = number / 10
            deadline = float(number // 10 + rng.randrange(50))
            expected[deadlines.push(deadline, number)] = (deadline, number)
            if rng.random() < 0.7:
                ticket = rng.choice([*expected])
                deadlines.discard(ticket)
                del expected[ticket]
            if rng.random() < 0.1:
                due = sorted(e for e in expected.values() if e[0] <= now)
                expected = {k: e for k, e in expected.items() if e[0] > now}
                self.assertEqual(
                    deadlines.pop_expired(now), [item for _, item in due]
                )
            self.assertEqual(len(deadlines), len(expected))
            self.assertEqual(
                deadlines.next_deadline,
                min((e[0] for e in expected.values()), default=math.inf),
            )

    def test_text_shows_the_state(self) -> None:
        """The text of the collection is for debuggers."""
        deadlines = deadlines_lib.Deadlines[str]()
        deadlines.push(2.5, "item")
        self.assertEqual(
            repr(deadlines), "Deadlines(num_items=1, next_deadline=2.5)"
        )


if __name__ == "__main__":
    absltest.main()
