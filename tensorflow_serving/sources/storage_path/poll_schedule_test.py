"""Tests for poll_schedule."""

from absl.testing import absltest

from tensorflow_serving.core import servable
from tensorflow_serving.sources.storage_path import poll_schedule

_ONE = frozenset({servable.ServableId("a", 1)})
_TWO = frozenset({servable.ServableId("a", 2)})
_NOTHING = poll_schedule.Outlook()


class PollScheduleTest(absltest.TestCase):
    """When to poll next."""

    def test_polls_every_period(self) -> None:
        """Periods count from the start of a poll."""
        schedule = poll_schedule.PollSchedule(8.0, 0.25)
        self.assertEqual(schedule.next_poll(0.0, _NOTHING), 8.0)
        self.assertEqual(schedule.next_poll(9.0, _NOTHING), 17.0)

    def test_polls_when_a_version_can_be_settled(self) -> None:
        """The next poll comes when a version can be settled, not later."""
        schedule = poll_schedule.PollSchedule(8.0, 0.25)
        outlook = poll_schedule.Outlook(unsettled=_ONE, settle_time=1.25)
        self.assertEqual(schedule.next_poll(1.0, outlook), 1.25)

    def test_short_period_is_kept(self) -> None:
        """A version is settled at the very moment that it can be."""
        schedule = poll_schedule.PollSchedule(0.1, 0.25)
        outlook = poll_schedule.Outlook(unsettled=_ONE, settle_time=0.25)
        self.assertEqual(schedule.next_poll(0.0, outlook), 0.1)
        self.assertEqual(schedule.next_poll(0.2, outlook), 0.25)

    def test_backs_off_while_a_version_is_incomplete(self) -> None:
        """The back-off ends at the period, and starts over with a change."""
        schedule = poll_schedule.PollSchedule(1.5, 0.25)
        same = poll_schedule.Outlook(incomplete=_ONE)
        changed = poll_schedule.Outlook(incomplete=_ONE, has_changed=True)
        delays = [
            schedule.next_poll(0.0, outlook)
            for outlook in (changed, same, same, same, same, changed, same)
        ]
        self.assertEqual(delays, [0.25, 0.5, 1.0, 1.5, 1.5, 0.25, 0.5])

    def test_period_of_zero_polls_once_if_there_is_nothing_to_wait_for(
        self,
    ) -> None:
        """One look says it all."""
        schedule = poll_schedule.PollSchedule(0.0, 0.25)
        self.assertIsNone(schedule.next_poll(0.0, _NOTHING))

    def test_period_of_zero_waits_for_the_versions_of_the_first_poll(
        self,
    ) -> None:
        """Polls end when those are settled; later ones do not count."""
        schedule = poll_schedule.PollSchedule(0.0, 0.25)
        one = poll_schedule.Outlook(unsettled=_ONE)
        self.assertEqual(schedule.next_poll(0.0, one), 0.25)
        self.assertEqual(schedule.next_poll(0.25, one), 0.5)
        two = poll_schedule.Outlook(unsettled=_TWO)
        self.assertIsNone(schedule.next_poll(0.5, two))
        schedule.start_over()
        self.assertEqual(schedule.next_poll(9.0, two), 9.25)

    def test_period_of_zero_looks_twice_at_an_incomplete_version(self) -> None:
        """It may be whole then, and is waited for."""
        incomplete = poll_schedule.Outlook(incomplete=_ONE)
        schedule = poll_schedule.PollSchedule(0.0, 0.25)
        self.assertEqual(schedule.next_poll(0.0, incomplete), 0.25)
        self.assertIsNone(schedule.next_poll(0.25, incomplete))
        schedule.start_over()
        self.assertEqual(schedule.next_poll(0.0, incomplete), 0.25)
        whole = poll_schedule.Outlook(unsettled=_ONE)
        self.assertEqual(schedule.next_poll(0.25, whole), 0.5)


if __name__ == "__main__":
    absltest.main()
