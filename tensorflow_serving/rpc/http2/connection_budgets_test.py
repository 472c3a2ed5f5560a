"""RFC 9113, section 10.5: peers that make work for nothing."""

import dataclasses
from collections.abc import Callable, Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import frame_script, frames, header_block
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2.frame_script import (
    continuation,
    data,
    headers,
    ping,
)
from tensorflow_serving.rpc.http2.frames import ErrorCode, frame

_HEAD = header_block.encode([(b":status", b"200")])
_BURST = 20
_RATE = limits_lib.Rate(burst=_BURST, per_second=10)
_LIMITS = limits_lib.Limits(
    resets=_RATE, settings=_RATE, pings=_RATE, other_frames=_RATE
)


def _call_and_reset(number: int) -> bytes:
    stream_id = 2 * number + 3
    return headers(stream_id) + frames.rst_stream(stream_id, ErrorCode.CANCEL)


def _call_with_a_fault(number: int) -> bytes:
    stream_id = 2 * number + 3
    return headers(stream_id) + frames.window_update(stream_id, 0)


# Frames that may be sent as often as a burst allows, each made from the number
# of the repetition.
_FLOODS: Sequence[tuple[str, Callable[[int], bytes]]] = (
    ("ping", lambda _: ping()),
    ("ping_acknowledged", lambda _: ping(flags=frames.ACK)),
    ("settings", lambda _: frames.settings({})),
    (
        "settings_acknowledged",
        lambda _: frame(frames.SETTINGS, frames.ACK, 0),
    ),
    ("empty_data", lambda _: data(1)),
    ("nothing_but_padding", lambda _: data(1, num_padding_bytes=9)),
    ("priority", lambda _: frame(frames.PRIORITY, 0, 1, bytes(5))),
    ("unknown_frame", lambda _: frame(0x55, 0, 0)),
    ("window_update", lambda _: frames.window_update(0, 1)),
    ("window_update_of_a_stream", lambda _: frames.window_update(1, 1)),
    ("goaway", lambda _: frame(frames.GOAWAY, 0, 0, bytes(8))),
    ("reset", _call_and_reset),
    ("fault", _call_with_a_fault),
    ("malformed_request", lambda number: headers(2 * number + 3, b"")),
)


class BudgetsTest(parameterized.TestCase):
    """Floods."""

    def setUp(self) -> None:
        """Makes a connection with a call, which has earned its frames."""
        super().setUp()
        self._client = frame_script.Client(_LIMITS)
        self._client.send(headers(1))

    @parameterized.named_parameters(*_FLOODS)
    def test_flood_ends_the_connection(
        self, flood: Callable[[int], bytes]
    ) -> None:
        """Far more than a burst at a time gets ENHANCE_YOUR_CALM."""
        # Calls earn some frames, and SETTINGS were sent before.
        lines = self._client.send(*map(flood, range(8 * _BURST)))
        self.assertRegex(lines[-1], "GOAWAY [0-9]+ ENHANCE_YOUR_CALM")

    @parameterized.named_parameters(*_FLOODS)
    def test_slow_stream_of_frames_is_allowed(
        self, flood: Callable[[int], bytes]
    ) -> None:
        """Frames that stay within the rate are accepted without end."""
        for number in range(8 * _BURST):
            self._client.now += 0.2
            self._client.send(flood(number))
        self.assertIsNone(self._client.connection.fault)

    def test_continuations_without_end_end_the_connection(self) -> None:
        """Empty CONTINUATION frames never make a block too large."""
        self._client.send(headers(3, b"", 0))
        lines = self._client.send(*[continuation(3, b"", 0)] * 8 * _BURST)
        self.assertEqual(lines, ["GOAWAY 1 ENHANCE_YOUR_CALM"])

    def test_block_without_end_ends_the_connection(self) -> None:
        """10.5.1: a block is kept up to a size only."""
        self._client.send(headers(3, b"", 0))
        lines = self._client.send(*[continuation(3, bytes(10_000), 0)] * 7)
        self.assertEqual(lines, ["GOAWAY 1 ENHANCE_YOUR_CALM"])

    def test_client_that_ignores_the_limit_of_streams_is_sent_away(
        self,
    ) -> None:
        """Streams too many are refused, as often as other frames of no use."""
        limits = dataclasses.replace(_LIMITS, max_concurrent_streams=1)
        client = frame_script.Client(limits)
        lines = client.send(
            *(headers(2 * number + 1) for number in range(8 * _BURST))
        )
        self.assertEqual(lines.count("RST_STREAM 3 REFUSED_STREAM"), 1)
        self.assertRegex(lines[-1], "GOAWAY [0-9]+ ENHANCE_YOUR_CALM")

    def test_skipped_numbers_earn_nothing(self) -> None:
        """A call earns a peer frames, and a large number is not many calls."""
        self._client.send(headers(1_000_001))
        lines = self._client.send(*[frames.window_update(0, 1)] * 8 * _BURST)
        self.assertEqual(lines, ["GOAWAY 1000001 ENHANCE_YOUR_CALM"])

    def test_reader_of_large_replies_may_update_its_windows(self) -> None:
        """A client that updates both windows for each 1 KiB is a good one."""
        self._client.connection.send_data(
            self._client.streams[1], bytes(10_000_000)
        )
        for _ in range(1_000):
            self._client.send(
                frames.window_update(0, 4_096), frames.window_update(1, 4_096)
            )
        self.assertIsNone(self._client.connection.fault)

    def test_reader_of_single_bytes_is_sent_away(self) -> None:
        """A client that lets a reply trickle out makes work for nothing."""
        client = frame_script.Client(_LIMITS, {frames.INITIAL_WINDOW_SIZE: 0})
        client.send(headers(1, ends=True))
        client.connection.send_data(client.streams[1], bytes(1_000))
        lines = client.send(*[frames.window_update(1, 1)] * 8 * _BURST)
        self.assertEqual(lines[-1], "GOAWAY 1 ENHANCE_YOUR_CALM")

    def test_client_may_take_back_every_other_call(self) -> None:
        """A client that sends each call twice is a good one."""
        client = self._client
        for stream_id in range(3, 4_003, 4):
            client.send(
                headers(stream_id, ends=True), headers(stream_id + 2, ends=True)
            )
            client.connection.send_end(client.streams[stream_id], _HEAD)
            client.send(frames.rst_stream(stream_id + 2, ErrorCode.CANCEL))
        self.assertIsNone(client.connection.fault)

    def test_last_of_thousands_of_windows_in_a_frame_counts(self) -> None:
        """The windows of streams change once for a frame, not for a value."""
        client = frame_script.Client()
        client.send(*[headers(number) for number in range(1, 513, 2)])
        one = frames.settings({frames.INITIAL_WINDOW_SIZE: 7})[9:]
        other = frames.settings({frames.INITIAL_WINDOW_SIZE: 9})[9:]
        stream = client.streams[1]
        before = stream.send_window
        client.send(frame(frames.SETTINGS, 0, 0, (one + other) * 5_000))
        self.assertEqual(stream.send_window, before - 65_535 + 9)


if __name__ == "__main__":
    absltest.main()
