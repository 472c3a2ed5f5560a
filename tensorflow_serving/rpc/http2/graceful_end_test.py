"""Tests for the end of a connection without loss."""

from absl.testing import absltest

from tensorflow_serving.rpc.http2 import (
    frame_script,
    graceful_end,
    header_block,
    incoming,
    outgoing,
    stream_table,
)
from tensorflow_serving.rpc.http2 import limits as limits_lib


class GracefulEndTest(absltest.TestCase):
    """Two GOAWAY frames, with a PING between them."""

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
        self._end = graceful_end.GracefulEnd(self._table, self._out)

    def _read(self) -> list[str]:
        return frame_script.read(self._out.take())

    def _ping(self) -> bytes:
        """Returns the payload of the PING that was sent."""
        *_, (_, _, _, payload) = frame_script.read_frames(self._out.take())
        return payload

    def test_beginning_asks_for_no_more_streams(self) -> None:
        """The first GOAWAY refuses nothing, and a PING follows it."""
        self._end.begin()
        self.assertEqual(self._read(), ["GOAWAY 2147483647 NO_ERROR", "PING"])
        self.assertTrue(self._end.is_begun)

    def test_beginning_again_has_no_effect(self) -> None:
        """The peer is asked once."""
        self._end.begin()
        self._out.take()
        self._end.begin()
        self.assertEqual(self._read(), [])

    def test_answer_to_the_ping_finishes(self) -> None:
        """The second GOAWAY has the last stream of the peer."""
        self._end.begin()
        ping = self._ping()
        self._table.open(3, header_block.Head(), 1)
        self._end.on_ping_answered(ping)
        self.assertEqual(self._read(), ["GOAWAY 3 NO_ERROR"])

    def test_answer_to_another_ping_does_not_finish(self) -> None:
        """Only the PING after the first GOAWAY shows that it was read."""
        self._end.begin()
        self._out.take()
        self._end.on_ping_answered(b"12345678")
        self.assertEqual(self._read(), [])

    def test_answer_before_the_beginning_does_not_finish(self) -> None:
        """A peer that guesses the PING has no effect."""
        self._end.begin()
        ping = self._ping()
        other = graceful_end.GracefulEnd(self._table, self._out)
        other.on_ping_answered(ping)
        self.assertEqual(self._read(), [])

    def test_finishing_without_an_answer_is_possible(self) -> None:
        """A peer that does not answer is not waited for."""
        self._end.finish()
        self.assertEqual(self._read(), ["GOAWAY 1 NO_ERROR"])
        self.assertTrue(self._end.is_begun)

    def test_finishing_again_has_no_effect(self) -> None:
        """The second GOAWAY is sent once."""
        self._end.finish()
        self._out.take()
        self._end.finish()
        self.assertEqual(self._read(), [])

    def test_end_waits_for_open_streams(self) -> None:
        """Streams that were accepted are answered first."""
        self._end.finish()
        self.assertFalse(self._end.is_over)
        self._table.end(self._table.by_id[1])
        self.assertTrue(self._end.is_over)

    def test_beginning_is_not_the_end(self) -> None:
        """Until it is finished, the peer may open streams."""
        self._end.begin()
        self._table.end(self._table.by_id[1])
        self.assertFalse(self._end.is_over)

    def test_connection_of_a_leaving_peer_is_over_when_idle(self) -> None:
        """A peer that opens no more streams gets its answers first."""
        self._end.is_peer_leaving = True
        self.assertFalse(self._end.is_over)
        self._table.end(self._table.by_id[1])
        self.assertTrue(self._end.is_over)


if __name__ == "__main__":
    absltest.main()
