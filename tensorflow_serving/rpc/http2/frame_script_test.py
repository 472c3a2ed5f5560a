"""Tests for the scripted client."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import frame_script, frames


class FrameScriptTest(parameterized.TestCase):
    """Frames in bytes and in words."""

    @parameterized.named_parameters(
        (
            "data",
            frame_script.data(3, b"abc", ends=True),
            "DATA 3 3 bytes END_STREAM",
        ),
        ("headers", frame_script.headers(1), "HEADERS 1"),
        ("trailers", frame_script.trailers(1), "HEADERS 1 END_STREAM"),
        ("continuation", frame_script.continuation(1), "CONTINUATION 1"),
        ("settings", frames.settings({1: 2}), "SETTINGS"),
        ("settings_ack", frames.frame(frames.SETTINGS, 1, 0), "SETTINGS ACK"),
        ("ping", frame_script.ping(), "PING"),
        ("window", frames.window_update(5, 77), "WINDOW_UPDATE 5 77"),
        (
            "reset",
            frames.rst_stream(5, frames.ErrorCode.CANCEL),
            "RST_STREAM 5 CANCEL",
        ),
        (
            "goaway",
            frames.goaway(9, frames.ErrorCode.PROTOCOL_ERROR, "text"),
            "GOAWAY 9 PROTOCOL_ERROR",
        ),
    )
    def test_frame_becomes_text(self, data: bytes, text: str) -> None:
        """Each type of frame has a text with what a test looks at."""
        self.assertEqual(frame_script.read(data), [text])

    def test_client_reads_the_answer_to_what_it_sent(self) -> None:
        """A client that sends a PING reads only its acknowledgement."""
        client = frame_script.Client()
        self.assertEqual(client.send(frame_script.ping()), ["PING ACK"])

    def test_client_keeps_the_streams_that_had_news(self) -> None:
        """The state of a stream can be read after it was reported."""
        client = frame_script.Client()
        client.send(
            frame_script.headers(1), frame_script.data(1, b"ab", ends=True)
        )
        self.assertEqual(
            frame_script.states(client.streams.values()), ["1 ended 2 bytes"]
        )

    def test_padding_of_a_frame_is_around_its_data(self) -> None:
        """The length of the padding comes first, and the padding last."""
        self.assertEqual(frame_script.padded(b"ab", 3), b"\x03ab\0\0\0")


if __name__ == "__main__":
    absltest.main()
