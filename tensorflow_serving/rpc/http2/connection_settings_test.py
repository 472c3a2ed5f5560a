"""RFC 9113, sections 6.5, 6.7, 6.8: SETTINGS, PING and GOAWAY."""

from collections.abc import Mapping, Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import (
    connection,
    frame_script,
    frames,
    header_block,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2.frame_script import data, headers, ping
from tensorflow_serving.rpc.http2.frames import ErrorCode, frame

_HEAD = header_block.encode([(b":status", b"200")])


def _setting(setting: int, value: int) -> bytes:
    return frames.settings({setting: value})


def _goaway(last_stream_id: int = 0) -> bytes:
    return frames.goaway(last_stream_id, ErrorCode.NO_ERROR)


# The bytes of a client; the answer, and its streams.
_EXCHANGES: Sequence[tuple[str, bytes, list[str]]] = (
    # 6.5: SETTINGS and their acknowledgement.
    ("settings_empty", frames.settings({}), ["SETTINGS ACK"]),
    (
        "settings_twice",
        frames.settings({}) + frames.settings({3: 1}),
        ["SETTINGS ACK", "SETTINGS ACK"],
    ),
    (
        "settings_with_one_twice",
        frame(frames.SETTINGS, 0, 0, b"\0\3\0\0\0\1" * 2),
        ["SETTINGS ACK"],
    ),
    ("settings_acknowledged", frame(frames.SETTINGS, frames.ACK, 0), []),
    (
        "settings_acknowledged_twice",
        frame(frames.SETTINGS, frames.ACK, 0) * 2,
        [],
    ),
    (
        "settings_acknowledged_with_a_payload",
        frame(frames.SETTINGS, frames.ACK, 0, bytes(6)),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    (
        "settings_acknowledged_on_a_stream",
        headers(1) + frame(frames.SETTINGS, frames.ACK, 1),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "settings_on_a_stream",
        frame(frames.SETTINGS, 0, 1),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "settings_too_short",
        frame(frames.SETTINGS, 0, 0, bytes(5)),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    (
        "settings_too_long",
        frame(frames.SETTINGS, 0, 0, bytes(7)),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    # 6.5.2: values.
    ("table_size_zero", _setting(1, 0), ["SETTINGS ACK"]),
    ("table_size_largest", _setting(1, 0xFFFF_FFFF), ["SETTINGS ACK"]),
    ("push_0", _setting(2, 0), ["SETTINGS ACK"]),
    ("push_1", _setting(2, 1), ["SETTINGS ACK"]),
    ("push_2", _setting(2, 2), ["GOAWAY 0 PROTOCOL_ERROR"]),
    ("streams_0", _setting(3, 0), ["SETTINGS ACK"]),
    ("streams_largest", _setting(3, 0xFFFF_FFFF), ["SETTINGS ACK"]),
    ("window_0", _setting(4, 0), ["SETTINGS ACK"]),
    ("window_largest", _setting(4, (1 << 31) - 1), ["SETTINGS ACK"]),
    (
        "window_too_large",
        _setting(4, 1 << 31),
        ["GOAWAY 0 FLOW_CONTROL_ERROR"],
    ),
    ("frame_smallest", _setting(5, 1 << 14), ["SETTINGS ACK"]),
    ("frame_largest", _setting(5, (1 << 24) - 1), ["SETTINGS ACK"]),
    (
        "frame_too_small",
        _setting(5, (1 << 14) - 1),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    ("frame_too_large", _setting(5, 1 << 24), ["GOAWAY 0 PROTOCOL_ERROR"]),
    ("header_list_0", _setting(6, 0), ["SETTINGS ACK"]),
    ("unknown", _setting(0xFFFF, 0xFFFF_FFFF), ["SETTINGS ACK"]),
    ("unknown_0", _setting(0, 1), ["SETTINGS ACK"]),
    ("extended_connect", _setting(8, 1), ["SETTINGS ACK"]),
    (
        "bad_value_before_a_good_one",
        frame(frames.SETTINGS, 0, 0, b"\0\2\0\0\0\2\0\2\0\0\0\0"),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    # 6.7: PING.
    ("ping", ping(), ["PING ACK"]),
    ("ping_twice", ping() * 2, ["PING ACK", "PING ACK"]),
    ("ping_acknowledged_unasked", ping(flags=frames.ACK), []),
    (
        "ping_between_data",
        headers(1) + ping() + data(1, b"a"),
        ["PING ACK", "1 open 1 bytes"],
    ),
    (
        "ping_on_a_stream",
        headers(1) + frame(frames.PING, 0, 1, bytes(8)),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    ("ping_too_short", ping(bytes(7)), ["GOAWAY 0 FRAME_SIZE_ERROR"]),
    ("ping_too_long", ping(bytes(9)), ["GOAWAY 0 FRAME_SIZE_ERROR"]),
    ("ping_empty", ping(b""), ["GOAWAY 0 FRAME_SIZE_ERROR"]),
    (
        "ping_acknowledged_too_short",
        ping(bytes(7), flags=frames.ACK),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    # 6.8: GOAWAY of the client.
    ("goaway", _goaway(), []),
    ("goaway_twice", _goaway(8) + _goaway(), []),
    (
        "goaway_with_an_error",
        frames.goaway(0, ErrorCode.INTERNAL_ERROR, "text"),
        [],
    ),
    (
        "goaway_with_an_unknown_code",
        frame(frames.GOAWAY, 0, 0, b"\0\0\0\0\xff\xff\xff\xff"),
        [],
    ),
    (
        "goaway_while_a_request_is_sent",
        headers(1) + _goaway() + data(1, b"abc", ends=True),
        ["1 ended 3 bytes"],
    ),
    ("goaway_and_ping", _goaway() + ping(), ["PING ACK"]),
    (
        "goaway_too_short",
        frame(frames.GOAWAY, 0, 0, bytes(7)),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    (
        "goaway_on_a_stream",
        headers(1) + frame(frames.GOAWAY, 0, 1, bytes(8)),
        ["GOAWAY 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    # 5.4.1: nothing after a fault is looked at.
    ("fault_and_ping", ping(b"") + ping(), ["GOAWAY 0 FRAME_SIZE_ERROR"]),
    ("fault_twice", ping(b"") + headers(2), ["GOAWAY 0 FRAME_SIZE_ERROR"]),
)


class SettingsTest(parameterized.TestCase):
    """Frames that concern the connection."""

    @parameterized.named_parameters(*_EXCHANGES)
    def test_frames_are_answered_as_the_standard_says(
        self, sent: bytes, outcome: list[str]
    ) -> None:
        """The answer is the same however the frames are cut into pieces."""
        for found in frame_script.outcomes(sent):
            self.assertEqual(found, outcome)

    def test_ping_is_answered_with_its_payload(self) -> None:
        """The client knows which PING was answered."""
        client = frame_script.Client()
        client.deliver(ping(b"abcdefgh"))
        self.assertEqual(
            list(frame_script.read_frames(client.connection.take_output())),
            [(frames.PING, frames.ACK, 0, b"abcdefgh")],
        )

    def test_server_begins_with_its_settings(self) -> None:
        """The first frame of a server has its limits."""
        limits = limits_lib.Limits(
            max_concurrent_streams=7,
            stream_window_bytes=70_000,
            max_frame_bytes=20_000,
            max_header_list_bytes=9_000,
        )
        output = connection.Connection(limits, 0.0).take_output()
        (_, flags, _, payload), *_ = frame_script.read_frames(output)
        self.assertEqual(flags, 0)
        self.assertEqual(
            frames.parse_settings(payload),
            [
                (frames.MAX_CONCURRENT_STREAMS, 7),
                (frames.INITIAL_WINDOW_SIZE, 70_000),
                (frames.MAX_FRAME_SIZE, 20_000),
                (frames.MAX_HEADER_LIST_SIZE, 9_000),
            ],
        )

    @parameterized.named_parameters(
        ("default", {}, 16_384),
        ("larger", {frames.MAX_FRAME_SIZE: 40_000}, 40_000),
    )
    def test_frames_are_as_large_as_the_client_allows(
        self, settings: Mapping[int, int], size: int
    ) -> None:
        """MAX_FRAME_SIZE of the client is a rule for the server."""
        client = frame_script.Client(settings=settings)
        client.send(headers(1, ends=True))
        client.connection.send_data(client.streams[1], bytes(50_000))
        self.assertEqual(
            client.read(),
            [
                f"DATA 1 {min(size, 50_000 - start)} bytes"
                for start in range(0, 50_000, size)
            ],
        )

    def test_settings_apply_after_their_acknowledgement(self) -> None:
        """A client that counts on its old windows until then finds no fault."""
        client = frame_script.Client(settings={frames.INITIAL_WINDOW_SIZE: 0})
        client.send(headers(1, ends=True))
        client.connection.send_data(client.streams[1], b"abc")
        self.assertEqual(
            client.send(_setting(frames.INITIAL_WINDOW_SIZE, 10)),
            ["SETTINGS ACK", "DATA 1 3 bytes"],
        )

    def test_smaller_table_of_the_client_is_acknowledged(self) -> None:
        """RFC 7541, 4.2: the next header block begins with a size."""
        client = frame_script.Client(settings={frames.HEADER_TABLE_SIZE: 0})
        client.deliver(headers(1, ends=True) + headers(3, ends=True))
        for stream_id in (1, 3):
            client.connection.send_end(client.streams[stream_id], _HEAD)
        self.assertEqual(
            [
                frame[3]
                for frame in frame_script.read_frames(
                    client.connection.take_output()
                )
            ],
            [b"\x20" + _HEAD, _HEAD],
        )


class GoawayTest(parameterized.TestCase):
    """6.8: how a server ends a connection."""

    def setUp(self) -> None:
        """Makes a connection with an open stream."""
        super().setUp()
        self._client = frame_script.Client()
        self._client.send(headers(1))
        self._connection = self._client.connection

    def test_streams_are_accepted_after_the_first_goaway(self) -> None:
        """A client may not have read it yet."""
        self._connection.go_away()
        self._client.read()
        self._client.send(headers(3))
        self.assertIn(3, self._client.streams)

    @parameterized.named_parameters(
        ("headers", headers(3), []),
        ("request", headers(3) + data(3, b"a", ends=True), []),
        ("trailers", headers(3) + frame_script.trailers(3), []),
        (
            "reset",
            headers(3) + frames.rst_stream(3, ErrorCode.CANCEL),
            [],
        ),
        ("window_update", headers(3) + frames.window_update(3, 1), []),
        ("padded_data", headers(3) + data(3, b"a", num_padding_bytes=2), []),
        ("malformed", headers(3, b""), []),
        ("another_one", headers(3) + headers(5), []),
        ("ping", headers(3) + ping(), ["PING ACK"]),
        ("even", headers(4), ["GOAWAY 1 PROTOCOL_ERROR"]),
        ("data_of_an_idle_stream", data(3, b"a"), ["GOAWAY 1 PROTOCOL_ERROR"]),
        (
            "broken_block",
            headers(3, b"\xff\xff\xff\xff\xff\xff"),
            ["GOAWAY 1 COMPRESSION_ERROR"],
        ),
    )
    def test_streams_after_the_second_goaway_are_ignored(
        self, sent: bytes, answer: list[str]
    ) -> None:
        """A client knows from the GOAWAY that it must send them elsewhere."""
        self._connection.finish_going_away()
        self.assertEqual(self._client.read(), ["GOAWAY 1 NO_ERROR"])
        self.assertEqual(self._client.send(sent), answer)
        self.assertEqual(list(self._client.streams), [1])

    def test_ignored_blocks_change_the_table(self) -> None:
        """HPACK is a matter of the connection; all blocks count."""
        self._connection.finish_going_away()
        block = frame_script.REQUEST + b"\x40\x01a\x01b"
        self._client.send(headers(3, block), headers(5, b"\xbe"))
        self.assertIsNone(self._connection.fault)

    def test_accepted_streams_go_on_after_the_second_goaway(self) -> None:
        """A request that has begun is received and answered."""
        self._connection.finish_going_away()
        self._client.read()
        self._client.send(data(1, b"abc", ends=True))
        self.assertFalse(self._connection.is_over)
        self._connection.send_end(self._client.streams[1], _HEAD)
        self.assertEqual(self._client.read(), ["HEADERS 1 END_STREAM"])
        self.assertTrue(self._connection.is_over)

    def test_fault_after_both_goaways_is_reported(self) -> None:
        """A third GOAWAY has the code of the fault."""
        self._connection.go_away()
        self._connection.finish_going_away()
        self._client.read()
        self.assertEqual(
            self._client.send(ping(b"")), ["GOAWAY 1 FRAME_SIZE_ERROR"]
        )


if __name__ == "__main__":
    absltest.main()
