"""RFC 9113, sections 5.2, 6.1, 6.9: flow control in both directions."""

from collections.abc import Sequence

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import frame_script, frames, header_block
from tensorflow_serving.rpc.http2 import limits as limits_lib
from tensorflow_serving.rpc.http2.frame_script import data, headers
from tensorflow_serving.rpc.http2.frames import frame

_HEAD = header_block.encode([(b":status", b"200")])
_MAX = frames.MAX_WINDOW_BYTES
_DEFAULT = frames.DEFAULT_WINDOW_BYTES
_update = frames.window_update


def _window(value: int) -> bytes:
    """Returns settings with the window of new streams."""
    return frames.settings({frames.INITIAL_WINDOW_SIZE: value})


# The bytes of a client; the answer, and its streams.
_EXCHANGES: Sequence[tuple[str, bytes, list[str]]] = (
    ("update_of_the_connection", _update(0, 1), []),
    ("update_of_a_stream", headers(1) + _update(1, 1), ["1 open 0 bytes"]),
    (
        "update_of_0_of_the_connection",
        _update(0, 0),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "update_of_0_of_a_stream",
        headers(1) + _update(1, 0),
        ["RST_STREAM 1 PROTOCOL_ERROR", "1 open 0 bytes PROTOCOL_ERROR"],
    ),
    (
        "update_of_0_with_the_reserved_bit",
        frame(frames.WINDOW_UPDATE, 0, 0, b"\x80\0\0\0"),
        ["GOAWAY 0 PROTOCOL_ERROR"],
    ),
    (
        "update_too_short",
        frame(frames.WINDOW_UPDATE, 0, 0, bytes(3)),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    (
        "update_too_long",
        frame(frames.WINDOW_UPDATE, 0, 0, bytes(5)),
        ["GOAWAY 0 FRAME_SIZE_ERROR"],
    ),
    (
        "update_of_a_stream_too_short",
        headers(1) + frame(frames.WINDOW_UPDATE, 0, 1, bytes(3)),
        ["GOAWAY 1 FRAME_SIZE_ERROR", "1 open 0 bytes FRAME_SIZE_ERROR"],
    ),
    ("largest_window_of_the_connection", _update(0, _MAX - _DEFAULT), []),
    (
        "window_of_the_connection_too_large",
        _update(0, _MAX - _DEFAULT + 1),
        ["GOAWAY 0 FLOW_CONTROL_ERROR"],
    ),
    (
        "window_of_the_connection_too_large_in_steps",
        _update(0, _MAX - _DEFAULT) + _update(0, 1),
        ["GOAWAY 0 FLOW_CONTROL_ERROR"],
    ),
    (
        "largest_window_of_a_stream",
        headers(1) + _update(1, _MAX - _DEFAULT),
        ["1 open 0 bytes"],
    ),
    (
        "window_of_a_stream_too_large",
        headers(1) + _update(1, _MAX),
        [
            "RST_STREAM 1 FLOW_CONTROL_ERROR",
            "1 open 0 bytes FLOW_CONTROL_ERROR",
        ],
    ),
    (
        "window_of_a_stream_too_large_in_steps",
        headers(1) + _update(1, _MAX - _DEFAULT) + _update(1, 1),
        [
            "RST_STREAM 1 FLOW_CONTROL_ERROR",
            "1 open 0 bytes FLOW_CONTROL_ERROR",
        ],
    ),
    (
        "window_of_a_stream_too_large_by_settings",
        headers(1) + _update(1, _MAX - _DEFAULT) + _window(_DEFAULT + 1),
        [
            "SETTINGS ACK",
            "GOAWAY 1 FLOW_CONTROL_ERROR",
            "1 open 0 bytes FLOW_CONTROL_ERROR",
        ],
    ),
    (
        "window_of_a_stream_just_small_enough",
        headers(1) + _window(0) + _update(1, _MAX) + _window(0),
        ["SETTINGS ACK", "SETTINGS ACK", "1 open 0 bytes"],
    ),
    # The windows of the client.
    (
        "all_of_the_window_of_a_stream",
        headers(1) + data(1, bytes(60_000)) + data(1, bytes(5_536)),
        ["1 open 65536 bytes"],
    ),
    (
        "more_than_the_window_of_a_stream",
        headers(1) + data(1, bytes(60_000)) + data(1, bytes(5_537)),
        [
            "RST_STREAM 1 FLOW_CONTROL_ERROR",
            "1 open 60000 bytes FLOW_CONTROL_ERROR",
        ],
    ),
    (
        "padding_beyond_the_window_of_a_stream",
        headers(1)
        + data(1, bytes(60_000))
        + data(1, bytes(5_500), num_padding_bytes=100),
        [
            "RST_STREAM 1 FLOW_CONTROL_ERROR",
            "1 open 60000 bytes FLOW_CONTROL_ERROR",
        ],
    ),
    (
        "data_without_bytes_in_a_closed_window",
        headers(1) + data(1, bytes(60_000)) + data(1, bytes(5_536)) + data(1),
        ["1 open 65536 bytes"],
    ),
    (
        "windows_of_two_streams",
        headers(1)
        + headers(3)
        + data(1, bytes(60_000))
        + data(3, bytes(60_000)),
        ["1 open 60000 bytes", "3 open 60000 bytes"],
    ),
)


class IncomingWindowsTest(parameterized.TestCase):
    """Tests of the windows that limit the bytes of a client."""

    @parameterized.named_parameters(*_EXCHANGES)
    def test_frames_are_answered_as_the_standard_says(
        self, sent: bytes, outcome: list[str]
    ) -> None:
        """The answer is the same however the frames are cut into pieces."""
        for found in frame_script.outcomes(sent):
            self.assertEqual(found, outcome)

    @parameterized.named_parameters(
        ("on_an_open_stream", headers(1)),
        ("on_a_stream_that_was_reset", headers(1, b"")),
    )
    def test_data_beyond_the_window_of_the_connection_ends_it(
        self, begin: bytes
    ) -> None:
        """6.9.1: it does not matter whether the data is of any use."""
        client = frame_script.Client(
            limits_lib.Limits(
                max_concurrent_streams=1, stream_window_bytes=_DEFAULT
            )
        )
        client.send(begin)
        self.assertEqual(
            client.send(data(1, bytes(_DEFAULT + 1))),
            ["GOAWAY 1 FLOW_CONTROL_ERROR"],
        )

    def test_window_of_the_connection_comes_back(self) -> None:
        """Requests of any number go through a window."""
        client = frame_script.Client()
        updates = []
        for number in range(1, 4_001, 2):
            updates += client.send(
                headers(number), data(number, bytes(60_000), ends=True)
            )
            client.connection.send_end(client.streams.pop(number), _HEAD)
            client.read()
        self.assertEqual(set(updates), {"WINDOW_UPDATE 0 8400000"})
        self.assertIsNone(client.connection.fault)


class OutgoingWindowsTest(parameterized.TestCase):
    """6.9: what the server may send."""

    def _client(self, window: int) -> frame_script.Client:
        """Returns a client with one call, and a window for its answer."""
        client = frame_script.Client(
            settings={frames.INITIAL_WINDOW_SIZE: window}
        )
        client.send(headers(1, ends=True))
        return client

    def _reply(self, client: frame_script.Client, size: int) -> list[str]:
        connection = client.connection
        connection.send_data(client.streams[1], bytes(size))
        connection.send_end(client.streams[1], _HEAD)
        return client.read()

    def test_closed_window_lets_nothing_through(self) -> None:
        """A window of 0 stops data, and the trailers behind it."""
        self.assertEqual(self._reply(self._client(0), 3), [])

    def test_header_fields_need_no_window(self) -> None:
        """Only DATA is under flow control."""
        client = self._client(0)
        client.connection.send_headers(client.streams[1], _HEAD)
        self.assertEqual(client.read(), ["HEADERS 1"])

    def test_trailers_need_no_window(self) -> None:
        """A response without data ends in any window."""
        client = self._client(0)
        client.connection.send_end(client.streams[1], _HEAD)
        self.assertEqual(client.read(), ["HEADERS 1 END_STREAM"])

    def test_window_lets_through_what_fits(self) -> None:
        """The rest waits for an update."""
        client = self._client(2)
        self.assertEqual(self._reply(client, 3), ["DATA 1 2 bytes"])
        self.assertEqual(
            client.send(_update(1, 5)),
            ["DATA 1 1 bytes", "HEADERS 1 END_STREAM"],
        )

    def test_window_of_exactly_the_data_lets_all_through(self) -> None:
        """The last byte of a window can be used."""
        self.assertEqual(
            self._reply(self._client(3), 3),
            ["DATA 1 3 bytes", "HEADERS 1 END_STREAM"],
        )

    def test_settings_open_the_window(self) -> None:
        """6.9.2: a larger initial window holds for open streams."""
        client = self._client(2)
        self._reply(client, 5)
        self.assertEqual(
            client.send(_window(4)), ["SETTINGS ACK", "DATA 1 2 bytes"]
        )

    def test_settings_make_the_window_negative(self) -> None:
        """6.9.2: what was sent before is owed, and comes first."""
        client = self._client(10)
        self._reply(client, 20)
        self.assertEqual(client.send(_window(0)), ["SETTINGS ACK"])
        self.assertEqual(client.send(_update(1, 10)), [])
        self.assertEqual(client.send(_update(1, 1)), ["DATA 1 1 bytes"])

    def test_settings_shut_and_open_the_window(self) -> None:
        """A window that was shut in between is what it would have been."""
        client = self._client(10)
        self._reply(client, 20)
        client.send(_window(0))
        self.assertEqual(
            client.send(_window(15)), ["SETTINGS ACK", "DATA 1 5 bytes"]
        )

    def test_last_of_several_initial_windows_counts(self) -> None:
        """6.5.3: settings are processed in their order."""
        client = self._client(0)
        self._reply(client, 5)
        both = frames.settings({frames.INITIAL_WINDOW_SIZE: 100})[9:]
        both += frames.settings({frames.INITIAL_WINDOW_SIZE: 2})[9:]
        self.assertEqual(
            client.send(frame(frames.SETTINGS, 0, 0, both)),
            ["SETTINGS ACK", "DATA 1 2 bytes"],
        )

    def test_window_of_the_connection_holds_for_all_streams(self) -> None:
        """Streams with large windows share that of the connection."""
        client = self._client(1 << 20)
        client.send(headers(3, ends=True))
        for stream_id in (1, 3):
            client.connection.send_data(
                client.streams[stream_id], bytes(50_000)
            )
        sizes = [int(line.split()[2]) for line in client.read()]
        self.assertEqual(sum(sizes), _DEFAULT)
        sizes = [int(line.split()[2]) for line in client.send(_update(0, 99))]
        self.assertEqual(sum(sizes), 99)

    def test_both_windows_must_be_open(self) -> None:
        """An update of the connection does not open that of a stream."""
        client = self._client(0)
        self._reply(client, 5)
        self.assertEqual(client.send(_update(0, 100)), [])
        self.assertEqual(client.send(_update(1, 3)), ["DATA 1 3 bytes"])

    def test_reset_drops_what_waits(self) -> None:
        """A client that has gone away is not sent its answer."""
        client = self._client(2)
        self._reply(client, 5)
        client.send(frames.rst_stream(1, frames.ErrorCode.CANCEL))
        self.assertEqual(client.send(_update(0, 5), _update(1, 5)), [])

    def test_answer_that_waits_holds_its_place(self) -> None:
        """A stream counts as open until its last frame was sent."""
        client = self._client(0)
        self._reply(client, 5)
        self.assertFalse(client.streams[1].is_closed)
        client.send(_update(1, 5))
        self.assertTrue(client.streams[1].is_closed)


if __name__ == "__main__":
    absltest.main()
