"""Tests for cutting bytes into frames."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import frame_reader, frames

_FRAME = frames.frame(frames.DATA, frames.END_STREAM, 3, b"payload")
_READ = (frames.DATA, frames.END_STREAM, 3, b"payload")


class FrameReaderTest(parameterized.TestCase):
    """Bytes of a peer."""

    def setUp(self) -> None:
        """Makes a reader of frames up to 16 KiB."""
        super().setUp()
        self._reader = frame_reader.FrameReader(16_384)

    def _feed(self, *pieces: bytes) -> list[frame_reader.Frame]:
        return [frame for piece in pieces for frame in self._reader.feed(piece)]

    def test_frames_after_the_preface_are_read(self) -> None:
        """One piece may hold the preface and several frames."""
        self.assertEqual(
            self._feed(frames.PREFACE + _FRAME + _FRAME), [_READ, _READ]
        )

    @parameterized.parameters(*range(1, len(frames.PREFACE + _FRAME)))
    def test_frame_in_two_pieces_is_read(self, size: int) -> None:
        """It does not matter where bytes are cut."""
        data = frames.PREFACE + _FRAME
        self.assertEqual(self._feed(data[:size], data[size:]), [_READ])

    def test_frame_in_single_bytes_is_read(self) -> None:
        """A peer may send a byte at a time."""
        data = frames.PREFACE + _FRAME * 2
        pieces = [data[i : i + 1] for i in range(len(data))]
        self.assertEqual(self._feed(*pieces), [_READ, _READ])

    def test_frame_in_very_many_pieces_is_read(self) -> None:
        """Pieces are joined on the way when there are too many of them."""
        payload = bytes(range(256)) * 8
        data = frames.frame(frames.DATA, 0, 1, payload)
        pieces = [data[i : i + 1] for i in range(len(data))]
        self.assertEqual(
            self._feed(frames.PREFACE, *pieces), [(frames.DATA, 0, 1, payload)]
        )

    def test_empty_pieces_change_nothing(self) -> None:
        """A read of no bytes has no effect."""
        self.assertEqual(
            self._feed(b"", frames.PREFACE, b"", _FRAME[:4], b"", _FRAME[4:]),
            [_READ],
        )

    @parameterized.parameters(*range(len(frames.PREFACE)))
    def test_wrong_byte_of_the_preface_is_refused(self, position: int) -> None:
        """A byte that is not of the preface ends the connection at once."""
        wrong = bytes([frames.PREFACE[position] ^ 0x20])
        with self.assertRaisesRegex(
            frames.Http2ConnectionError, "must begin with the preface"
        ):
            self._feed(frames.PREFACE[:position] + wrong)

    def test_first_bit_of_a_stream_is_ignored(self) -> None:
        """The reserved bit is not part of the number of a stream."""
        frame = bytearray(_FRAME)
        frame[5] |= 0x80
        self.assertEqual(self._feed(frames.PREFACE + frame), [_READ])

    def test_largest_frame_is_read(self) -> None:
        """A frame may have as many bytes as the limit."""
        payload = bytes(16_384)
        self.assertEqual(
            self._feed(frames.PREFACE + frames.frame(0, 0, 1, payload)),
            [(0, 0, 1, payload)],
        )

    def test_larger_frame_is_refused_before_it_arrived(self) -> None:
        """The header of a frame that is too large is enough to refuse it."""
        header = frames.frame(0, 0, 1, bytes(16_385))[: frames.HEADER_BYTES]
        with self.assertRaisesRegex(
            frames.Http2ConnectionError, "at most 16384 bytes; got 16385"
        ) as raised:
            self._feed(frames.PREFACE + header)
        self.assertEqual(
            raised.exception.code, frames.ErrorCode.FRAME_SIZE_ERROR
        )


if __name__ == "__main__":
    absltest.main()
