"""Tests for event_bus."""

import threading
from concurrent import futures

from absl.testing import absltest

from tensorflow_serving.test_util import fake_clock
from tensorflow_serving.util import event_bus


class EventBusTest(absltest.TestCase):
    """Tests of the delivery of events to subscribers."""

    def setUp(self) -> None:
        """Makes a bus, and a list for what is received."""
        super().setUp()
        self.clock = fake_clock.FakeClock()
        self.bus = event_bus.EventBus[str](self.clock)
        self.received: list[event_bus.EventAndTime[str]] = []

    def _events(self) -> list[str]:
        return [each.event for each in self.received]

    def test_event_without_subscribers_is_lost(self) -> None:
        """Later subscribers do not get an event that nobody got."""
        self.bus.publish("before")
        self.bus.subscribe(self.received.append)
        self.bus.publish("after")
        self.assertEqual(self._events(), ["after"])

    def test_event_comes_with_its_time(self) -> None:
        """An event comes with its time in seconds of the clock of the bus."""
        self.bus.subscribe(self.received.append)
        self.bus.publish("first")
        self.clock.advance_micros(1_500_000)
        self.bus.publish("second")
        self.assertEqual(
            self.received,
            [
                event_bus.EventAndTime("first", 0.0),
                event_bus.EventAndTime("second", 1.5),
            ],
        )

    def test_callback_runs_on_the_thread_that_publishes(self) -> None:
        """It is through when publish() returns."""
        threads: list[threading.Thread] = []
        self.bus.subscribe(lambda _: threads.append(threading.current_thread()))
        self.bus.publish("here")
        other = threading.Thread(target=self.bus.publish, args=("there",))
        other.start()
        other.join()
        self.assertEqual(threads, [threading.current_thread(), other])

    def test_subscribers_are_called_in_their_order(self) -> None:
        """Callbacks are called in the order of subscription, maybe twice."""
        calls: list[str] = []

        def first(_: event_bus.EventAndTime[str]) -> None:
            calls.append("first")

        def second(_: event_bus.EventAndTime[str]) -> None:
            calls.append("second")

        for callback in (first, second, first):
            self.bus.subscribe(callback)
        self.bus.publish("event")
        self.assertEqual(calls, ["first", "second", "first"])

    def test_closed_subscription_receives_nothing(self) -> None:
        """Closing is idempotent, and leaves the others alone."""
        first = self.bus.subscribe(self.received.append)
        other: list[event_bus.EventAndTime[str]] = []
        self.bus.subscribe(other.append)
        self.bus.publish("before")
        first.close()
        first.close()
        self.bus.publish("after")
        self.assertEqual(self._events(), ["before"])
        self.assertEqual([each.event for each in other], ["before", "after"])

    def test_end_of_the_block_closes_the_subscription(self) -> None:
        """A block that ends, also by an error, closes the subscription."""
        with (
            self.assertRaises(KeyError),
            self.bus.subscribe(self.received.append),
        ):
            self.bus.publish("inside")
            raise KeyError
        self.bus.publish("outside")
        self.assertEqual(self._events(), ["inside"])

    def test_close_waits_for_a_callback_that_runs(self) -> None:
        """After close() what the callback uses can be taken away."""
        is_running, may_end = threading.Event(), threading.Event()
        steps = []

        def callback(_: event_bus.EventAndTime[str]) -> None:
            is_running.set()
            may_end.wait()
            steps.append("callback")

        subscription = self.bus.subscribe(callback)

        def close() -> None:
            subscription.close()
            steps.append("closed")

        with futures.ThreadPoolExecutor(2) as executor:
            executor.submit(self.bus.publish, "event")
            is_running.wait()
            executor.submit(close)
            may_end.set()
        self.assertEqual(steps, ["callback", "closed"])

    def test_all_receive_the_same_order(self) -> None:
        """All subscribers see one order; a thread's events keep theirs."""
        other: list[event_bus.EventAndTime[str]] = []
        self.bus.subscribe(self.received.append)
        self.bus.subscribe(other.append)

        def publish(name: str) -> None:
            for number in range(100):
                self.bus.publish(f"{name}{number}")

        with futures.ThreadPoolExecutor(3) as executor:
            list(executor.map(publish, "abc"))
        self.assertEqual(self.received, other)
        for name in "abc":
            self.assertEqual(
                [each for each in self._events() if each.startswith(name)],
                [f"{name}{number}" for number in range(100)],
            )

    def test_callback_that_raises_harms_nobody(self) -> None:
        """Neither the publisher nor other subscribers see the exception."""

        def callback(_: event_bus.EventAndTime[str]) -> None:
            raise KeyError("broken callback")

        self.bus.subscribe(callback)
        self.bus.subscribe(self.received.append)
        with self.assertLogs(level="ERROR") as log:
            self.bus.publish("event")
        self.assertIn("broken callback", log.output[0])
        self.assertEqual(self._events(), ["event"])

    def test_callback_that_exits_does_not_end_who_publishes(self) -> None:
        """It is logged like any other error."""

        def callback(_: event_bus.EventAndTime[str]) -> None:
            raise SystemExit

        self.bus.subscribe(callback)
        self.bus.subscribe(self.received.append)
        with self.assertLogs(level="ERROR"):
            self.bus.publish("event")
        self.assertEqual(self._events(), ["event"])


if __name__ == "__main__":
    absltest.main()
