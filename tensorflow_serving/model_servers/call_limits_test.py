"""Tests for call_limits."""

import threading

from absl.testing import absltest

from tensorflow_serving.model_servers import call_limits, model_configs
from tensorflow_serving.util import errors


def _models(**most: int) -> model_configs.Models:
    return tuple(
        model_configs.ModelConfig(name, "/models", max_concurrent_calls=each)
        for name, each in most.items()
    )


class CallLimitsTest(absltest.TestCase):
    """Tests of places for calls."""

    def test_calls_take_the_places_that_there_are(self) -> None:
        """Those that end make room for others."""
        limit = call_limits.CallLimits(_models(a=5)).find("a")
        assert limit is not None
        self.assertEqual(limit.take(3), 3)
        self.assertEqual(limit.take(3), 2)
        self.assertEqual(limit.take(3), 0)
        limit.release(4)
        self.assertEqual(limit.take(9), 4)

    def test_model_without_a_limit_costs_nothing(self) -> None:
        """It has none, as a model that is not there."""
        limits = call_limits.CallLimits(_models(a=0, b=1))
        self.assertIsNone(limits.find("a"))
        self.assertIsNone(limits.find("c"))
        with limits.place("a"), limits.place("a"), limits.place("c"):
            pass

    def test_models_do_not_share_places(self) -> None:
        """A model that is flooded leaves others alone."""
        limits = call_limits.CallLimits(_models(a=1, b=1))
        with (
            limits.place("a"),
            limits.place("b"),
            self.assertRaisesRegex(
                errors.ResourceExhaustedError,
                r"^Too many concurrent calls of model a \(limit 1\); try again "
                r"later\.$",
            ),
            limits.place("a"),
        ):
            self.fail("There must be no place.")

    def test_place_is_free_after_an_error(self) -> None:
        """However the call ends, it ends."""
        limits = call_limits.CallLimits(_models(a=1))
        for _ in range(3):
            with self.assertRaises(ZeroDivisionError), limits.place("a"):
                raise ZeroDivisionError

    def test_calls_in_flight_count_after_a_change(self) -> None:
        """A limit may be lower than the number of calls, or go and return."""
        limits = call_limits.CallLimits(_models(a=4))
        limit = limits.find("a")
        assert limit is not None
        self.assertEqual(limit.take(4), 4)
        limits.update(_models(a=2))
        self.assertEqual(limit.take(1), 0)
        limit.release(2)
        self.assertEqual(limit.take(1), 0)
        limits.update(_models(a=0, b=1))
        self.assertIsNone(limits.find("a"))
        limits.update(_models(a=3))
        again = limits.find("a")
        assert again is not None
        self.assertEqual(again.take(2), 1)
        limits.update(_models(b=1))
        self.assertIsNone(limits.find("a"))
        # Calls of a model that is gone still end.
        limit.release(3)

    def test_limit_holds_with_many_threads(self) -> None:
        """There are never more calls than places, and none is lost."""
        limits = call_limits.CallLimits(_models(a=10))
        limit = limits.find("a")
        assert limit is not None
        most: list[int] = []

        def call() -> None:
            for number in range(1_000):
                num_taken = limit.take(1 + number % 4)
                most.append(num_taken)
                limit.release(num_taken)

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLessEqual(max(most), 4)
        self.assertEqual(limit.take(99), 10)


if __name__ == "__main__":
    absltest.main()
