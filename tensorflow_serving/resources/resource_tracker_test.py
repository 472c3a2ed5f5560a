"""Tests for resource_tracker."""

from absl.testing import absltest

from tensorflow_serving.resources import resource_tracker
from tensorflow_serving.util import errors

_Allocation = resource_tracker.ResourceAllocation


class ResourceAllocationTest(absltest.TestCase):
    """Tests of the resources that a servable takes."""

    def test_default_is_nothing(self) -> None:
        """A loader may know nothing of what it takes."""
        self.assertEqual(_Allocation(), _Allocation(ram_in_bytes=0))

    def test_quantity_below_0_is_refused(self) -> None:
        """The error names it."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            "^ram_in_bytes must be at least 0; got -1$",
        ):
            _Allocation(-1)


class ResourceTrackerTest(absltest.TestCase):
    """A budget of 10 bytes."""

    def setUp(self) -> None:
        """Makes the budget, of which a has 3."""
        super().setUp()
        self.tracker = resource_tracker.ResourceTracker(_Allocation(10))
        self.tracker.reserve("a", _Allocation(3))

    def test_reservations_add_up(self) -> None:
        """Reservations add up to the last byte."""
        self.tracker.reserve("b", _Allocation(7))
        self.assertEqual(self.tracker.used, _Allocation(10))

    def test_what_does_not_fit_is_refused(self) -> None:
        """The text says what is left; nothing is reserved."""
        with self.assertRaisesRegex(
            errors.ResourceExhaustedError,
            "^memory of b must be at most 7 bytes, what is left of 10; got an "
            "estimate of 9, 2 too many$",
        ):
            self.tracker.reserve("b", _Allocation(9))
        self.assertEqual(self.tracker.used, _Allocation(3))

    def test_nothing_always_fits(self) -> None:
        """An owner that takes nothing fits, even when all is taken."""
        self.tracker.reserve("b", _Allocation(7))
        self.tracker.reserve("c", _Allocation())
        self.assertEqual(self.tracker.used, _Allocation(10))

    def test_new_reservation_replaces_the_old_one(self) -> None:
        """An owner may take less, or more if it has room without its own."""
        self.tracker.reserve("a", _Allocation(10))
        self.assertEqual(self.tracker.used, _Allocation(10))
        self.tracker.reserve("a", _Allocation(1))
        self.assertEqual(self.tracker.used, _Allocation(1))

    def test_refused_replacement_keeps_the_old_one(self) -> None:
        """A refused replacement keeps the old reservation, still in use."""
        with self.assertRaises(errors.ResourceExhaustedError):
            self.tracker.reserve("a", _Allocation(11))
        self.assertEqual(self.tracker.used, _Allocation(3))

    def test_release_makes_room(self) -> None:
        """Only an owner with a reservation has something to give back."""
        self.tracker.release("a")
        self.tracker.release("a")
        self.tracker.release("b")
        self.assertEqual(self.tracker.used, _Allocation(0))
        self.tracker.reserve("b", _Allocation(10))
        self.assertEqual(self.tracker.used, _Allocation(10))


if __name__ == "__main__":
    absltest.main()
