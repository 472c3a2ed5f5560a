"""Tests for raw_client, against a socket of the test."""

import socket

from absl.testing import absltest

from tensorflow_serving.rpc import raw_client, response_blocks
from tensorflow_serving.rpc.http2 import frame_script, frames


class RawClientTest(absltest.TestCase):
    """A client, and a server that the test plays."""

    def setUp(self) -> None:
        """Connects both."""
        super().setUp()
        ours, self.server = socket.socketpair()
        self.addCleanup(self.server.close)
        self.client = self.enter_context(raw_client.RawClient(ours))

    def test_greeting_is_a_preface_settings_and_a_window(self) -> None:
        """The window of the connection lets replies of any size through."""
        settings = {frames.INITIAL_WINDOW_SIZE: 0}
        self.client.greet(settings)
        self.assertEqual(
            self.server.recv(999),
            frames.PREFACE
            + frames.settings(settings)
            + frames.window_update(0, 1 << 30),
        )

    def test_frames_are_read_whole(self) -> None:
        """A frame is read whole, however its bytes are cut."""
        data = frames.rst_stream(1, frames.ErrorCode.CANCEL)
        for index in range(len(data)):
            self.client.poll()
            self.assertFalse(self.client.drop_frames())
            self.server.send(data[index : index + 1])
        frame = self.client.read_frame()
        self.assertIsNotNone(frame)
        assert frame is not None
        self.assertEqual(frame.error_code, frames.ErrorCode.CANCEL)

    def test_answer_is_made_of_the_frames_of_its_stream(self) -> None:
        """An answer is made of the frames of its stream; others are dropped."""
        self.server.send(
            frame_script.headers(1, response_blocks.HEAD)
            + frame_script.headers(3, response_blocks.HEAD)
            + frame_script.data(3, b"other")
            + frame_script.data(1, b"da")
            + frame_script.data(1, b"ta")
            + frame_script.headers(1, response_blocks.OK, ends=True)
        )
        answer = self.client.answer(1)
        self.assertEqual(answer.data, b"data")
        self.assertEqual(answer.status, 0)
        self.assertIsNone(answer.reset_code)

    def test_reset_is_an_answer(self) -> None:
        """A reset has a code and no status."""
        self.server.send(frames.rst_stream(1, frames.ErrorCode.REFUSED_STREAM))
        answer = self.client.answer(1)
        self.assertEqual(answer.reset_code, frames.ErrorCode.REFUSED_STREAM)
        self.assertIsNone(answer.status)

    def test_end_of_the_connection_is_seen(self) -> None:
        """The code of a GOAWAY is kept, and sending stops without an error."""
        self.server.send(frames.goaway(0, frames.ErrorCode.ENHANCE_YOUR_CALM))
        self.server.close()
        self.client.send(bytes(1 << 22))
        self.client.wait_for_end()
        self.assertTrue(self.client.is_over)
        self.assertEqual(
            self.client.goaway_code, frames.ErrorCode.ENHANCE_YOUR_CALM
        )
        self.assertIsNone(self.client.read_frame())

    def test_client_settles_when_its_ping_is_answered(self) -> None:
        """Frames that arrive before the answer to the PING are kept."""
        self.server.send(
            frame_script.data(1, b"x")
            + frame_script.ping(b"settled?", flags=frames.ACK)
        )
        self.client.settle()
        self.assertEqual(self.server.recv(999), frame_script.ping(b"settled?"))
        frame = self.client.read_frame()
        assert frame is not None
        self.assertEqual(frame.payload, b"x")

    def test_client_leaves_when_it_is_asked_to(self) -> None:
        """The PING behind the GOAWAY is answered."""
        self.server.send(
            frames.goaway(frames.MAX_STREAM_ID, frames.ErrorCode.NO_ERROR)
            + frame_script.ping(b"goodbye.")
        )
        self.server.shutdown(socket.SHUT_WR)
        self.client.leave_when_asked()
        self.assertEqual(
            self.server.recv(999),
            frame_script.ping(b"goodbye.", flags=frames.ACK),
        )
        self.assertEqual(self.server.recv(999), b"")

    def test_push_sends_what_the_socket_takes(self) -> None:
        """A server that does not read is seen by a 0."""
        while self.client.push(bytes(1 << 20)):
            pass
        self.assertFalse(self.client.is_over)


if __name__ == "__main__":
    absltest.main()
