"""Tests for the budgets of a connection."""

from absl.testing import absltest

from tensorflow_serving.rpc.http2 import budgets, frames
from tensorflow_serving.rpc.http2 import limits as limits_lib

_LIMITS = limits_lib.Limits(
    resets=limits_lib.Rate(burst=2, per_second=1),
    other_frames=limits_lib.Rate(burst=2, per_second=1),
)


class BudgetTest(absltest.TestCase):
    """A burst, and a rate."""

    def _budget(self) -> budgets.Budget:
        return budgets.Budget(
            "events", limits_lib.Rate(burst=2, per_second=10), 0.0
        )

    def test_burst_is_allowed(self) -> None:
        """A burst of events may come at the same time."""
        budget = self._budget()
        budget.spend(0.0)
        budget.spend(0.0)

    def test_one_more_than_a_burst_is_refused(self) -> None:
        """The event after a burst ends the connection, with its name."""
        budget = self._budget()
        budget.spend(0.0)
        budget.spend(0.0)
        with self.assertRaisesRegex(
            frames.Http2ConnectionError, "too many events"
        ) as raised:
            budget.spend(0.0)
        self.assertEqual(
            raised.exception.code, frames.ErrorCode.ENHANCE_YOUR_CALM
        )

    def test_time_allows_more(self) -> None:
        """A tenth of a second allows one more event at ten a second."""
        budget = self._budget()
        budget.spend(0.0)
        budget.spend(0.0)
        budget.spend(0.1)

    def test_time_allows_no_more_than_a_burst(self) -> None:
        """An hour of silence does not allow more than a burst."""
        budget = self._budget()
        for _ in range(2):
            budget.spend(3600.0)
        with self.assertRaises(frames.Http2ConnectionError):
            budget.spend(3600.0)


class BudgetsTest(absltest.TestCase):
    """Tests of the ways in which a peer earns budget."""

    def setUp(self) -> None:
        """Makes budgets of which the bursts are spent."""
        super().setUp()
        self._budgets = budgets.Budgets(_LIMITS, now=0.0)
        for _ in range(2):
            self._budgets.spend_other(0.0, num_calls=0, num_sent_bytes=0)
            self._budgets.spend_reset(0.0, num_answered=0)

    def test_call_earns_frames(self) -> None:
        """A call earns as many frames of no use as the burst has room for."""
        for _ in range(2):
            self._budgets.spend_other(0.0, num_calls=1, num_sent_bytes=0)
        with self.assertRaises(frames.Http2ConnectionError):
            self._budgets.spend_other(0.0, num_calls=1, num_sent_bytes=0)

    def test_sent_data_earns_frames(self) -> None:
        """A peer that reads a large reply may update its windows."""
        for num_frames in range(1, 100):
            self._budgets.spend_other(
                0.0, num_calls=0, num_sent_bytes=num_frames * 1024
            )

    def test_trickle_of_data_earns_nothing(self) -> None:
        """A peer that asks for a reply byte by byte is sent away."""
        with self.assertRaises(frames.Http2ConnectionError):
            self._budgets.spend_other(0.0, num_calls=0, num_sent_bytes=1)

    def test_answered_call_earns_a_reset(self) -> None:
        """A peer may take back as many calls as it has waited for."""
        for num_answered in range(1, 100):
            self._budgets.spend_reset(0.0, num_answered)
        with self.assertRaises(frames.Http2ConnectionError):
            self._budgets.spend_reset(0.0, 99)


if __name__ == "__main__":
    absltest.main()
