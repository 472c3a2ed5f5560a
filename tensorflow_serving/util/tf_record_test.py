"""Tests for tf_record."""

import io
import os
import struct

import google_crc32c
import tensorflow as tf
from absl.testing import absltest, parameterized

from tensorflow_serving.util import errors, tf_record

_RECORDS = (b"one", b"", bytes(range(256)) * 1000, b"\0")


def _written(*records: bytes) -> bytes:
    file = io.BytesIO()
    for record in records:
        tf_record.write(file, record)
    return file.getvalue()


def _read(content: bytes) -> list[bytes]:
    return [*tf_record.read(io.BytesIO(content))]


class TfRecordTest(parameterized.TestCase):
    """Tests against TensorFlow's own reader and writer."""

    def setUp(self) -> None:
        """Chooses a file."""
        super().setUp()
        self._path = os.path.join(self.create_tempdir().full_path, "records")

    def _write_with_tensorflow(self, compression: str) -> bytes:
        """Returns the file that TensorFlow writes."""
        with tf.io.TFRecordWriter(self._path, compression) as writer:
            for record in _RECORDS:
                writer.write(record)
        with open(self._path, "rb") as file:
            return file.read()

    def test_file_of_tensorflow_is_read(self) -> None:
        """Records of TensorFlow's writer come back in order."""
        content = self._write_with_tensorflow("")
        self.assertEqual(_read(content), [*_RECORDS])
        self.assertEqual(_written(*_RECORDS), content)

    def test_tensorflow_reads_what_is_written(self) -> None:
        """TensorFlow's reader takes a file of write()."""
        with open(self._path, "wb") as file:
            file.write(_written(*_RECORDS))
        records = tf.data.TFRecordDataset(self._path).as_numpy_iterator()
        self.assertEqual([*records], [*_RECORDS])

    def test_empty_file_has_no_records(self) -> None:
        """A file of no bytes is a file of no records."""
        self.assertEqual(_read(b""), [])

    @parameterized.parameters("GZIP", "ZLIB")
    def test_compressed_file_is_refused(self, compression: str) -> None:
        """The error of a compressed file says so."""
        content = self._write_with_tensorflow(compression)
        with self.assertRaisesRegex(
            errors.DataLossError,
            f"without compression; got .* {compression.lower()}",
        ):
            _read(content)

    def test_file_of_another_format_is_refused(self) -> None:
        """A text is not taken for records."""
        with self.assertRaisesRegex(
            errors.DataLossError, "TFRecord format; .* record at byte 0"
        ):
            _read(b"This is a text and nothing else.")

    def test_file_that_is_cut_off_anywhere_is_refused(self) -> None:
        """Records before the cut are read; the error says where it is."""
        whole = _written(b"one", b"three")
        second = len(_written(b"one"))
        for size in range(1, len(whole)):
            records = []
            if size == second:
                continue
            with self.assertRaisesRegex(
                errors.DataLossError,
                "the end of the file in the record at byte "
                f"{second if size > second else 0}$",
            ):
                for record in tf_record.read(io.BytesIO(whole[:size])):
                    records.append(record)
            self.assertEqual(records, [b"one"] * (size > second))

    def test_every_flipped_bit_is_noticed(self) -> None:
        """No damage of a single bit gives a record, but the first one's."""
        whole = _written(b"one", b"three")
        for index in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[index // 8] ^= 1 << index % 8
            with self.assertRaises(errors.DataLossError):
                _read(bytes(damaged))

    def test_record_beyond_any_message_is_refused(self) -> None:
        """A length of 2**40 is an error, and nothing is allocated for it."""
        length = struct.pack("<Q", 1 << 40)
        crc = google_crc32c.value(length)
        masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
        with self.assertRaisesRegex(
            errors.DataLossError, "a length of 1099511627776 bytes"
        ):
            _read(length + struct.pack("<I", masked) + b"abc")


if __name__ == "__main__":
    absltest.main()
