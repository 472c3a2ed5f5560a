"""Tests for mnist_input_data."""

import os
import struct
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from tensorflow_serving.example import mnist_archive, mnist_input_data
from tensorflow_serving.test_util import shared_data
from tensorflow_serving.util import errors

_NOWHERE = mnist_archive.Archive(mnist_input_data.MNIST.checksums, ())


class DataSetTest(absltest.TestCase):
    """Images with labels, handed out in batches."""

    def _data_set(self, seed: int = 0) -> mnist_input_data.DataSet:
        images = np.repeat(np.arange(10, dtype=np.uint8)[:, None], 784, axis=1)
        return mnist_input_data.DataSet(images, np.arange(10), seed)

    def test_pixels_are_scaled_to_1(self) -> None:
        """255 is 1, as float32."""
        data = mnist_input_data.DataSet(
            np.array([[0, 255]], np.uint8), np.array([3])
        )
        np.testing.assert_array_equal(data.images, [[0, 1]])
        self.assertEqual(data.images.dtype, np.float32)
        images, labels = data.next_batch(1)
        np.testing.assert_array_equal(images, [[0, 1]])
        np.testing.assert_array_equal(labels, [3])

    def test_first_epoch_is_in_order_and_the_next_is_shuffled(self) -> None:
        """Each image stays with its label; what fills no batch is left out."""
        data = self._data_set()
        first = [data.next_batch(4) for _ in range(2)]
        labels = [list(labels) for _, labels in first]
        self.assertEqual(labels, [[0, 1, 2, 3], [4, 5, 6, 7]])
        second = np.concatenate([data.next_batch(5)[1] for _ in range(2)])
        self.assertEqual(sorted(second), list(range(10)))
        self.assertNotEqual(list(second), list(range(10)))
        images, last = data.next_batch(10)
        np.testing.assert_array_equal(np.rint(images[:, 0] * 255), last)

    def test_order_depends_on_the_seed_alone(self) -> None:
        """Equal seeds give equal batches."""

        def order(seed: int) -> list[int]:
            data = self._data_set(seed)
            return [int(data.next_batch(1)[1][0]) for _ in range(30)]

        self.assertEqual(order(1), order(1))
        self.assertNotEqual(order(1), order(2))


class ParseTest(parameterized.TestCase):
    """The IDX format."""

    def test_arrays_are_read(self) -> None:
        """Sizes are big-endian, values are bytes."""
        images = struct.pack(">4I4B", 2051, 1, 2, 2, 1, 2, 3, 4)
        np.testing.assert_array_equal(
            mnist_input_data.parse_images(images), [[[1, 2], [3, 4]]]
        )
        labels = struct.pack(">2I3B", 2049, 3, 7, 8, 9)
        np.testing.assert_array_equal(
            mnist_input_data.parse_labels(labels), [7, 8, 9]
        )

    @parameterized.named_parameters(
        ("magic", struct.pack(">2I", 2051, 0), "must be 2049; got 2051"),
        ("short", struct.pack(">2IB", 2049, 2, 1), "must have 10 bytes; got 9"),
        ("empty", b"", "at least 8 bytes; got 0"),
    )
    def test_other_content_is_an_error(self, content: bytes, text: str) -> None:
        """A ValueError says what is wrong."""
        with self.assertRaisesRegex(ValueError, text):
            mnist_input_data.parse_labels(content)


class ReadTest(parameterized.TestCase):
    """Which data there is."""

    def setUp(self) -> None:
        """Makes a work folder; nothing else is known."""
        super().setUp()
        self.work_dir = self.create_tempdir().full_path
        self.enter_context(mock.patch.dict(os.environ))
        os.environ.pop("MNIST_DATA_DIR", None)
        self.enter_context(
            mock.patch.object(mnist_input_data, "MNIST", _NOWHERE)
        )

    def test_digits_look_like_mnist(self) -> None:
        """The 1,297 and 500 images show every digit, in the middle."""
        data = mnist_input_data.read_data_sets(self.work_dir, "digits")
        self.assertEqual(data.train.num_examples, 1297)
        self.assertEqual(data.validation.num_examples, 0)
        self.assertEqual(data.test.num_examples, 500)
        for part in (data.train, data.test):
            self.assertEqual(part.images.shape[1:], (784,))
            self.assertEqual(set(part.labels), set(range(10)))
            self.assertEqual(part.images.max(), 1)
            squares = part.images.reshape(-1, 28, 28)
            self.assertFalse(squares[:, :4].any() or squares[:, :, 24:].any())
            self.assertTrue(squares[:, 4:24, 4:24].any())

    def test_test_set_alone_is_the_same(self) -> None:
        """The test set read alone equals the one of all data sets."""
        data = mnist_input_data.read_data_sets(self.work_dir, "digits")
        alone = mnist_input_data.read_test_set(self.work_dir, "digits")
        np.testing.assert_array_equal(alone.images, data.test.images)
        np.testing.assert_array_equal(alone.labels, data.test.labels)

    def test_auto_falls_back_to_the_digits_with_a_warning(self) -> None:
        """The warning says that the error rate is another."""
        with self.assertLogs(level="WARNING") as log:
            data = mnist_input_data.read_data_sets(self.work_dir, "auto")
        self.assertEqual(data.test.num_examples, 500)
        self.assertEqual(len(log.output), 1)
        self.assertNotIn("mirror", log.output[0])
        self.assertIn("error rate is not the tutorial's", log.output[0])

    def test_mnist_does_not_fall_back(self) -> None:
        """Who asks for MNIST gets it or an error."""
        with self.assertRaisesRegex(
            errors.UnavailableError, "train-images-idx3-ubyte.gz must be in"
        ):
            mnist_input_data.read_data_sets(self.work_dir, "mnist")

    def test_mnist_is_found_in_mnist_data_dir(self) -> None:
        """The real files have 55,000, 5,000 and 10,000 images."""
        os.environ["MNIST_DATA_DIR"] = shared_data.path_or_skip(self, "mnist")
        data = mnist_input_data.read_data_sets(self.work_dir, "auto")
        self.assertEqual(data.train.num_examples, 55_000)
        self.assertEqual(data.validation.num_examples, 5_000)
        self.assertEqual(data.test.num_examples, 10_000)
        np.testing.assert_array_equal(data.test.labels[:5], [7, 2, 1, 0, 4])
        alone = mnist_input_data.read_test_set(self.work_dir, "mnist")
        np.testing.assert_array_equal(alone.images, data.test.images)
        self.assertEqual(os.listdir(self.work_dir), [])


if __name__ == "__main__":
    absltest.main()
