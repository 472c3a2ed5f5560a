"""Tests for the settings of both sides of a connection."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import (
    frame_script,
    frames,
    header_block,
    incoming,
    outgoing,
    settings,
    stream_table,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib

_CODES = frames.ErrorCode
_WINDOW = frames.settings({frames.INITIAL_WINDOW_SIZE: 5})[9:]


class ReadTest(parameterized.TestCase):
    """Frames of a peer, the first ones and later ones."""

    @parameterized.named_parameters(
        ("first", 0, _WINDOW, True, [(frames.INITIAL_WINDOW_SIZE, 5)]),
        ("later", 0, _WINDOW, False, [(frames.INITIAL_WINDOW_SIZE, 5)]),
        ("empty", 0, b"", True, []),
        ("other flags", 0xFE, b"", True, []),
        ("acknowledgement", frames.ACK, b"", False, None),
    )
    def test_frame_has_settings_or_acknowledges_ours(
        self,
        flags: int,
        payload: bytes,
        is_first: bool,
        wanted: list[tuple[int, int]] | None,
    ) -> None:
        """An acknowledgement has no settings, which is not the same as none."""
        self.assertEqual(
            settings.read(flags, payload, is_first=is_first), wanted
        )

    @parameterized.named_parameters(
        ("odd size", 0, bytes(7), False, _CODES.FRAME_SIZE_ERROR),
        ("full", frames.ACK, _WINDOW, False, _CODES.FRAME_SIZE_ERROR),
        ("too early", frames.ACK, b"", True, _CODES.PROTOCOL_ERROR),
        ("full, early", frames.ACK, _WINDOW, True, _CODES.FRAME_SIZE_ERROR),
    )
    def test_frame_that_breaks_a_rule_is_refused(
        self,
        flags: int,
        payload: bytes,
        is_first: bool,
        code: frames.ErrorCode,
    ) -> None:
        """The code says whether the size or the order is wrong."""
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            settings.read(flags, payload, is_first=is_first)
        self.assertEqual(raised.exception.code, code)


class FollowTest(absltest.TestCase):
    """A server that follows the settings of a peer."""

    def setUp(self) -> None:
        """Makes a connection with one stream."""
        super().setUp()
        limits = limits_lib.Limits()
        self._out = outgoing.Outgoing()
        self._table = stream_table.StreamTable(
            limits, self._out, incoming.Incoming(limits, self._out)
        )
        self._table.open(1, header_block.Head(), 1)
        self._out.take()

    def _follow(self, *wanted: tuple[int, int]) -> None:
        settings.follow(wanted, self._table, self._out)

    def _read(self) -> list[str]:
        return frame_script.read(self._out.take())

    def test_no_settings_are_acknowledged(self) -> None:
        """A peer that wants nothing else has its answer, and no change."""
        self._follow()
        self.assertEqual(self._read(), ["SETTINGS ACK"])
        self.assertEqual(self._out.initial_window, frames.DEFAULT_WINDOW_BYTES)

    def test_last_window_of_a_frame_counts(self) -> None:
        """A frame may have a setting twice, and changes streams once."""
        stream = self._table.by_id[1]
        self._follow((4, 0), (4, frames.MAX_WINDOW_BYTES), (4, 7))
        self.assertEqual((self._out.initial_window, stream.send_window), (7, 7))

    def test_acknowledgement_comes_before_the_data_that_it_allows(self) -> None:
        """A peer counts on its new windows from the acknowledgement on."""
        self._follow((frames.INITIAL_WINDOW_SIZE, 0))
        self._out.write_data(self._table.by_id[1], b"abc")
        self._out.take()
        self._follow((frames.INITIAL_WINDOW_SIZE, 2))
        self.assertEqual(self._read(), ["SETTINGS ACK", "DATA 1 2 bytes"])

    def test_size_of_frames_is_followed(self) -> None:
        """Data goes into as few frames as the peer allows."""
        self._follow((frames.MAX_FRAME_SIZE, 20_000))
        self._out.write_data(self._table.by_id[1], bytes(20_001))
        self.assertEqual(
            self._read(),
            ["SETTINGS ACK", "DATA 1 20000 bytes", "DATA 1 1 bytes"],
        )

    def test_window_that_becomes_too_large_ends_the_connection(self) -> None:
        """The change of a window can break the limit of an open stream."""
        self._out.open_stream_window(self._table.by_id[1], 1)
        with self.assertRaises(frames.Http2ConnectionError) as raised:
            self._follow((frames.INITIAL_WINDOW_SIZE, frames.MAX_WINDOW_BYTES))
        self.assertEqual(raised.exception.code, _CODES.FLOW_CONTROL_ERROR)


class OfServerTest(absltest.TestCase):
    """The settings of the server."""

    def test_limits_are_settings(self) -> None:
        """A peer reads in the first frame how much it may ask for."""
        frame = settings.of_server(
            limits_lib.Limits(
                max_concurrent_streams=7,
                stream_window_bytes=70_000,
                max_frame_bytes=20_000,
                max_header_list_bytes=9_000,
            )
        )
        self.assertEqual(
            frames.parse_settings(frame[frames.HEADER_BYTES :]),
            [(3, 7), (4, 70_000), (5, 20_000), (6, 9_000)],
        )


if __name__ == "__main__":
    absltest.main()
