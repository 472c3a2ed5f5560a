"""Tests for the state of one stream."""

from absl.testing import absltest, parameterized

from tensorflow_serving.rpc.http2 import header_block, stream


def _stream(content_length: int | None = None) -> stream.Stream:
    head = header_block.Head(path=b"/a", content_length=content_length)
    return stream.Stream(1, head, send_window=100, receive_window=100)


class StreamTest(parameterized.TestCase):
    """Data that came in."""

    def test_data_is_taken_as_it_came(self) -> None:
        """The data of one frame is the same object, without a copy."""
        data = bytes(5000)
        subject = _stream()
        subject.add(data)
        self.assertIs(subject.take(5000), data)

    @parameterized.named_parameters(
        ("large_pieces", [2000, 3000, 4000]),
        ("small_pieces", [5, 1, 1, 1]),
        ("small_after_large", [2000, 1, 1, 2000, 1]),
        ("large_after_small", [5, 3000]),
    )
    def test_pieces_are_joined(self, sizes: list[int]) -> None:
        """Data is taken in its order, whatever the sizes of its frames."""
        subject = _stream()
        whole = b""
        for number, size in enumerate(sizes):
            piece = bytes([number]) * size
            whole += piece
            subject.add(piece)
        self.assertEqual(subject.num_received_bytes, len(whole))
        self.assertEqual(subject.take(len(whole)), whole)
        self.assertEqual(subject.num_received_bytes, 0)

    @parameterized.parameters(1, 7, 1999, 2000, 2001)
    def test_data_is_taken_in_parts(self, size: int) -> None:
        """Parts need not be those that came."""
        subject = _stream()
        whole = bytes(range(250)) * 16
        subject.add(whole[:2000])
        subject.add(whole[2000:])
        parts = []
        while subject.num_received_bytes >= size:
            parts.append(subject.take(size))
        parts.append(subject.take(subject.num_received_bytes))
        self.assertEqual(b"".join(parts), whole)
        self.assertEqual(subject.num_taken_bytes, len(whole))

    def test_data_comes_between_takes(self) -> None:
        """Data that comes after a part was taken follows the rest."""
        subject = _stream()
        subject.add(b"abc")
        self.assertEqual(subject.take(1), b"a")
        subject.add(b"de")
        subject.add(b"f")
        self.assertEqual(subject.take(5), b"bcdef")

    def test_single_bytes_cost_little_memory(self) -> None:
        """Frames of a byte do not make an object each."""
        subject = _stream()
        for _ in range(10_000):
            subject.add(b"ab")
        self.assertLess(len(subject.chunks), 5)

    @parameterized.named_parameters(
        ("too_much", 4, False, True),
        ("too_much_at_the_end", 4, True, True),
        ("too_little", 2, False, False),
        ("too_little_at_the_end", 2, True, True),
        ("as_promised", 3, True, False),
    )
    def test_content_length_is_checked(
        self, size: int, is_ended: bool, is_broken: bool
    ) -> None:
        """A request has as much data as its content-length says."""
        subject = _stream(content_length=3)
        subject.add(bytes(size))
        subject.is_ended = is_ended
        self.assertEqual(subject.breaks_content_length(), is_broken)

    def test_taken_data_counts_for_the_content_length(self) -> None:
        """Data that was taken is part of a request."""
        subject = _stream(content_length=3)
        subject.add(b"ab")
        subject.take(2)
        subject.add(b"cd")
        self.assertTrue(subject.breaks_content_length())

    def test_any_length_is_right_without_content_length(self) -> None:
        """A request need not say how long it is."""
        subject = _stream()
        subject.add(b"ab")
        self.assertFalse(subject.breaks_content_length())

    def test_text_of_a_stream_has_its_state(self) -> None:
        """In a debugger, a stream shows its number, path and state."""
        self.assertEqual(
            repr(_stream()),
            "<Stream 1 b'/a' received=0 ended=False closed=False reset=None>",
        )


if __name__ == "__main__":
    absltest.main()
