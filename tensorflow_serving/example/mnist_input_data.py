"""Handwritten digits to train and to test with: MNIST, or bundled ones.

    data = read_data_sets("/tmp")
    images, labels = data.train.next_batch(50)

MNIST is looked for in the work folder, then in the folder that the environment
variable MNIST_DATA_DIR names, then downloaded into the work folder. Where it
cannot be had, 1,797 digits that come with this project serve instead; see
digits/README.md.

File format: IDX, http://yann.lecun.com/exdb/mnist/
"""

import dataclasses
import gzip
import os
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from absl import logging

from tensorflow_serving.example import mnist_archive, mnist_image
from tensorflow_serving.util import errors

# The names that a flag accepts; "auto" is MNIST if it is available.
DATASETS = ("auto", "mnist", "digits")

MNIST = mnist_archive.Archive(
    checksums={
        "train-images-idx3-ubyte.gz": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte.gz": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
)

_NUM_VALIDATION = 5000

_DIGITS_FOLDER = os.path.join(os.path.dirname(__file__), "digits")
_DIGITS_INK = 16
_DIGITS_SIDE_PIXELS = 20
_NUM_DIGITS_TO_TRAIN = 1297

_IMAGES_MAGIC = 2051
_LABELS_MAGIC = 2049


class DataSet:
    """Images with labels, handed out in batches.

    Not thread-safe.
    """

    def __init__(
        self, images: npt.NDArray[Any], labels: npt.NDArray[Any], seed: int = 0
    ) -> None:
        """Takes examples.

        Args:
          images: uint8 [examples, 784], 0 (paper) to 255 (ink).
          labels: uint8 [examples], 0 to 9.
          seed: Decides the order after the first epoch.
        """
        self._images = images
        self._labels = labels
        self._order = np.arange(len(images))
        self._start = 0
        self._random = np.random.default_rng(seed)

    @property
    def num_examples(self) -> int:
        """The number of images."""
        return len(self._images)

    @property
    def images(self) -> npt.NDArray[Any]:
        """All images: float32 [examples, 784], 0 (paper) to 1 (ink)."""
        return _scale(self._images)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """All labels: uint8 [examples]."""
        return self._labels

    def next_batch(
        self, batch_size: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Returns the next images and labels, in the form of the properties.

        The first epoch goes through the examples in order, each further one in
        a new random order. What does not fill a batch is left out.

        Args:
          batch_size: At most num_examples.
        """
        if self._start + batch_size > self.num_examples:
            self._random.shuffle(self._order)
            self._start = 0
        batch = self._order[self._start : self._start + batch_size]
        self._start += batch_size
        return _scale(self._images[batch]), self._labels[batch]


@dataclasses.dataclass(frozen=True)
class DataSets:
    """The data for training, tuning and testing a model."""

    train: DataSet
    validation: DataSet
    test: DataSet


def read_data_sets(
    work_dir: str, dataset: str = "auto", seed: int = 0
) -> DataSets:
    """Returns the data sets.

    MNIST has 55,000 images to train with, 5,000 to validate and 10,000 to test;
    the bundled digits have 1,297, none and 500.

    Args:
      work_dir: Where downloads are kept.
      dataset: One of DATASETS.
      seed: See DataSet.

    Raises:
      UnavailableError: MNIST was asked for and cannot be found.
    """
    mnist = _read_mnist(("train", "t10k"), work_dir, dataset)
    if mnist is None:
        images, labels = _read_digits()
        end = _NUM_DIGITS_TO_TRAIN
        return DataSets(
            train=DataSet(images[:end], labels[:end], seed),
            validation=DataSet(images[:0], labels[:0]),
            test=DataSet(images[end:], labels[end:]),
        )
    (images, labels), test = mnist
    end = _NUM_VALIDATION
    return DataSets(
        train=DataSet(images[end:], labels[end:], seed),
        validation=DataSet(images[:end], labels[:end]),
        test=DataSet(*test),
    )


def read_test_set(work_dir: str, dataset: str = "auto") -> DataSet:
    """Returns the test set alone; see read_data_sets."""
    mnist = _read_mnist(("t10k",), work_dir, dataset)
    if mnist is not None:
        return DataSet(*mnist[0])
    images, labels = _read_digits()
    return DataSet(images[_NUM_DIGITS_TO_TRAIN:], labels[_NUM_DIGITS_TO_TRAIN:])


def parse_images(content: bytes) -> npt.NDArray[Any]:
    """Returns the images of an IDX file: uint8 [examples, rows, columns].

    Raises:
      ValueError: The content is no IDX file of images.
    """
    return _parse(content, _IMAGES_MAGIC, num_dimensions=3)


def parse_labels(content: bytes) -> npt.NDArray[Any]:
    """Returns the labels of an IDX file: uint8 [examples].

    Raises:
      ValueError: The content is no IDX file of labels.
    """
    return _parse(content, _LABELS_MAGIC, num_dimensions=1)


def _read_mnist(
    parts: Sequence[str], work_dir: str, dataset: str
) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]] | None:
    """Returns images and labels of each part; None to use the digits."""
    if dataset == "digits":
        return None
    folders = [work_dir]
    if mnist_data_dir := os.environ.get("MNIST_DATA_DIR"):
        folders.append(mnist_data_dir)
    names = [
        (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
        for part in parts
    ]
    try:
        files = MNIST.read([name for pair in names for name in pair], folders)
    except errors.UnavailableError as error:
        if dataset == "mnist":
            raise
        logging.warning(
            "MNIST cannot be had, so the digits that come with this project "
            "are used: the error rate is not the tutorial's"
        )
        logging.info("Why: %s", error)
        return None
    return [
        (
            parse_images(files[images]).reshape(-1, mnist_image.NUM_PIXELS),
            parse_labels(files[labels]),
        )
        for images, labels in names
    ]


def _read_digits() -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Returns the bundled digits in the format of MNIST.

    Like there, a digit fills 20 x 20 pixels in the middle of 28 x 28.
    """
    with gzip.open(
        os.path.join(_DIGITS_FOLDER, "digits-images-idx3-ubyte.gz")
    ) as file:
        small = parse_images(file.read())
    with gzip.open(
        os.path.join(_DIGITS_FOLDER, "digits-labels-idx1-ubyte.gz")
    ) as file:
        labels = parse_labels(file.read())
    weights = _bilinear_weights(small.shape[1], _DIGITS_SIDE_PIXELS)
    scaled = weights @ small @ weights.T * (255 / _DIGITS_INK)
    margin = (mnist_image.SIDE_PIXELS - _DIGITS_SIDE_PIXELS) // 2
    images = np.pad(
        np.rint(scaled).astype(np.uint8),
        [(0, 0), (margin, margin), (margin, margin)],
    )
    return images.reshape(-1, mnist_image.NUM_PIXELS), labels


def _bilinear_weights(old_size: int, new_size: int) -> npt.NDArray[Any]:
    """Returns a matrix [new, old] that interpolates between pixel centres."""
    centres = (np.arange(new_size) + 0.5) * old_size / new_size - 0.5
    units = np.eye(old_size)
    return np.stack(
        [np.interp(centres, np.arange(old_size), unit) for unit in units],
        axis=1,
    )


def _scale(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return images.astype(np.float32) / np.float32(255)


def _parse(content: bytes, magic: int, num_dimensions: int) -> npt.NDArray[Any]:
    """Returns the array in an IDX file.

    Header: magic number and size of each dimension, as big-endian uint32.
    """
    header = struct.Struct(f">{1 + num_dimensions}I")
    if len(content) < header.size:
        raise ValueError(
            f"IDX file must have at least {header.size} bytes; got "
            f"{len(content)}"
        )
    found, *shape = header.unpack_from(content)
    if found != magic:
        raise ValueError(f"IDX magic number must be {magic}; got {found}")
    expected = header.size + int(np.prod(shape))
    if len(content) != expected:
        raise ValueError(
            f"IDX file of shape {shape} must have {expected} bytes; got "
            f"{len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(shape)
