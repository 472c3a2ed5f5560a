"""Tests for the limits of a connection."""

from typing import Any

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import limits
from tensorflow_serving.util import errors


class LimitsTest(parameterized.TestCase):
    """Values, and what they may be."""

    @parameterized.named_parameters(
        ("streams", {"max_concurrent_streams": 0}),
        ("header_list", {"max_header_list_bytes": 0}),
        ("decoded_headers", {"max_decoded_header_bytes": 1024}),
        ("small_frame", {"max_frame_bytes": 16_383}),
        ("large_frame", {"max_frame_bytes": 1 << 24}),
        ("stream_window", {"stream_window_bytes": 0}),
        ("message_room", {"message_room_bytes": 0}),
        ("reply_room", {"reply_room_bytes": 0}),
        ("write_buffer", {"write_buffer_bytes": 0}),
        ("message_time", {"message_seconds": -1.0}),
        ("drain_message_time", {"drain_message_seconds": -1.0}),
        ("handshake_time", {"handshake_seconds": float("nan")}),
        ("keep_alive", {"keep_alive_seconds": -1.0}),
        ("keep_alive_timeout", {"keep_alive_timeout_seconds": -1.0}),
        ("idle_time", {"max_idle_seconds": -1.0}),
        ("age", {"max_age_seconds": -1.0}),
    )
    def test_value_out_of_range_is_refused(
        self, values: dict[str, Any]
    ) -> None:
        """The error has the name of the value, the rule and the value."""
        ((name, value),) = values.items()
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            f"{name} must be at (least|most) [0-9]+; got {value}",
        ):
            limits.Limits(**values)

    def test_windows_that_are_too_large_together_are_refused(self) -> None:
        """The window of a connection cannot be larger than HTTP/2 allows."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError,
            r"max_concurrent_streams \* stream_window_bytes must be at most",
        ):
            limits.Limits(
                max_concurrent_streams=1 << 16, stream_window_bytes=1 << 15
            )

    def test_connection_has_the_windows_of_all_its_streams(self) -> None:
        """All streams together may use their windows."""
        self.assertEqual(
            limits.Limits(
                max_concurrent_streams=10, stream_window_bytes=100_000
            ).connection_window_bytes,
            1_000_000,
        )

    def test_connection_has_at_least_the_default_window(self) -> None:
        """A window that a peer may use before it reads cannot be smaller."""
        self.assertEqual(
            limits.Limits(
                max_concurrent_streams=1, stream_window_bytes=1
            ).connection_window_bytes,
            65_535,
        )

    @parameterized.parameters((0, 1), (1, 0))
    def test_rate_without_events_is_refused(
        self, burst: int, per_second: int
    ) -> None:
        """A rate allows at least one event."""
        with self.assertRaisesRegex(
            errors.InvalidArgumentError, "must be at least 1; got 0"
        ):
            limits.Rate(burst=burst, per_second=per_second)


if __name__ == "__main__":
    absltest.main()
